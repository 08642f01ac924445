"""Where events go: an address that takes them, a file."""
