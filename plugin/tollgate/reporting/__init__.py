"""Report what was spent, and by whom."""
