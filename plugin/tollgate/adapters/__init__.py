"""Implement the ports: Envoy's services, the store, the HTTP API, files."""
