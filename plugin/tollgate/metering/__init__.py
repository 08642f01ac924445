"""The way back: usage becomes dollars, and the hold is settled."""
