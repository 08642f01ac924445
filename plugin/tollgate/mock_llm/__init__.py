"""A provider for demos and tests: it speaks OpenAI, Anthropic and Gemini, JSON and streams, and
counts its tokens honestly.

It is no model.
"""

from tollgate.mock_llm.controls import MockOptions
from tollgate.mock_llm.server import serve

__all__ = ["MockOptions", "serve"]
