"""Names and values of OpenTelemetry's conventions for generative AI.

https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/client-inference.md
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tollgate.core.models.deployment import Deployment

# Values of gen_ai.provider.name; other providers keep LiteLLM's name.
_PROVIDERS: Final = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "cohere_chat": "cohere",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "text-completion-openai": "openai",
    "vertex_ai": "gcp.vertex_ai",
    "xai": "x_ai",
}
# Values of gen_ai.operation.name by the mode of a model; other modes keep LiteLLM's name.
_OPERATIONS: Final = {
    "completion": "text_completion",
    "embedding": "embeddings",
    "responses": "chat",
}

Attributes = dict[str, str]


def wants_deprecated(environment: Mapping[str, str]) -> bool:
    """Return whether names that went before are wanted beside the present ones.

    Where OTEL_SEMCONV_STABILITY_OPT_IN lists `gen_ai/dup`.
    """
    listed = environment.get("OTEL_SEMCONV_STABILITY_OPT_IN", "").split(",")
    return "gen_ai/dup" in map(str.strip, listed)


def call_attributes(deployment: Deployment | None, model: str) -> Attributes:
    """Return what the conventions ask of every call; None: the deployment was removed."""
    found = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "unknown",
        "gen_ai.request.model": model,
    }
    if deployment is not None:
        mode = deployment.mode or "chat"
        found["gen_ai.operation.name"] = _OPERATIONS.get(mode, mode)
        provider = deployment.provider
        found["gen_ai.provider.name"] = _PROVIDERS.get(provider, provider)
    return found
