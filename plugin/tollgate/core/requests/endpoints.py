"""Which path is which API, who serves it, and how its path is written for the deployment that gets
it.

Paths that name no model are looked up whole; the others, of which the model is a part, by their
shape afterwards.
"""

from __future__ import annotations

import re
from enum import StrEnum
from urllib.parse import quote, unquote, urlsplit

from msgspec import Struct, structs

from tollgate.core.models.deployment import Deployment
from tollgate.core.requests import dialects
from tollgate.core.requests.dialects import Dialect, Family


class Wire(StrEnum):
    """Whose paths. A provider serves the wires that it speaks itself, and those that can be
    rewritten into its own.
    """

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
    """One path of a request: its API, whose path it is, and the model where the path names it
    (`start` to `end`, decoded in `model`).

    `rest`: what follows the prefix (`/v1`, ...) of a path without a model. `path`: how the path is
    written where the client writes it otherwise. `instead`: a wire whose deployments serve it, too,
    if none of `wire` does.
    """

    dialect: Dialect
    wire: Wire
    rest: str = ""
    model: str | None = None
    start: int = 0
    end: int = 0
    path: str = ""
    instead: Wire | None = None


_OPENAI = {
    "/chat/completions": dialects.OPENAI_CHAT,
    "/completions": dialects.OPENAI_COMPLETIONS,
    "/embeddings": dialects.OPENAI_EMBEDDINGS,
    "/fim/completions": dialects.OPENAI_FIM,
    "/responses": dialects.OPENAI_RESPONSES,
    "/responses/compact": dialects.OPENAI_RESPONSES,
    "/responses/input_tokens": dialects.OPENAI_COUNT_TOKENS,
    "/images": dialects.OPENAI_IMAGES,
    "/images/generations": dialects.OPENAI_IMAGES,
    "/images/edits": dialects.OPENAI_IMAGES,
    "/images/variations": dialects.OPENAI_IMAGES,
    "/audio/transcriptions": dialects.OPENAI_TRANSCRIPTION,
    "/audio/translations": dialects.OPENAI_TRANSCRIPTION,
    "/audio/speech": dialects.OPENAI_SPEECH,
    "/moderations": dialects.OPENAI_MODERATION,
    "/ocr": dialects.OPENAI_OCR,
}
_OTHERS = {
    "/v1/messages": (Wire.ANTHROPIC, dialects.ANTHROPIC_MESSAGES),
    "/v1/messages/count_tokens": (Wire.ANTHROPIC, dialects.ANTHROPIC_COUNT_TOKENS),
    "/v1/complete": (Wire.ANTHROPIC, dialects.ANTHROPIC_COMPLETE),
    "/v1beta/interactions": (Wire.GEMINI, dialects.GEMINI_INTERACTIONS),
    "/v2/chat": (Wire.COHERE, dialects.COHERE_CHAT),
    "/v1/chat": (Wire.COHERE, dialects.COHERE_CHAT),
    "/v1/generate": (Wire.COHERE, dialects.COHERE_GENERATE),
    "/v2/embed": (Wire.COHERE, dialects.COHERE_INPUT),
    "/v1/embed": (Wire.COHERE, dialects.COHERE_INPUT),
    "/v2/rerank": (Wire.COHERE, dialects.COHERE_RERANK),
    "/api/chat": (Wire.OLLAMA, dialects.OLLAMA_GENERATE),
    "/api/generate": (Wire.OLLAMA, dialects.OLLAMA_GENERATE),
    "/api/embed": (Wire.OLLAMA, dialects.OLLAMA_EMBED),
    "/api/embeddings": (Wire.OLLAMA, dialects.OLLAMA_EMBED),
}
# OpenRouter and others of OpenAI's format serve Cohere's path.
_RERANK = Endpoint(dialects.COHERE_RERANK, Wire.COHERE, path="/v1/rerank", instead=Wire.OPENAI)
# OpenAI's SDKs take a base address with or without /v1, Azure's own v1 surface stands under
# /openai, and OpenRouter's under /api.
_BY_PATH = (
    {
        prefix + rest: Endpoint(dialect, Wire.OPENAI, rest)
        for prefix in ("/v1", "", "/openai/v1")
        for rest, dialect in _OPENAI.items()
    }
    | {
        f"/api/v1{rest}": Endpoint(dialect, Wire.OPENAI, rest, path=f"/v1{rest}")
        for rest, dialect in _OPENAI.items()
    }
    | {path: Endpoint(dialect, wire, path) for path, (wire, dialect) in _OTHERS.items()}
    | dict.fromkeys(("/v1/rerank", "/rerank", "/api/v1/rerank"), _RERANK)
)

_GEMINI_ACTIONS = {
    "generateContent": dialects.GEMINI_GENERATE,
    "streamGenerateContent": dialects.GEMINI_STREAM,
    "embedContent": dialects.GEMINI_EMBED,
    "batchEmbedContents": dialects.GEMINI_EMBED,
    "countTokens": dialects.GEMINI_COUNT_TOKENS,
    "computeTokens": dialects.GEMINI_COUNT_TOKENS,
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
    "count-tokens": dialects.BEDROCK_COUNT_TOKENS,
}
# Each with the groups `model` and `action`. A public name may hold slashes, percent-encoded or not.
_SHAPES = (
    (
        Wire.AZURE,
        re.compile(
            r"/openai/deployments/(?P<model>.+?)(?P<action>/(?:chat/|images/|audio/)?[a-z]+)"
        ),
        _OPENAI,
    ),
    (
        Wire.GEMINI,
        re.compile(r"/v1(?:beta|alpha)?/models/(?P<model>.+):(?P<action>[A-Za-z]+)"),
        _GEMINI_ACTIONS,
    ),
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
_VERTEX_PLACE = re.compile(
    r"(?<=/projects/)[^/]+(?=/locations/)|(?<=/locations/)[^/]+(?=/publishers/)"
)
# A path is decoded so often, and its last parts are looked at for a known one.
_MOST_ENCODINGS = 3
_MOST_PARTS = 12
_ODD = re.compile(r"%|//|/\.\.?(/|$)|\\")
_ENCODED_DOT = re.compile(r"%(?:25)*2e", re.IGNORECASE)

_LATER = "{} are not served here: what they use is told after the reply, where this gateway cannot charge it."
_NOT_SERVED = tuple(
    (re.compile(shape, re.IGNORECASE), reason)
    for shape, reason in (
        (
            r"/realtime(/|$)|:BidiGenerateContent|\.GenerativeService\.Bidi",
            "Realtime sessions are not served here: what they use is told on a connection that this gateway does not read.",
        ),
        (
            r"/(batches|files|uploads)(/|$)|:(asyncBatch\w+|batchGenerateContent)$",
            _LATER.format("Batches and files"),
        ),
        (
            r"/(batchPredictionJobs|model-invocation-jobs?|async-invoke)(/|$)",
            _LATER.format("Batches"),
        ),
        (r"/videos(/|$)|:predictLongRunning$", _LATER.format("Videos")),
        (
            r"/(threads|fine_tuning|fine-tunes|evals|async)(/|$)",
            _LATER.format("Runs and other jobs"),
        ),
        (
            r"/(responses/(?!(compact|input_tokens)$)|(interactions|chat/completions|conversations)/)[^/]",
            "Stored responses are not served here: this gateway does not know whose they are.",
        ),
    )
)


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
    """The API of a path (without its query), if we know it.

    What a server could take for a known path is that path: any case, doubled slashes, dot segments,
    characters percent-encoded once or again. It is written for the provider as it is known.
    """
    if found := _BY_PATH.get(path):
        return found
    whole = normal_path(path)
    if not _ODD.search(whole):
        return _find_as_written(whole) or _find_in_any_case(whole)
    # The name of a model may be percent-encoded, slashes too.
    if (
        _folded(whole, encoded=True) == whole
        and (found := _find_as_written(whole))
        and _is_name(found.model)
    ):
        return found
    return _find_in_any_case(_folded(whole))


def _is_name(model: str | None) -> bool:
    """Whether no server could read what the path names as a path of its own."""
    return model is not None and _ODD.search(f"/{model}") is None


def find_dialect(path: str) -> Dialect:
    """The API of a path that we do not know: of the longest known path that it ends as, unless that
    one is free.
    """
    parts = _folded(path).split("/")[-_MOST_PARTS:]
    for start in range(len(parts)):
        if found := _find_in_any_case("/" + "/".join(parts[start:])):
            return dialects.OPENAI_OTHER if found.dialect.free else found.dialect
    return dialects.OPENAI_OTHER


def why_not_served(path: str) -> str | None:
    """What to say of a path whose replies do not tell what they cost, or tell it to anybody; None:
    it is not one.
    """
    plain = _folded(path)
    return next((reason for shape, reason in _NOT_SERVED if shape.search(plain)), None)


def _folded(path: str, *, encoded: bool = False) -> str:
    """The path without doubled slashes, dot segments and percent-encodings, with one slash at its
    beginning.

    `encoded`: percent-encodings stay, those of dots apart.
    """
    for _ in range(_MOST_ENCODINGS):
        if "%" not in path:
            break
        path = _ENCODED_DOT.sub(".", path) if encoded else unquote(path)
    parts: list[str] = []
    for part in path.replace("\\", "/").split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def _find_as_written(path: str) -> Endpoint | None:
    if found := _BY_PATH.get(path):
        return found
    for wire, shape, actions in _SHAPES:
        if (match := shape.fullmatch(path)) and (dialect := actions.get(match["action"])):
            if wire is Wire.VERTEX and (match["model"], match["action"]) == _VERTEX_COUNT:
                return Endpoint(dialects.ANTHROPIC_COUNT_TOKENS, wire)
            return Endpoint(
                dialect, wire, "", unquote(match["model"]), match.start("model"), match.end("model")
            )
    return None


def _find_in_any_case(path: str) -> Endpoint | None:
    """The API of a folded path; what it keeps of the client's spelling is the model."""
    low = path.lower()
    if found := _BY_PATH.get(low):
        return structs.replace(found, path=found.path or low)
    for _, shape, actions in _SHAPES:
        match = shape.fullmatch(low)
        if (
            match is None
            or (action := next((each for each in actions if each.lower() == match["action"]), None))
            is None
        ):
            continue
        start, end = match.span("model")
        model = quote(path[start:end], safe="@")
        written = f"{low[:start]}{model}{low[end : match.start('action')]}{action}"
        known = _find_as_written(written)
        return None if known is None else structs.replace(known, path=written)
    return None


def paths_of(wire: Wire) -> str:
    """The paths of a wire, for a message that says where a model can be reached."""
    shapes = {
        Wire.AZURE: "/openai/deployments/{model}/chat/completions",
        Wire.GEMINI: "/v1beta/models/{model}:generateContent, /v1beta/models/{model}:streamGenerateContent, "
        "/v1beta/interactions",
        Wire.VERTEX: "/v1/projects/{project}/locations/{location}/publishers/{publisher}/models/{model}:generateContent",
        Wire.BEDROCK: "/model/{model}/converse, /model/{model}/converse-stream, /model/{model}/invoke",
    }
    if wire in shapes:
        return shapes[wire]
    first = ("/v1/", "/v2/", "/v1beta/", "/api/")
    return ", ".join(
        path
        for path, each in _BY_PATH.items()
        if each.wire is wire and path.startswith(first) and each.path in ("", path)
    )


def metered_apis(wire: Wire) -> tuple[str, ...]:
    """The APIs that a wire's paths are of, by their names in providers.yaml, but for those that
    cost nothing.
    """
    named = [each.dialect for each in _BY_PATH.values() if each.wire is wire]
    shaped = [
        dialect for each, _, actions in _SHAPES if each is wire for dialect in actions.values()
    ]
    return tuple(dict.fromkeys(dialect.api for dialect in (*named, *shaped) if not dialect.free))


def takes_endless(dialect: Dialect, deployment: Deployment) -> bool:
    """Whether the deployment's server takes a negative output limit for none.

    Ollama (https://docs.ollama.com/modelfile, num_predict), LM Studio
    (https://lmstudio.ai/docs/developer/openai-compat) and llama.cpp's server
    (tools/server/README.md, n_predict) say so; and who knows what stands at an address of one's
    own.
    """
    if dialect.family is not Family.OPENAI or deployment.provider in _TAKE_ENDLESS:
        return True
    host = urlsplit(deployment.api_base).hostname or ""
    return deployment.provider in _MAYBE_OWN and not f".{host}".endswith(".openai.com")


def find_upstream_path(endpoint: Endpoint, target: str, deployment: Deployment) -> str | None:
    """The path and query for the deployment, where they differ from the client's; its api_base's
    own path is Envoy's to add.

    The model is renamed, a Vertex project and location become the deployment's, and OpenAI's paths
    become those of a provider that keeps them elsewhere.
    """
    path, mark, query = target.partition("?")
    path = endpoint.path or normal_path(path)
    if endpoint.wire is Wire.OPENAI:
        path, query = _own_path(endpoint, path, query, deployment)
    elif endpoint.model is not None:
        name = endpoint.model if deployment.model == endpoint.model else deployment.model
        encoded = (
            path[endpoint.start : endpoint.end] if name == endpoint.model else quote(name, safe="@")
        )
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
    # https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle: the v1 surface
    # takes the deployment's name as model.
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
    return _VERTEX_PLACE.sub(
        lambda match: places[path[: match.start() - 1].rpartition("/")[2]] or match[0], path
    )
