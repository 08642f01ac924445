"""What leaves the store: who carries it out."""
