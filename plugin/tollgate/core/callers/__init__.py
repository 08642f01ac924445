"""Identify the caller: the key in a request, its owners, and the accounts that a call is charged
to.
"""
