"""Commands that show what happened, and what happens now."""
