"""Valkey (or Redis >= 6.2) as the store: counters, directory, ledger.

One client library, one file that builds keys.
"""
