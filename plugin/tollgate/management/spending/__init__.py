"""What was spent, in which period, and by whom most."""
