"""The table of APIs: where each keeps its usage."""
