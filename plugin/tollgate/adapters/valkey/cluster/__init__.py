"""Counters in a cluster: what runs in which slot, and one answer of several places."""
