"""The HTTP filters, in order, and what native mode reads replies with."""
