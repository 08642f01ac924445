"""gRPC for Envoy and for any other peer: calls by their method's path, messages as bytes.

Two transports serve the same methods (calls.py), and a service knows neither:

    own.py over http2.py   for a Unix socket or a loopback address, whose only client is the Envoy
    of this host
    library.py             grpcio, for a network address: TLS, keepalive, reflection
"""
