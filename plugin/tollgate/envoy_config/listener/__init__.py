"""Build the listener: connection manager, routes, local replies, access log."""
