"""Serve gRPC to Envoy and any other peer: calls by method path, messages as bytes.

Two transports serve the same methods (call.py), and services know neither:

    own.py over http2.py   for a Unix socket or a loopback address, used only by this host's Envoy
    library.py             grpcio, for a network address: TLS, keepalive, reflection
"""
