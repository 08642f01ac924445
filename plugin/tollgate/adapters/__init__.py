"""What stands behind the ports: Envoy's doors, the store, the HTTP API, files."""
