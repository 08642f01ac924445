"""Answers about single calls, and about what one key may know."""
