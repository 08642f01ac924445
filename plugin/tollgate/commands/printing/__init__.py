"""Share how commands print and parse: tables, words, the report of a file."""
