"""Paths that look up single calls, and what one key may know."""
