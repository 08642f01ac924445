"""Models as each API's clients list them.

Sources: platform.openai.com/docs/api-reference/models, docs.anthropic.com/en/api/models-list,
ai.google.dev/api/models, github.com/ollama/ollama/blob/main/docs/api.md ("List Local Models").
"""

from __future__ import annotations

from collections.abc import Sequence

from tollgate.adapters.http_api.wire.parts.base import ResponseBody
from tollgate.core.callers.access import Model
from tollgate.core.models.deployment import Deployment

Listed = tuple[Model, Deployment]
"""A model, and its first deployment."""

# The creation time of a model is unknown; LiteLLM prints this constant for all.
_CREATED = 1_677_610_602
_CREATED_AT = "2023-02-28T18:56:42Z"
# The methods that Gemini's paths serve for every model there.
_GOOGLE_METHODS = (
    "generateContent",
    "streamGenerateContent",
    "countTokens",
    "embedContent",
    "batchEmbedContents",
)


class ModelCard(ResponseBody):
    """A model in /v1/models."""

    id: str
    object: str = "model"
    created: int = _CREATED
    owned_by: str


class ModelCards(ResponseBody):
    """The answer of /v1/models."""

    data: tuple[ModelCard, ...]
    object: str = "list"


class AnthropicCard(ModelCard):
    """The same for a client that sends Anthropic's version header: both APIs share this path."""

    type: str = "model"
    display_name: str
    created_at: str = _CREATED_AT


class AnthropicCards(ResponseBody):
    """The answer of /v1/models to such a client, always complete."""

    data: tuple[AnthropicCard, ...]
    first_id: str | None
    last_id: str | None
    has_more: bool = False
    object: str = "list"


class GoogleModel(ResponseBody):
    """A model in /v1beta/models."""

    name: str
    baseModelId: str  # noqa: N815 - Google's name
    version: str = "1"
    displayName: str  # noqa: N815 - Google's name
    supportedGenerationMethods: tuple[str, ...] = _GOOGLE_METHODS  # noqa: N815 - Google's name


class GoogleModels(ResponseBody):
    """The answer of /v1beta/models, always complete, so without a next page."""

    models: tuple[GoogleModel, ...]


class OllamaDetails(ResponseBody):
    """Ollama's facts about a file of weights, unknown for a model behind a gateway."""

    parent_model: str = ""
    format: str = ""
    family: str = ""
    families: tuple[str, ...] = ()
    parameter_size: str = ""
    quantization_level: str = ""


class OllamaModel(ResponseBody):
    """A model in /api/tags."""

    name: str
    model: str
    modified_at: str = _CREATED_AT
    size: int = 0
    digest: str = ""
    details: OllamaDetails = OllamaDetails()


class OllamaModels(ResponseBody):
    """The answer of /api/tags."""

    models: tuple[OllamaModel, ...]


def card(listed: Listed) -> ModelCard:
    """Return a model in OpenAI's format."""
    model, deployment = listed
    return ModelCard(id=model.name, owned_by=deployment.provider)


def anthropic_card(listed: Listed) -> AnthropicCard:
    """Return a model in Anthropic's format."""
    model, deployment = listed
    return AnthropicCard(id=model.name, owned_by=deployment.provider, display_name=model.name)


def anthropic_cards(listed: Sequence[Listed]) -> AnthropicCards:
    """Return models in Anthropic's format."""
    data = tuple(map(anthropic_card, listed))
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return AnthropicCards(data=data, first_id=first, last_id=last)


def google_model(listed: Listed) -> GoogleModel:
    """Return a model in Google's format."""
    name = listed[0].name
    return GoogleModel(name=f"models/{name}", baseModelId=name, displayName=name)


def ollama_model(listed: Listed) -> OllamaModel:
    """Return a model in Ollama's format."""
    name = listed[0].name
    return OllamaModel(name=name, model=name)
