"""Every API and framing through the whole gateway: what a key is charged, to the nano-dollar, and
what the provider was sent.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.e2e.gateway import Gateway, bearer, gateway

INPUT_NANOUSD, OUTPUT_NANOUSD = 1_000, 2_000
_PRICE = "input_cost_per_token: 0.000001, output_cost_per_token: 0.000002"
CONFIG = f"""
model_list:
  - model_name: oa
    litellm_params: {{model: openai/real, api_base: "http://mock-llm/v1", api_key: k-openai,
        {_PRICE}}}
  - model_name: az
    litellm_params: {{model: azure/real, api_base: "http://mock-llm", api_key: k-azure,
        api_version: 2024-10-21, {_PRICE}}}
  - model_name: an
    litellm_params: {{model: anthropic/real, api_base: "http://mock-llm", api_key: k-anthropic,
        {_PRICE}}}
  - model_name: ge
    litellm_params: {{model: gemini/real, api_base: "http://mock-llm", api_key: k-gemini, {_PRICE}}}
  - model_name: ve
    litellm_params: {{model: vertex_ai/real, api_base: "http://mock-llm", api_key: k-vertex,
        vertex_project: ours, {_PRICE}}}
  - model_name: vg
    litellm_params: {{model: vertex_ai/gemini-real, api_base: "http://mock-llm", api_key: k-vertex,
        vertex_project: ours, vertex_location: here, {_PRICE}}}
  - model_name: be
    litellm_params:
      model: bedrock/amazon.real-v1:0
      api_base: "http://mock-llm"
      aws_region_name: eu-west-1
      aws_access_key_id: AKIDTEST
      aws_secret_access_key: secret
      input_cost_per_token: 0.000001
      output_cost_per_token: 0.000002
  - model_name: co
    litellm_params: {{model: cohere/real, api_base: "http://mock-llm", api_key: k-cohere, {_PRICE}}}
  - model_name: ol
    litellm_params: {{model: ollama/real, api_base: "http://mock-llm", {_PRICE}}}
  - model_name: pool
    litellm_params: {{model: openai/real, api_base: "http://127.0.0.1:9/v1", {_PRICE}}}
  - model_name: pool
    litellm_params: {{model: openai/real, api_base: "http://mock-llm/v1", api_key: k-second,
        weight: 0, {_PRICE}}}
general_settings: {{master_key: sk-1234}}
tollgate: {{workers: 2, unknown_paths: allow}}
"""
TEXT = "Say hello to the gate, please"
TOKENS = 8  # four bytes a token, begun
WORDS = 20  # what the mock says, a token a word
CHAT = {"messages": [{"role": "user", "content": TEXT}]}
CONVERSE = {"messages": [{"role": "user", "content": [{"text": TEXT}]}]}
CONTENTS = {"contents": [{"parts": [{"text": TEXT}]}]}
VERTEX = "/v1/projects/theirs/locations/europe-west1/publishers"


@dataclass(frozen=True)
class Case:
    """A call, the tokens that it is charged for, and what the provider must have been asked (path;
    None: the client's).
    """

    name: str
    path: str
    body: dict[str, Any]
    input: int = TOKENS
    output: int = WORDS
    content_type: str = "application/json"
    upstream: str | None = None
    form: dict[str, str] = field(default_factory=dict)


SSE, LINES, AWS = "text/event-stream", "application/x-ndjson", "application/vnd.amazon.eventstream"
CASES = [
    Case("chat", "/v1/chat/completions", {"model": "oa", **CHAT}),
    Case("chat stream", "/chat/completions", {"model": "oa", "stream": True, **CHAT},
     content_type=SSE, upstream="/v1/chat/completions"),
    Case("completion", "/v1/completions", {"model": "oa", "prompt": TEXT}),
    Case("completion stream", "/v1/completions", {"model": "oa", "prompt": TEXT, "stream": True},
     content_type=SSE),
    Case("embedding", "/v1/embeddings", {"model": "oa", "input": TEXT}, output=0),
    Case("response", "/v1/responses", {"model": "oa", "input": TEXT}),
    Case("response stream", "/v1/responses", {"model": "oa", "input": TEXT, "stream": True},
     content_type=SSE),
    Case("response cut by its limit", "/v1/responses",
     {"model": "oa", "input": TEXT, "stream": True, "max_output_tokens": 5},
         output=5, content_type=SSE),
    Case("picture", "/v1/images/generations", {"model": "oa", "prompt": TEXT}, output=1056),
    Case("picture stream", "/v1/images/generations",
     {"model": "oa", "prompt": TEXT, "stream": True}, output=1056, content_type=SSE),
    Case("transcription", "/v1/audio/transcriptions", {}, input=50, form={"model": "oa"}),
    Case("transcription stream", "/v1/audio/transcriptions", {}, input=50, content_type=SSE,
     form={"model": "oa", "stream": "true"}),
    Case("speech events", "/v1/audio/speech",
     {"model": "oa", "input": TEXT, "stream_format": "sse"}, output=50, content_type=SSE),
    Case("azure", "/openai/deployments/az/chat/completions?api-version=1", CHAT,
         upstream="/openai/deployments/real/chat/completions?api-version=1"),
    Case("azure stream", "/openai/deployments/az/chat/completions?api-version=1",
     {"stream": True, **CHAT}, content_type=SSE,
         upstream="/openai/deployments/real/chat/completions?api-version=1"),
    Case("azure by openai's path", "/v1/chat/completions", {"model": "az", **CHAT},
         upstream="/openai/deployments/real/chat/completions?api-version=2024-10-21"),
    Case("message", "/v1/messages", {"model": "an", "max_tokens": 99, **CHAT}),
    Case("message stream", "/v1/messages",
     {"model": "an", "max_tokens": 99, "stream": True, **CHAT}, content_type=SSE),
    Case("claude for openai's clients", "/v1/chat/completions", {"model": "an", **CHAT}),
    Case("claude for openai's clients, stream", "/v1/chat/completions",
     {"model": "an", "stream": True, **CHAT}, content_type=SSE),
    Case("gemini for openai's clients", "/v1/chat/completions", {"model": "ge", **CHAT},
     upstream="/v1beta/openai/chat/completions"),
    Case("vertex for openai's clients", "/v1/chat/completions", {"model": "vg", **CHAT},
         upstream="/v1/projects/ours/locations/here/endpoints/openapi/chat/completions"),
    Case("openai for azure's clients",
         "/openai/deployments/oa/chat/completions?api-version=2024-10-21", CHAT,
         upstream="/v1/chat/completions"),
    Case("gemini", "/v1beta/models/ge:generateContent", CONTENTS,
     upstream="/v1beta/models/real:generateContent"),
    Case("gemini stream", "/v1beta/models/ge:streamGenerateContent?alt=sse", CONTENTS,
     content_type=SSE,
         upstream="/v1beta/models/real:streamGenerateContent?alt=sse"),
    Case("gemini array", "/v1beta/models/ge:streamGenerateContent", CONTENTS,
     upstream="/v1beta/models/real:streamGenerateContent"),
    Case("vertex", f"{VERTEX}/google/models/ve:generateContent", CONTENTS,
         upstream="/v1/projects/ours/locations/europe-west1/publishers/google/models/real:generateContent"),
    Case("vertex embedding", f"{VERTEX}/google/models/ve:predict",
     {"instances": [{"content": TEXT}]}, output=0,
         upstream="/v1/projects/ours/locations/europe-west1/publishers/google/models/real:predict"),
    Case("claude on vertex", f"{VERTEX}/anthropic/models/ve:streamRawPredict",
     {"stream": True, "max_tokens": 99, **CHAT}, content_type=SSE,
         upstream="/v1/projects/ours/locations/europe-west1/publishers/anthropic/models/real:streamRawPredict"),
    Case("converse", "/model/be/converse", CONVERSE, upstream="/model/amazon.real-v1%3A0/converse"),
    Case("converse stream", "/model/be/converse-stream", CONVERSE, content_type=AWS,
     upstream="/model/amazon.real-v1%3A0/converse-stream"),
    Case("invoke", "/model/be/invoke", {"max_tokens": 99, **CHAT},
     upstream="/model/amazon.real-v1%3A0/invoke"),
    Case("invoke stream", "/model/be/invoke-with-response-stream", {"max_tokens": 99, **CHAT},
     content_type=AWS,
         upstream="/model/amazon.real-v1%3A0/invoke-with-response-stream"),
    Case("cohere", "/v2/chat", {"model": "co", **CHAT}),
    Case("cohere stream", "/v2/chat", {"model": "co", "stream": True, **CHAT}, content_type=SSE),
    Case("cohere embedding", "/v2/embed", {"model": "co", "texts": [TEXT]}, output=0),
    Case("ollama stream", "/api/chat", {"model": "ol", **CHAT}, content_type=LINES),
    Case("ollama", "/api/generate", {"model": "ol", "prompt": TEXT, "stream": False}),
    Case("ollama embedding", "/api/embed", {"model": "ol", "input": TEXT}, output=0),
    Case("ollama by openai's path", "/v1/chat/completions", {"model": "ol", **CHAT}),
]  # fmt: skip


@pytest_asyncio.fixture(scope="module", params=["grpc", "native"])
async def tollgate(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """A gateway before every kind of provider, in each mode."""
    async with gateway(
        tmp_path_factory.mktemp("providers"), CONFIG, "--mode", request.param
    ) as running:
        yield running


async def send(tollgate: Gateway, key: str, case: Case) -> httpx.Response:
    """Make the call of a case."""
    url = tollgate.url + case.path
    if case.form:
        return await tollgate.client.post(
            url, data=case.form, files={"file": ("a.mp3", b"\xff\xfb" * 4096)}, headers=bearer(key)
        )
    return await tollgate.client.post(url, json=case.body, headers=bearer(key))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_call_costs_what_its_reply_says(tollgate: Gateway, case: Case) -> None:
    """The key's spend is the provider's own count times the price, whatever the API and the
    framing.
    """
    key = await tollgate.key(max_budget=1)
    reply = await send(tollgate, key, case)
    assert (reply.status_code, reply.headers["content-type"].partition(";")[0]) == (
        200,
        case.content_type,
    ), reply.text
    assert reply.headers["x-mock-path"] == (case.upstream or case.path)
    spend = round(await tollgate.spend(key) * 1_000_000_000)
    assert spend == case.input * INPUT_NANOUSD + case.output * OUTPUT_NANOUSD


@pytest.mark.parametrize(
    ("path", "body", "credential"),
    [
        ("/v1/chat/completions", {"model": "oa", **CHAT}, "Bearer k-openai"),
        ("/v1/chat/completions", {"model": "az", **CHAT}, "k-azure"),
        ("/v1/messages", {"model": "an", "max_tokens": 9, **CHAT}, "k-anthropic"),
        ("/v1beta/models/ge:generateContent", CONTENTS, "k-gemini"),
        ("/v1/chat/completions", {"model": "an", **CHAT}, "Bearer k-anthropic"),
        ("/v1/chat/completions", {"model": "ge", **CHAT}, "Bearer k-gemini"),
        (f"{VERTEX}/google/models/ve:generateContent", CONTENTS, "Bearer k-vertex"),
        ("/model/be/converse", CONVERSE, "AWS4-HMAC-SHA256 Credential=AKIDTEST/"),
        ("/v2/chat", {"model": "co", **CHAT}, "Bearer k-cohere"),
    ],
)
async def test_each_provider_sees_its_own_credential(
    tollgate: Gateway, path: str, body: dict[str, Any], credential: str
) -> None:
    """And the client's key never."""
    reply = await tollgate.client.post(
        tollgate.url + path, json=body, headers=bearer(await tollgate.key())
    )
    assert reply.headers["x-mock-authorization"].startswith(credential)


async def test_a_form_reaches_the_provider_with_its_own_model_name(tollgate: Gateway) -> None:
    """Every other byte is the client's."""
    raw = (
        b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nNAME\r\n--b\r\n'
        + b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n\x00\xff\r\n--b--\r\n'
    )
    headers = {**bearer(await tollgate.key()), "content-type": "multipart/form-data; boundary=b"}
    reply = await tollgate.client.post(
        tollgate.url + "/v1/audio/transcriptions",
        content=raw.replace(b"NAME", b"oa"),
        headers=headers,
    )
    assert reply.headers["x-mock-body-sha256"] == sha256(raw.replace(b"NAME", b"real")).hexdigest()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/moderations", {"model": "oa", "input": TEXT}),
        ("/v1/messages/count_tokens", {"model": "an", **CHAT}),
        ("/v1beta/models/ge:countTokens", CONTENTS),
    ],
)
async def test_what_is_free_costs_a_request_and_nothing_else(
    tollgate: Gateway, path: str, body: dict[str, Any]
) -> None:
    """With a budget of nothing it passes; the limit of requests counts it."""
    key = await tollgate.key(max_budget=0, rpm_limit=1, tpm_limit=1000)
    replies = [
        await tollgate.client.post(tollgate.url + path, json=body, headers=bearer(key))
        for _ in range(2)
    ]
    assert [each.status_code for each in replies] == [200, 429]
    assert (await tollgate.info(key))["spend"] == 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/audio/speech", {"model": "oa", "input": TEXT}),
        ("/v1beta/models/ge:embedContent", {"content": {"parts": [{"text": TEXT}]}}),
    ],
)
async def test_a_reply_that_tells_nothing_is_charged_by_estimate(
    tollgate: Gateway, path: str, body: dict[str, Any]
) -> None:
    """Never silently zero."""
    key = await tollgate.key(max_budget=1)
    reply = await tollgate.client.post(tollgate.url + path, json=body, headers=bearer(key))
    assert (reply.status_code, await tollgate.spend(key) > 0) == (200, True)


async def test_an_unknown_path_is_passed_on(tollgate: Gateway) -> None:
    """Where `unknown_paths` is `allow`: the mock does not know it either, and says so."""
    key = await tollgate.key(rpm_limit=1, max_budget=1)
    url = tollgate.url + "/v1/unheard/of"
    first, second = [
        await tollgate.client.post(url, json={"model": "oa"}, headers=bearer(key)) for _ in range(2)
    ]
    assert (first.status_code, first.headers["x-mock-path"], second.status_code) == (
        404,
        "/v1/unheard/of",
        429,
    )


async def test_a_key_in_the_query_goes_no_further(tollgate: Gateway) -> None:
    """Also where the path is rewritten."""
    key = await tollgate.key()
    url = f"{tollgate.url}/v1beta/models/ge:streamGenerateContent?key={key}&alt=sse"
    reply = await tollgate.client.post(url, json=CONTENTS)
    assert reply.headers["x-mock-path"] == "/v1beta/models/real:streamGenerateContent?alt=sse"


async def test_failover_is_settled_once(tollgate: Gateway) -> None:
    """The first deployment cannot be reached; the second serves, and the call is paid for once."""
    key = await tollgate.key(max_budget=1, rpm_limit=10)
    reply = await tollgate.client.post(
        tollgate.url + "/v1/chat/completions", json={"model": "pool", **CHAT}, headers=bearer(key)
    )
    assert (reply.status_code, reply.headers["x-mock-authorization"]) == (200, "Bearer k-second")
    assert reply.headers["x-ratelimit-remaining-requests"] == "9"
    spend = round(await tollgate.spend(key) * 1_000_000_000)
    assert spend == TOKENS * INPUT_NANOUSD + WORDS * OUTPUT_NANOUSD


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/v1beta/models/ge:generateContent", ["error", "message"]),
        ("/model/be/converse", ["message"]),
        ("/v2/chat", ["message"]),
        ("/api/chat", ["error"]),
    ],
)
async def test_a_refusal_is_in_the_dialect_of_its_path(
    tollgate: Gateway, path: str, place: list[str]
) -> None:
    """Without a key: 401, in words that the API's own client finds."""
    reply = await tollgate.client.post(tollgate.url + path, json={})
    said = json.loads(reply.text)
    for name in place:
        said = said[name]
    assert (reply.status_code, "No api key" in said) == (401, True)
