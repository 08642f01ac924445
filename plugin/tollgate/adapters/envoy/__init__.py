"""Envoy's doors in `grpc` mode: ext_authz before the request, ext_proc on the reply, the access log
after everything.
"""
