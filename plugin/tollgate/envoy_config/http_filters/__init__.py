"""Build the HTTP filters in order, including the readers of native mode."""
