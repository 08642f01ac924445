"""Store everything in Valkey (or Redis >= 6.2): counters, directory, ledger.

One client library; one file that builds keys.
"""
