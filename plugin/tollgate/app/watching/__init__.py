"""What processes watch and measure beside their work."""
