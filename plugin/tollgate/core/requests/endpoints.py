"""Map paths to APIs, to the providers that serve them, and to the path sent upstream.

A path that names no model is found by a table lookup. A path that contains the model is then
matched by its shape.
"""

from __future__ import annotations

import re
from enum import StrEnum
from urllib.parse import quote, unquote

from msgspec import Struct, structs

from tollgate.core.models.deployment import Deployment
from tollgate.core.requests import dialects
from tollgate.core.requests.dialects import Dialect


class Wire(StrEnum):
    """The vendor whose paths these are.

    A provider serves the wires that it speaks itself and those that can be rewritten into its own.
    """

    OPENAI = "openai"
    AZURE = "azure"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"
    VERTEX = "vertex"
    BEDROCK = "bedrock"
    COHERE = "cohere"
    OLLAMA = "ollama"
    COMPATIBLE = "compatible"
    """OpenAI's chat completions, at the vendors of other APIs that serve that path too."""


# A provider that is missing here speaks OpenAI's format.
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
_OPENAI_ONLY = frozenset({Wire.OPENAI})
_COMPATIBLE_ONLY = frozenset({Wire.COMPATIBLE})


def wires_of(deployment: Deployment) -> frozenset[Wire]:
    """Return the wires that a deployment can serve."""
    if deployment.compatible:
        return _COMPATIBLE_ONLY
    return _WIRES.get(deployment.provider, _OPENAI_ONLY)


class Endpoint(Struct, frozen=True):
    """A request's path: its API, its wire, and the model if the path contains one.

    - `start`, `end`: the span of the model in the path; `model` is its decoded name.
    - `rest`: what follows the prefix (`/v1`, ...) of a path without a model.
    - `path`: the canonical path, if the client spells it differently.
    - `instead`: a wire whose deployments serve the path if none of `wire` does.
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
_INSTEAD = {"/chat/completions": Wire.COMPATIBLE}
# OpenRouter and other OpenAI-compatible providers serve Cohere's path.
_RERANK = Endpoint(dialects.COHERE_RERANK, Wire.COHERE, path="/v1/rerank", instead=Wire.OPENAI)
# OpenAI's SDKs accept a base address with or without /v1, Azure's v1 surface is under /openai, and
# OpenRouter's under /api.
_BY_PATH = (
    {
        prefix + rest: Endpoint(dialect, Wire.OPENAI, rest, instead=_INSTEAD.get(rest))
        for prefix in ("/v1", "", "/openai/v1")
        for rest, dialect in _OPENAI.items()
    }
    | {
        f"/api/v1{rest}": Endpoint(
            dialect, Wire.OPENAI, rest, path=f"/v1{rest}", instead=_INSTEAD.get(rest)
        )
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
    "predict": dialects.VERTEX_PREDICT,
}
_VERTEX_ACTIONS = _GEMINI_ACTIONS | {
    "rawPredict": dialects.ANTHROPIC_MESSAGES,
    "streamRawPredict": dialects.ANTHROPIC_MESSAGES_STREAM,
}
# Publishers other than Anthropic keep OpenAI's shape.
_PARTNER_ACTIONS = _VERTEX_ACTIONS | {
    "rawPredict": dialects.VERTEX_CHAT,
    "streamRawPredict": dialects.VERTEX_CHAT_STREAM,
}
_BEDROCK_ACTIONS = {
    "converse": dialects.BEDROCK_CONVERSE,
    "converse-stream": dialects.BEDROCK_CONVERSE_STREAM,
    "invoke": dialects.BEDROCK_INVOKE,
    "invoke-with-response-stream": dialects.BEDROCK_INVOKE_STREAM,
    "count-tokens": dialects.BEDROCK_COUNT_TOKENS,
}
# Each has the groups `model` and `action`. A public name may contain slashes, encoded or not.
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
            r"/v1(?:beta1)?/(?:projects/[^/]+/locations/[^/]+/)?publishers/(?:google|anthropic)/models/(?P<model>.+):(?P<action>[A-Za-z]+)"
        ),
        _VERTEX_ACTIONS,
    ),
    (
        Wire.VERTEX,
        re.compile(
            r"/v1(?:beta1)?/(?:projects/[^/]+/locations/[^/]+/)?publishers/[^/]+/models/(?P<model>.+):(?P<action>[A-Za-z]+)"
        ),
        _PARTNER_ACTIONS,
    ),
    (Wire.BEDROCK, re.compile(r"/model/(?P<model>.+)/(?P<action>[a-z-]+)"), _BEDROCK_ACTIONS),
)
# The one Vertex path on which the body names the model:
# https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/count-tokens
_VERTEX_COUNT = ("count-tokens", "rawPredict")
# Most rounds of percent-decoding, and how many trailing parts are compared with known paths.
_MOST_ENCODINGS = 3
_MOST_PARTS = 12
_ODD = re.compile(r"%|//|/\.\.?(/|$)|\\")
_ENCODED_DOT = re.compile(r"%(?:25)*2e", re.IGNORECASE)

_LATER = (
    "{} are not served here: their usage is reported after the reply, "
    "where this gateway cannot charge it."
)
_NOT_SERVED = tuple(
    (re.compile(shape, re.IGNORECASE), reason)
    for shape, reason in (
        (
            r"/realtime(/|$)|:BidiGenerateContent|\.GenerativeService\.Bidi",
            (
                "Realtime sessions are not served here: "
                "their usage is reported on a connection that this gateway does not read."
            ),
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
            r"/(responses/(?!(compact|input_tokens)$)"
            r"|(interactions|chat/completions|conversations)/)[^/]",
            "Stored responses are not served here: this gateway does not record who owns them.",
        ),
    )
)


OPENAI_MODELS = ("/v1/models", "/models", "/openai/v1/models")
"""Paths where OpenAI and Anthropic clients list models; below them, one model."""
GOOGLE_MODELS = ("/v1beta/models", "/v1alpha/models")
"""Paths where Google clients list models."""
OLLAMA_MODELS = ("/api/tags",)
"""Paths where Ollama clients list models."""


def normal_path(path: str) -> str:
    """Return the path without trailing slashes, as it is looked up."""
    return path.rstrip("/") or "/"


def find_endpoint(path: str) -> Endpoint | None:
    """Return the API of a path (without its query), or None if it is unknown.

    Every spelling that a server could take for a known path counts as that path: any case, doubled
    slashes, dot segments, single or double percent-encoding. The provider receives the known
    spelling.
    """
    if found := _BY_PATH.get(path):
        return found
    whole = normal_path(path)
    if not _ODD.search(whole):
        return _find_as_written(whole) or _find_in_any_case(whole)
    # A model's name may be percent-encoded, including its slashes.
    if (
        _folded(whole, encoded=True) == whole
        and (found := _find_as_written(whole))
        and _is_name(found.model)
    ):
        return found
    return _find_in_any_case(_folded(whole))


def _is_name(model: str | None) -> bool:
    """Return whether no server could take the model in the path for a path of its own."""
    return model is not None and _ODD.search(f"/{model}") is None


def find_dialect(path: str) -> Dialect:
    """Return the API of an unknown path: that of the longest known path that it ends with.

    A free API yields OPENAI_OTHER, so that an unknown path never passes uncharged.
    """
    parts = _folded(path).split("/")[-_MOST_PARTS:]
    for start in range(len(parts)):
        if found := _find_in_any_case("/" + "/".join(parts[start:])):
            if found.dialect.free:
                return dialects.OPENAI_OTHER
            return found.dialect
    return dialects.OPENAI_OTHER


def why_not_served(path: str) -> str | None:
    """Return why a path cannot be served, or None if it can.

    These paths do not report what they cost, or show it to anybody.
    """
    plain = _folded(path)
    return next((reason for shape, reason in _NOT_SERVED if shape.search(plain)), None)


def _folded(path: str, *, encoded: bool = False) -> str:
    """Return the path with one leading slash and without doubled slashes and dot segments.

    Percent-encodings are decoded; `encoded` keeps all but those of dots.
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
            found = Endpoint(
                dialect, wire, "", unquote(match["model"]), match.start("model"), match.end("model")
            )
            if wire is Wire.AZURE:
                return structs.replace(found, rest=match["action"], instead=Wire.OPENAI)
            return found
    return None


def _find_in_any_case(path: str) -> Endpoint | None:
    """Return the API of a folded path; only the model keeps the client's spelling."""
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
        if known is None:
            return None
        return structs.replace(known, path=written)
    return None


def paths_of(wire: Wire) -> str:
    """Return the paths of a wire, for a message that says where a model can be reached."""
    shapes = {
        Wire.AZURE: "/openai/deployments/{model}/chat/completions",
        Wire.GEMINI: (
            "/v1beta/models/{model}:generateContent, /v1beta/models/{model}:streamGenerateContent, "
            "/v1beta/interactions"
        ),
        Wire.VERTEX: (
            "/v1/projects/{project}/locations/{location}/publishers/{publisher}/models/{model}:generateContent"
        ),
        Wire.BEDROCK: (
            "/model/{model}/converse, /model/{model}/converse-stream, /model/{model}/invoke"
        ),
        Wire.COMPATIBLE: "/v1/chat/completions",
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
    """Return the APIs on a wire's paths that cost something, by their names in providers.yaml."""
    named = [each.dialect for each in _BY_PATH.values() if each.wire is wire]
    shaped = [
        dialect for each, _, actions in _SHAPES if each is wire for dialect in actions.values()
    ]
    return tuple(dict.fromkeys(dialect.api for dialect in (*named, *shaped) if not dialect.free))
