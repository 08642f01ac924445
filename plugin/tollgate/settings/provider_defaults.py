"""What is known of providers where a file does not say it."""

from __future__ import annotations

DEFAULT_API_BASES = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "bedrock": "https://bedrock-runtime.{region}.amazonaws.com",
    "cerebras": "https://api.cerebras.ai/v1",
    "cohere": "https://api.cohere.com",
    "cohere_chat": "https://api.cohere.com",
    "deepseek": "https://api.deepseek.com",
    "fireworks_ai": "https://api.fireworks.ai/inference/v1",
    "gemini": "https://generativelanguage.googleapis.com",
    "groq": "https://api.groq.com/openai/v1",
    "mistral": "https://api.mistral.ai/v1",
    "ollama": "http://localhost:11434",
    "ollama_chat": "http://localhost:11434",
    "openrouter": "https://openrouter.ai/api/v1",
    "perplexity": "https://api.perplexity.ai",
    "together_ai": "https://api.together.xyz/v1",
    "vertex_ai": "https://{vertex_location}-aiplatform.googleapis.com",
    "xai": "https://api.x.ai/v1",
}
"""Where a provider is when the file does not say (reference: each provider's API documentation). Azure's differs for each customer."""
# https://cloud.google.com/vertex-ai/generative-ai/docs/learn/locations: the global endpoint has no location in its name.
VERTEX_GLOBAL = "https://aiplatform.googleapis.com"

# Their replies say in dollars what the account is charged:
# https://openrouter.ai/docs/guides/administration/usage-accounting, https://docs.perplexity.ai/api-reference/chat-completions-post,
# https://docs.x.ai/docs/guides/cost-tracking, https://vercel.com/docs/ai-gateway
TELL_COST = frozenset({"openrouter", "perplexity", "vercel_ai_gateway", "xai"})
