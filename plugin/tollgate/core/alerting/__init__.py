"""Alerts: which limits have come so far that somebody is to be told. Pure."""
