"""Reports of what was spent, and by whom."""
