"""Commands for an Envoy of one's own."""
