"""Serve the management HTTP API: LiteLLM's paths, fields and answers over the use cases."""

from tollgate.adapters.http_api.application import create_api

__all__ = ["create_api"]
