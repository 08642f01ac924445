"""Puts Tollgate into an Envoy configuration that somebody has already."""
