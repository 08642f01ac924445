"""What commands print and read alike: tables, words, the report of a file."""
