"""Which path is which API, who serves it, and how its path is written for the deployment that gets it.

Paths that name no model are looked up whole; the others, of which the model is a part, by their shape afterwards.
"""

from __future__ import annotations

import re
from enum import StrEnum
from urllib.parse import quote, unquote, urlsplit

from msgspec import Struct

from tollgate.core import dialects
from tollgate.core.dialects import Dialect, Family
from tollgate.core.entities import Deployment


class Wire(StrEnum):
    """Whose paths. A provider serves the wires that it speaks itself, and those that can be rewritten into its own."""

    OPENAI = "openai"
    AZURE = "azure"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"
    VERTEX = "vertex"
    BEDROCK = "bedrock"
    COHERE = "cohere"
    OLLAMA = "ollama"


# A provider that is not named here speaks OpenAI's format.
_WIRES: dict[str, frozenset[Wire]] = {
    "anthropic": frozenset({Wire.ANTHROPIC}),
    "azure": frozenset({Wire.AZURE, Wire.OPENAI}),
    "bedrock": frozenset({Wire.BEDROCK}),
    "cohere": frozenset({Wire.COHERE}),
    "cohere_chat": frozenset({Wire.COHERE}),
    "gemini": frozenset({Wire.GEMINI}),
    "ollama": frozenset({Wire.OLLAMA, Wire.OPENAI}),
    "ollama_chat": frozenset({Wire.OLLAMA, Wire.OPENAI}),
    "vertex_ai": frozenset({Wire.VERTEX}),
}
_TAKE_ENDLESS = frozenset({"llamafile", "lm_studio", "ollama", "ollama_chat"})
# Providers of OpenAI's format whose address may be anybody's.
_MAYBE_OWN = frozenset({"custom_openai", "openai", "openai_like", "text-completion-openai"})
_OPENAI_ONLY = frozenset({Wire.OPENAI})


def wires_of(provider: str) -> frozenset[Wire]:
    """The wires that a provider can serve."""
    return _WIRES.get(provider, _OPENAI_ONLY)


class Endpoint(Struct, frozen=True):
    """One path of a request: its API, whose path it is, and the model where the path names it (`start` to `end`, decoded in `model`).

    `rest`: what follows the prefix (`/v1`, ...) of a path without a model.
    """

    dialect: Dialect
    wire: Wire
    rest: str = ""
    model: str | None = None
    start: int = 0
    end: int = 0


_OPENAI = {
    "/chat/completions": dialects.OPENAI_CHAT,
    "/completions": dialects.OPENAI_COMPLETIONS,
    "/embeddings": dialects.OPENAI_EMBEDDINGS,
    "/responses": dialects.OPENAI_RESPONSES,
    "/images/generations": dialects.OPENAI_IMAGES,
    "/images/edits": dialects.OPENAI_IMAGES,
    "/images/variations": dialects.OPENAI_IMAGES,
    "/audio/transcriptions": dialects.OPENAI_TRANSCRIPTION,
    "/audio/translations": dialects.OPENAI_TRANSCRIPTION,
    "/audio/speech": dialects.OPENAI_SPEECH,
    "/moderations": dialects.OPENAI_MODERATION,
}
_OTHERS = {
    "/v1/messages": (Wire.ANTHROPIC, dialects.ANTHROPIC_MESSAGES),
    "/v1/messages/count_tokens": (Wire.ANTHROPIC, dialects.ANTHROPIC_COUNT_TOKENS),
    "/v2/chat": (Wire.COHERE, dialects.COHERE_CHAT),
    "/v1/chat": (Wire.COHERE, dialects.COHERE_CHAT),
    "/v2/embed": (Wire.COHERE, dialects.COHERE_INPUT),
    "/v1/embed": (Wire.COHERE, dialects.COHERE_INPUT),
    "/v2/rerank": (Wire.COHERE, dialects.COHERE_INPUT),
    "/v1/rerank": (Wire.COHERE, dialects.COHERE_INPUT),
    "/api/chat": (Wire.OLLAMA, dialects.OLLAMA_GENERATE),
    "/api/generate": (Wire.OLLAMA, dialects.OLLAMA_GENERATE),
    "/api/embed": (Wire.OLLAMA, dialects.OLLAMA_EMBED),
    "/api/embeddings": (Wire.OLLAMA, dialects.OLLAMA_EMBED),
}
# OpenAI's SDKs take a base address with or without /v1, and Azure's own v1 surface stands under /openai.
_BY_PATH = {
    prefix + rest: Endpoint(dialect, Wire.OPENAI, rest)
    for prefix in ("/v1", "", "/openai/v1")
    for rest, dialect in _OPENAI.items()
} | {path: Endpoint(dialect, wire, path) for path, (wire, dialect) in _OTHERS.items()}

_GEMINI_ACTIONS = {
    "generateContent": dialects.GEMINI_GENERATE,
    "streamGenerateContent": dialects.GEMINI_STREAM,
    "embedContent": dialects.GEMINI_EMBED,
    "batchEmbedContents": dialects.GEMINI_EMBED,
    "countTokens": dialects.GEMINI_COUNT_TOKENS,
}
_VERTEX_ACTIONS = _GEMINI_ACTIONS | {
    "predict": dialects.VERTEX_PREDICT,
    "rawPredict": dialects.ANTHROPIC_MESSAGES,
    "streamRawPredict": dialects.ANTHROPIC_MESSAGES_STREAM,
}
_BEDROCK_ACTIONS = {
    "converse": dialects.BEDROCK_CONVERSE,
    "converse-stream": dialects.BEDROCK_CONVERSE_STREAM,
    "invoke": dialects.BEDROCK_INVOKE,
    "invoke-with-response-stream": dialects.BEDROCK_INVOKE_STREAM,
}
# Each with the groups `model` and `action`. A public name may hold slashes, percent-encoded or not.
_SHAPES = (
    (
        Wire.AZURE,
        re.compile(r"/openai/deployments/(?P<model>.+?)(?P<action>/(?:chat/|images/|audio/)?[a-z]+)"),
        _OPENAI,
    ),
    (Wire.GEMINI, re.compile(r"/v1(?:beta|alpha)?/models/(?P<model>.+):(?P<action>[A-Za-z]+)"), _GEMINI_ACTIONS),
    (
        Wire.VERTEX,
        re.compile(
            r"/v1(?:beta1)?/(?:projects/[^/]+/locations/[^/]+/)?publishers/[^/]+/models/(?P<model>.+):(?P<action>[A-Za-z]+)"
        ),
        _VERTEX_ACTIONS,
    ),
    (Wire.BEDROCK, re.compile(r"/model/(?P<model>.+)/(?P<action>[a-z-]+)"), _BEDROCK_ACTIONS),
)
# The one path of Vertex's on which the body names the model:
# https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/count-tokens
_VERTEX_COUNT = ("count-tokens", "rawPredict")
_VERTEX_PLACE = re.compile(r"(?<=/projects/)[^/]+(?=/locations/)|(?<=/locations/)[^/]+(?=/publishers/)")


OPENAI_MODELS = ("/v1/models", "/models", "/openai/v1/models")
"""Where OpenAI's and Anthropic's clients list models, and beneath it find one."""
GOOGLE_MODELS = ("/v1beta/models", "/v1alpha/models")
"""Where Google's do."""
OLLAMA_MODELS = ("/api/tags",)
"""Where Ollama's list them."""


def normal_path(path: str) -> str:
    """The path as it is looked up: without slashes at its end."""
    return path.rstrip("/") or "/"


def find_endpoint(path: str) -> Endpoint | None:
    """The API of a path (without its query), if we know it."""
    return _BY_PATH.get(path) or _find_otherwise(normal_path(path))


def _find_otherwise(path: str) -> Endpoint | None:
    if found := _BY_PATH.get(path):
        return found
    for wire, shape, actions in _SHAPES:
        if (match := shape.fullmatch(path)) and (dialect := actions.get(match["action"])):
            if wire is Wire.VERTEX and (match["model"], match["action"]) == _VERTEX_COUNT:
                return Endpoint(dialects.ANTHROPIC_COUNT_TOKENS, wire)
            return Endpoint(dialect, wire, "", unquote(match["model"]), match.start("model"), match.end("model"))
    return None


def paths_of(wire: Wire) -> str:
    """The paths of a wire, for a message that says where a model can be reached."""
    shapes = {
        Wire.AZURE: "/openai/deployments/{model}/chat/completions",
        Wire.GEMINI: "/v1beta/models/{model}:generateContent, /v1beta/models/{model}:streamGenerateContent",
        Wire.VERTEX: "/v1/projects/{project}/locations/{location}/publishers/{publisher}/models/{model}:generateContent",
        Wire.BEDROCK: "/model/{model}/converse, /model/{model}/converse-stream, /model/{model}/invoke",
    }
    if wire in shapes:
        return shapes[wire]
    first = ("/v1/", "/v2/", "/api/")
    return ", ".join(path for path, each in _BY_PATH.items() if each.wire is wire and path.startswith(first))


def metered_apis(wire: Wire) -> tuple[str, ...]:
    """The APIs that a wire's paths are of, by their names in providers.yaml, but for those that cost nothing."""
    named = [each.dialect for each in _BY_PATH.values() if each.wire is wire]
    shaped = [dialect for each, _, actions in _SHAPES if each is wire for dialect in actions.values()]
    return tuple(dict.fromkeys(dialect.api for dialect in (*named, *shaped) if not dialect.free))


def takes_endless(dialect: Dialect, deployment: Deployment) -> bool:
    """Whether the deployment's server takes a negative output limit for none.

    Ollama (https://docs.ollama.com/modelfile, num_predict), LM Studio (https://lmstudio.ai/docs/developer/openai-compat) and
    llama.cpp's server (tools/server/README.md, n_predict) say so; and who knows what stands at an address of one's own.
    """
    if dialect.family is not Family.OPENAI or deployment.provider in _TAKE_ENDLESS:
        return True
    host = urlsplit(deployment.api_base).hostname or ""
    return deployment.provider in _MAYBE_OWN and not f".{host}".endswith(".openai.com")


def find_upstream_path(endpoint: Endpoint, target: str, deployment: Deployment) -> str | None:
    """The path and query for the deployment, where they differ from the client's; its api_base's own path is Envoy's to add.

    The model is renamed, a Vertex project and location become the deployment's, and OpenAI's paths become those of a provider
    that keeps them elsewhere.
    """
    path, mark, query = target.partition("?")
    path = normal_path(path)
    if endpoint.wire is Wire.OPENAI:
        path, query = _own_path(endpoint, path, query, deployment)
    elif endpoint.model is not None:
        name = endpoint.model if deployment.model == endpoint.model else deployment.model
        encoded = path[endpoint.start : endpoint.end] if name == endpoint.model else quote(name, safe="@")
        path = path[: endpoint.start] + encoded + path[endpoint.end :]
    if endpoint.wire is Wire.VERTEX:
        path = _placed(path, deployment)
    mark = "?" if query else mark
    changed = f"{path}{mark}{query}"
    return None if changed == target else changed


def _own_path(endpoint: Endpoint, path: str, query: str, deployment: Deployment) -> tuple[str, str]:
    if deployment.provider in ("ollama", "ollama_chat"):
        return f"/v1{endpoint.rest}", query
    if deployment.provider != "azure":
        return path, query
    # https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle: the v1 surface takes the deployment's name as model.
    if deployment.api_version is None or endpoint.dialect is dialects.OPENAI_RESPONSES:
        return f"/openai/v1{endpoint.rest}", query
    version = f"api-version={quote(deployment.api_version)}"
    if "api-version=" in query:
        version = ""
    return f"/openai/deployments/{quote(deployment.model, safe='')}{endpoint.rest}", "&".join(
        filter(None, (query, version))
    )


def _placed(path: str, deployment: Deployment) -> str:
    """A client's own choice of project or location would be somebody else's bill."""
    places = {"projects": deployment.vertex_project, "locations": deployment.vertex_location}
    return _VERTEX_PLACE.sub(lambda match: places[path[: match.start() - 1].rpartition("/")[2]] or match[0], path)
