"""Meter calls: turn usage into dollars and settle the hold."""
