"""Tollgate: budgets and rate limits for LLM traffic behind Envoy."""

__version__ = "0.2.0"
