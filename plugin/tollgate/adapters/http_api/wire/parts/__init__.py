"""Share parts of bodies between nouns."""
