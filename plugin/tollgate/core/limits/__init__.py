"""Limits and what they are made of: scopes, accounts, token buckets, periods."""
