"""Tollgate: budgets and rate limits for LLM traffic behind Envoy."""

__version__ = "0.1.0"
