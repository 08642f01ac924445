"""Refused calls in Valkey: written by workers, read for people."""
