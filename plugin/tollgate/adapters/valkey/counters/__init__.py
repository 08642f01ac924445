"""Counters: the scripts that check, hold and settle, and the calls that leave together."""
