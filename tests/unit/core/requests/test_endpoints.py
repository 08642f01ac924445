"""Which path is which API, and how it is written for the deployment that gets it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tollgate.core.models.deployment import Deployment
from tollgate.core.requests.dialects import family_of_path
from tollgate.core.requests.endpoints import Wire, find_endpoint, paths_of, wires_of
from tollgate.core.requests.upstream_path import find_upstream_path, takes_endless

PATHS = [
    ("/v1/chat/completions", "openai.chat", "openai", None),
    ("/chat/completions", "openai.chat", "openai", None),
    ("/openai/v1/chat/completions", "openai.chat", "openai", None),
    ("/v1/completions", "openai.completions", "openai", None),
    ("/v1/embeddings", "openai.embeddings", "openai", None),
    ("/v1/responses", "openai.responses", "openai", None),
    ("/v1/images/generations", "openai.images", "openai", None),
    ("/v1/images/edits", "openai.images", "openai", None),
    ("/v1/audio/transcriptions", "openai.transcription", "openai", None),
    ("/v1/audio/translations", "openai.transcription", "openai", None),
    ("/v1/audio/speech", "openai.speech", "openai", None),
    ("/v1/moderations", "openai.moderation", "openai", None),
    ("/openai/deployments/gpt-4o/chat/completions", "openai.chat", "azure", "gpt-4o"),
    ("/openai/deployments/a%2Fb/embeddings", "openai.embeddings", "azure", "a/b"),
    ("/openai/deployments/a/b/images/edits", "openai.images", "azure", "a/b"),
    ("/v1/messages", "anthropic.messages", "anthropic", None),
    ("/v1/messages/count_tokens", "anthropic.count_tokens", "anthropic", None),
    ("/v1beta/models/gemini-2.5-pro:generateContent", "gemini.generate", "gemini",
     "gemini-2.5-pro"),
    ("/v1/models/g:streamGenerateContent", "gemini.generate", "gemini", "g"),
    ("/v1beta/models/g:embedContent", "gemini.embed", "gemini", "g"),
    ("/v1beta/models/g:countTokens", "gemini.count_tokens", "gemini", "g"),
    ("/v1/projects/p/locations/l/publishers/google/models/g:generateContent", "gemini.generate",
     "vertex", "g"),
    ("/v1/projects/p/locations/l/publishers/google/models/e:predict", "vertex.predict", "vertex",
     "e"),
    ("/v1/projects/p/locations/l/publishers/anthropic/models/c@1:rawPredict", "anthropic.messages",
     "vertex", "c@1"),
    ("/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict",
     "anthropic.count_tokens", "vertex",
     None),
    ("/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:streamRawPredict",
     "anthropic.messages",
     "vertex", "count-tokens"),
    ("/v1/projects/p/locations/l/publishers/mistralai/models/m@2411:rawPredict", "openai.chat",
     "vertex", "m@2411"),
    ("/v1/projects/p/locations/l/publishers/mistralai/models/m:streamRawPredict", "openai.chat",
     "vertex", "m"),
    ("/v1beta1/publishers/google/models/g:countTokens", "gemini.count_tokens", "vertex", "g"),
    ("/model/anthropic.claude-v1%3A0/converse", "bedrock.converse", "bedrock",
     "anthropic.claude-v1:0"),
    ("/model/arn%3Aaws%3Abedrock%3A%3A1%3Aprofile%2Fx/converse-stream", "bedrock.converse_stream",
     "bedrock",
     "arn:aws:bedrock::1:profile/x"),
    ("/model/m/invoke", "bedrock.invoke", "bedrock", "m"),
    ("/model/m/invoke-with-response-stream", "bedrock.invoke_stream", "bedrock", "m"),
    ("/v2/chat", "cohere.chat", "cohere", None),
    ("/v2/rerank", "cohere.rerank", "cohere", None),
    ("/v1/rerank", "cohere.rerank", "cohere", None),
    ("/rerank", "cohere.rerank", "cohere", None),
    ("/v1/generate", "cohere.chat", "cohere", None),
    ("/v1/responses/compact", "openai.responses", "openai", None),
    ("/v1/responses/input_tokens", "openai.count_tokens", "openai", None),
    ("/v1/fim/completions", "openai.chat", "openai", None),
    ("/v1/images", "openai.images", "openai", None),
    ("/v1/ocr", "openai.ocr", "openai", None),
    ("/api/v1/chat/completions", "openai.chat", "openai", None),
    ("/v1/complete", "anthropic.complete", "anthropic", None),
    ("/v1beta/interactions", "gemini.interactions", "gemini", None),
    ("/model/m/count-tokens", "bedrock.count_tokens", "bedrock", "m"),
    ("/api/chat", "ollama", "ollama", None),
    ("/api/generate", "ollama", "ollama", None),
    ("/api/embed", "ollama", "ollama", None),
]  # fmt: skip


@pytest.mark.parametrize(("path", "api", "wire", "model"), PATHS)
def test_a_path_is_one_api_on_one_wire(path: str, api: str, wire: str, model: str | None) -> None:
    """And names a model or leaves that to the body."""
    endpoint = find_endpoint(path)
    assert endpoint is not None
    assert (endpoint.dialect.api, endpoint.wire, endpoint.model) == (api, wire, model)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/files",
        "/v1/models/gpt-4o",
        "/v1beta/models/g:deleteModel",
        "/v1beta/models/:generateContent",
        "/openai/deployments/d/files",
        "/model//converse",
        "/model/m/apply",
        "/v1/projects/p/models/g:generateContent",
    ],
)
def test_other_paths_are_unknown(path: str) -> None:
    """Near misses too."""
    assert find_endpoint(path) is None


@pytest.mark.parametrize(("path", "api", "wire", "model"), PATHS)
def test_a_slash_at_the_end_changes_nothing(
    path: str, api: str, wire: str, model: str | None
) -> None:
    """Clients join addresses and paths in their own ways."""
    for slashes in ("/", "//"):
        assert find_endpoint(path + slashes) == find_endpoint(path)
        assert family_of_path(path + slashes) == family_of_path(path)


def deployment(provider: str, model: str = "real", **more: str) -> Deployment:
    return replace(Deployment("d", "public", provider, model, "http://h"), **more)  # type: ignore[arg-type]


def upstream(target: str, served_by: Deployment) -> str | None:
    endpoint = find_endpoint(target.partition("?")[0])
    assert endpoint is not None
    assert {endpoint.wire, endpoint.instead} & wires_of(served_by)
    return find_upstream_path(endpoint, target, served_by)


VERTEX = "/v1/projects/p/locations/l/publishers/google/models"


@pytest.mark.parametrize(
    ("target", "served_by", "wanted"),
    [
        ("/v1/chat/completions?a=b", deployment("openai"), None),
        ("/v1/messages", deployment("anthropic"), None),
        ("/v1beta/models/real:generateContent?alt=sse", deployment("gemini"), None),
        ("/v1beta/models/public:generateContent?alt=sse", deployment("gemini"),
         "/v1beta/models/real:generateContent?alt=sse"),
        ("/model/public/converse", deployment("bedrock", "a.b-v1:0"), "/model/a.b-v1%3A0/converse"),
        ("/model/a.b-v1%3A0/converse", deployment("bedrock", "a.b-v1:0"), None),
        ("/openai/deployments/public/embeddings?api-version=1", deployment("azure"),
         "/openai/deployments/real/embeddings?api-version=1"),
        (f"{VERTEX}/public:generateContent", deployment("vertex_ai", "c@1"),
         f"{VERTEX}/c@1:generateContent"),
        (f"{VERTEX}/real:predict", deployment("vertex_ai", vertex_project="q", vertex_location="m"),
         "/v1/projects/q/locations/m/publishers/google/models/real:predict"),
        ("/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict",
         deployment("vertex_ai", vertex_project="q"),
         "/v1/projects/q/locations/l/publishers/anthropic/models/count-tokens:rawPredict"),
        ("/v1/chat/completions", deployment("azure"), "/openai/v1/chat/completions"),
        ("/v1/chat/completions", deployment("azure", api_version="2"),
         "/openai/deployments/real/chat/completions?api-version=2"),
        ("/embeddings?api-version=1&a=b", deployment("azure", api_version="2"),
         "/openai/deployments/real/embeddings?api-version=1&a=b"),
        ("/v1/responses", deployment("azure", api_version="2"), "/openai/v1/responses"),
        ("/chat/completions?a=b", deployment("ollama"), "/v1/chat/completions?a=b"),
        ("/api/chat", deployment("ollama"), None),
        ("/v1/chat/completions/?a=b", deployment("openai"), "/v1/chat/completions?a=b"),
        ("/v1/messages/", deployment("anthropic"), "/v1/messages"),
        ("/v1beta/models/real:generateContent/", deployment("gemini"),
         "/v1beta/models/real:generateContent"),
        ("/model/public/converse/", deployment("bedrock", "m"), "/model/m/converse"),
        ("/chat/completions/", deployment("ollama"), "/v1/chat/completions"),
        ("/openai/deployments/public/chat/completions?api-version=1&a=b", deployment("openai"),
         "/v1/chat/completions?a=b"),
        ("/openai/deployments/public/embeddings?api-version=1", deployment("groq"),
         "/v1/embeddings"),
        ("/openai/deployments/public/embeddings/", deployment("azure"),
         "/openai/deployments/real/embeddings"),
    ],
)  # fmt: skip
def test_a_path_is_rewritten_for_its_deployment(
    target: str, served_by: Deployment, wanted: str | None
) -> None:
    """The model, Vertex's project and location, and OpenAI's paths at a provider that keeps them
    elsewhere; None is the client's own.
    """
    assert upstream(target, served_by) == wanted


@pytest.mark.parametrize("wire", Wire)
def test_every_wire_can_be_told(wire: Wire) -> None:
    """A message that names paths names some."""
    assert paths_of(wire).startswith("/")


def test_an_unnamed_provider_speaks_openais_format() -> None:
    """There are hundreds of them."""
    assert wires_of(deployment("groq")) == {Wire.OPENAI}


CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("path", "provider", "api_base", "wanted"),
    [
        (CHAT, "lm_studio", "http://h", True),
        (CHAT, "ollama", "http://h", True),
        ("/api/chat", "ollama", "http://h", True),
        (CHAT, "openai", "http://10.0.0.1/v1", True),
        (CHAT, "openai", "https://api.openai.com/v1", False),
        (CHAT, "openai", "https://eu.api.openai.com/v1", False),
        (CHAT, "groq", "https://api.groq.com", False),
        (CHAT, "azure", "https://x.openai.azure.com", False),
    ],
)
def test_a_negative_output_limit_is_taken_where_the_server_knows_it(
    path: str, provider: str, api_base: str, wanted: bool
) -> None:
    """Servers of one's own, and those whose documentation says so."""
    endpoint = find_endpoint(path)
    assert endpoint is not None
    assert takes_endless(endpoint.dialect, Deployment("d", "p", provider, "m", api_base)) is wanted
