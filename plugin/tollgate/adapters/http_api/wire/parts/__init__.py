"""What the bodies of several nouns share."""
