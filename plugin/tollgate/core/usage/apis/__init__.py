"""Describe where each API keeps its usage.

providers.yaml  one row per fact, each with its source; rare_apis.yaml holds uncommon APIs
api.py          what is known of one API; paths.py: where in a document a fact is
table.py        builds the table from the two files
"""
