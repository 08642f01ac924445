"""Where each API keeps its usage.

providers.yaml  one row a fact, each with the document that states it; rare_apis.yaml: of rare ones
api.py          what is known of one API; paths.py: where in a document a fact is
table.py        building the table from the two files
"""
