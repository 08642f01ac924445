"""Connections to the store: address, client library, our own pipe, checks."""
