"""Hold the pure rules of Tollgate: no await, clock, randomness or logging.

Imports are limited to the standard library, a JSON decoder and decoders of compressed bytes.
"""
