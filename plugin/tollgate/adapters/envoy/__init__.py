"""Serve Envoy: ext_authz before a request, ext_proc on its reply, the access log at its end."""
