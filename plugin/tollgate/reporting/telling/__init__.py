"""Telling alerts to their receivers."""
