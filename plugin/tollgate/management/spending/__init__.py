"""Report and correct spend: how much, in which period, and who spent most."""
