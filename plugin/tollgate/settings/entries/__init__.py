"""Entries of lists in `tollgate:`."""
