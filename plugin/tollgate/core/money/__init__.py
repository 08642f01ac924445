"""Money: prices, fees and what a usage costs."""
