"""Framings of replies: JSON documents, event streams, encodings."""
