"""Imitate LLM providers for demos and tests, without a model.

Speaks OpenAI, Anthropic and Gemini, JSON and streams, and counts its tokens correctly.
"""

from tollgate.mock_llm.controls import MockOptions
from tollgate.mock_llm.server import serve

__all__ = ["MockOptions", "serve"]
