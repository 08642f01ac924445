"""Admission over all APIs: whose paths a deployment serves, what is free, and paths that nobody
knows.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from tests.desk import MASTER, SECRET, Desk, admission, refusal
from tests.fakes import MemoryCounters
from tests.make import limit_set

from tollgate.core.answers.wording import Preset
from tollgate.core.calls.reservation import Reservation
from tollgate.core.entities import LimitSet
from tollgate.core.limits.accounts import Meter, Standing
from tollgate.core.models.deployment import Deployment


def of(provider: str, name: str, model: str = "gpt-4o", **more: Any) -> Deployment:
    return replace(Deployment(name, name, provider, model, "http://mock-llm"), **more)


EVERY = (
    of("openai", "o"),
    of("azure", "az"),
    of("anthropic", "an"),
    of("gemini", "ge"),
    of("vertex_ai", "ve"),
    of("bedrock", "be"),
    of("cohere", "co"),
    of("ollama", "ol"),
)
CHAT = {"messages": [{"role": "user", "content": "hi"}]}
VERTEX = "/v1/projects/p/locations/l/publishers/google/models"


@pytest.mark.parametrize(
    ("path", "asked", "api", "upstream"),
    [
        ("/v1/chat/completions", {"model": "o", **CHAT}, "openai.chat", None),
        (
            "/v1/chat/completions",
            {"model": "az", **CHAT},
            "openai.chat",
            "/openai/v1/chat/completions",
        ),
        ("/v1/responses", {"model": "o", "input": "hi"}, "openai.responses", None),
        ("/v1/images/generations", {"model": "o", "prompt": "hi"}, "openai.images", None),
        ("/v1/audio/speech", {"model": "o", "input": "hi"}, "openai.speech", None),
        (
            "/openai/deployments/az/chat/completions",
            CHAT,
            "openai.chat",
            "/openai/deployments/gpt-4o/chat/completions",
        ),
        ("/v1/messages", {"model": "an", "max_tokens": 3, **CHAT}, "anthropic.messages", None),
        (
            "/v1beta/models/ge:generateContent",
            {},
            "gemini.generate",
            "/v1beta/models/gpt-4o:generateContent",
        ),
        (f"{VERTEX}/ve:predict", {"instances": []}, "vertex.predict", f"{VERTEX}/gpt-4o:predict"),
        ("/model/be/converse", CHAT, "bedrock.converse", "/model/gpt-4o/converse"),
        ("/v2/chat", {"model": "co", **CHAT}, "cohere.chat", None),
        ("/api/chat", {"model": "ol", **CHAT}, "ollama", None),
        ("/v1/completions", {"model": "ol", "prompt": "hi"}, "openai.completions", None),
    ],
)
async def test_each_path_goes_to_a_deployment_that_serves_it(
    path: str, asked: dict[str, object], api: str, upstream: str | None
) -> None:
    """The reservation names the API, and the path is the provider's."""
    admitted = admission(await Desk(deployments=EVERY).ask(asked, path))
    assert admitted.reservation is not None
    assert (admitted.reservation.dialect, admitted.path) == (api, upstream)


@pytest.mark.parametrize(
    ("path", "streams"),
    [
        ("/v1beta/models/ge:streamGenerateContent", True),
        ("/v1beta/models/ge:generateContent", False),
        ("/model/be/converse-stream", True),
        ("/model/be/invoke-with-response-stream", True),
        (f"{VERTEX}/ve:streamRawPredict", True),
        ("/api/chat", True),
    ],
)
async def test_a_stream_is_known_by_its_path_or_its_apis_default(path: str, streams: bool) -> None:
    """Where the body does not say it."""
    admitted = admission(await Desk(deployments=EVERY).ask({"model": "ol"}, path))
    assert admitted.reservation is not None
    assert admitted.reservation.stream is streams


async def test_a_model_of_the_path_leaves_the_body_alone() -> None:
    """Azure takes no notice of a body's model where the path names the deployment."""
    admitted = admission(
        await Desk(deployments=EVERY).ask(
            {"model": "az", **CHAT}, "/openai/deployments/az/chat/completions"
        )
    )
    assert admitted.edits == ()


async def test_a_form_is_edited_where_its_model_stands() -> None:
    """An upload of sound with a public model name."""
    raw = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\no\r\n--b--\r\n'
    headers = {
        "authorization": f"Bearer {SECRET}",
        "content-type": "multipart/form-data; boundary=b",
    }
    admitted = admission(
        await Desk(deployments=EVERY).ask(raw, "/v1/audio/transcriptions", headers=headers)
    )
    assert [(each.offset, each.delete, each.insert) for each in admitted.edits] == [
        (raw.index(b"o\r\n--b--"), 1, "gpt-4o")
    ]


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/moderations", {"model": "o", "input": "hi"}),
        ("/v1/messages/count_tokens", {"model": "an", **CHAT}),
        ("/v1beta/models/ge:countTokens", {}),
    ],
)
async def test_what_is_free_counts_as_a_request_only(path: str, asked: dict[str, object]) -> None:
    """Neither tokens nor money are held, and a spent token limit or budget does not refuse it."""
    desk = Desk(deployments=EVERY)
    desk.key(limits=limit_set(rpm=5, tpm=0, parallel=5, max_budget_nanousd=0))
    admitted = admission(await desk.ask(asked, path))
    assert admitted.reservation is not None
    key = admitted.reservation.accounts[0]
    assert [each.meter for each in key.limits] == [Meter.REQUESTS, Meter.CALLS]
    assert (admitted.reservation.input_tokens, admitted.reservation.output_tokens) == (0, 0)


async def test_a_model_is_told_where_it_is_served() -> None:
    """The message names the paths of its provider."""
    status, body, _ = refusal(await Desk(deployments=EVERY).ask({"model": "be", **CHAT}))
    assert (status, "/model/{model}/converse" in body["error"]["message"]) == (400, True)


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        ("/v1beta/models/none:generateContent", 404, "NOT_FOUND"),
        ("/model/none/converse", 404, "ResourceNotFoundException"),
        ("/v2/chat", 404, "does not exist"),
        ("/api/chat", 404, "does not exist"),
    ],
)
async def test_a_refusal_is_in_the_dialect_of_its_path(path: str, status: int, word: str) -> None:
    """Body and header."""
    decision = await Desk(deployments=EVERY).ask({"model": "none"}, path)
    told, body, headers = refusal(decision)
    assert (told, word in str(body) + str(headers)) == (status, True)


@pytest.mark.parametrize("preset", list(Preset))
@pytest.mark.parametrize(
    ("path", "asked", "word"),
    [
        ("/v1/messages", {"model": "an", "max_tokens": 3, **CHAT}, "billing_error"),
        ("/v1beta/models/ge:generateContent", {}, "RESOURCE_EXHAUSTED"),
        (f"{VERTEX}/ve:predict", {"instances": []}, "RESOURCE_EXHAUSTED"),
        ("/model/be/converse", CHAT, "ServiceQuotaExceededException"),
        ("/v2/chat", {"model": "co", **CHAT}, "budget"),
        ("/api/chat", {"model": "ol", **CHAT}, "budget"),
    ],
)
async def test_a_spent_budget_is_no_failed_login_on_paths_that_are_not_openais(
    preset: Preset, path: str, asked: dict[str, object], word: str
) -> None:
    """402 in the dialect of its path, with the scope and its budget in the message, and never worth
    repeating.
    """
    desk = Desk(deployments=EVERY)
    desk.terms = replace(desk.terms, errors=preset)
    desk.key(limits=LimitSet(max_budget_nanousd=0))
    status, body, headers = refusal(await desk.ask(asked, path))
    assert (status, headers["x-should-retry"]) == (402, "false")
    assert word.lower() in (str(body) + str(headers)).lower()
    assert "Max Budget" in str(body) or "Max budget" in str(body)


async def test_a_body_without_a_model_is_refused_where_the_path_names_none() -> None:
    """By the field's name."""
    status, body, _ = refusal(await Desk().ask(CHAT))
    assert (status, body["error"]["param"]) == (400, "model")


async def test_calls_are_shared_out_by_weight() -> None:
    """Three of four; a weight of 0 is a stand-by."""
    pool = tuple(
        replace(of("openai", "o"), id=identity, weight=weight)
        for identity, weight in (("a", 3), ("b", 1), ("c", 0))
    )
    desk = Desk(deployments=pool)
    asked = {"model": "o", **CHAT}
    assert Counter([admission(await desk.ask(asked)).deployment for _ in range(40)]) == {
        "a": 30,
        "b": 10,
    }


async def test_deployments_without_any_weight_are_alike() -> None:
    """All zero is no reason to refuse."""
    pool = tuple(replace(of("openai", "o"), id=identity, weight=0) for identity in ("a", "b"))
    desk = Desk(deployments=pool)
    assert {admission(await desk.ask({"model": "o", **CHAT})).deployment for _ in range(4)} == {
        "a",
        "b",
    }


class _Together(MemoryCounters):
    """Answers calls as if all had come together: with one standing."""

    shared: Standing | None = None

    async def reserve(self, reservation: Reservation) -> Standing:
        self.shared = self.shared or await super().reserve(reservation)
        return self.shared


async def test_calls_that_share_a_standing_read_it_in_the_headers_of_their_own_api() -> None:
    """Anthropic's SDK reads other names than OpenAI's."""
    desk = Desk(
        deployments=(replace(EVERY[0], model_name="both"), replace(EVERY[2], model_name="both"))
    )
    desk.counters = _Together(desk.clock)
    desk.key(limits=limit_set(rpm=5))
    told = [
        {
            each.name
            for each in admission(
                await desk.ask({"model": "both", "max_tokens": 3, **CHAT}, path)
            ).headers
        }
        for path in ("/v1/chat/completions", "/v1/messages", "/v1/chat/completions")
    ]
    assert ["anthropic-ratelimit-requests-remaining" in names for names in told] == [
        False,
        True,
        False,
    ]
    assert all("x-ratelimit-remaining-requests" in names for names in told)


async def test_tokens_are_counted_for_free_where_vertex_names_the_model_in_the_body() -> None:
    """On its one path that does; the name becomes the deployment's."""
    path = "/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict"
    admitted = admission(await Desk(deployments=EVERY).ask({"model": "ve", **CHAT}, path))
    assert admitted.reservation is not None
    assert (admitted.reservation.dialect, admitted.reservation.cost_nanousd) == (
        "anthropic.count_tokens",
        0,
    )
    assert [each.insert for each in admitted.edits] == ['"gpt-4o"']


async def test_a_negative_output_limit_is_none_where_the_server_knows_it() -> None:
    """It is held as if no limit was named; elsewhere it is a bad request."""
    own, theirs = of("openai", "own"), of("openai", "theirs", api_base="https://api.openai.com/v1")
    desk = Desk(deployments=(own, theirs))
    held = admission(await desk.ask({"model": "own", "max_tokens": -1, **CHAT})).reservation
    assert held is not None
    assert (held.output_tokens, held.guessed) == (100, True)
    status, body, _ = refusal(await desk.ask({"model": "theirs", "max_tokens": -1, **CHAT}))
    assert (status, body["error"]["param"]) == (400, "max_tokens")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/" + "x" * 100_000])
async def test_a_refusal_does_not_repeat_what_is_long(path: str) -> None:
    """A name of a megabyte is cut."""
    decision = await Desk(deployments=EVERY).ask({"model": "a" * 1_000_000, **CHAT}, path)
    status, body, _ = refusal(decision)
    assert status == 404
    assert len(str(body)) < 400


@pytest.mark.parametrize(
    ("path", "upstream"),
    [
        ("/v1/chat/completions?a=1", None),
        (f"/v1/chat/completions?a=1&key={SECRET}&b=%20", "/v1/chat/completions?a=1&b=%20"),
        (f"/v1/chat/completions?%6bey={SECRET}", "/v1/chat/completions"),
        (f"/v1/chat/completions?key={SECRET}&xkey=2", "/v1/chat/completions?xkey=2"),
    ],
)
async def test_the_clients_key_leaves_the_query(path: str, upstream: str | None) -> None:
    """However its name is written; every other byte stays."""
    assert (
        admission(await Desk(deployments=EVERY).ask({"model": "o", **CHAT}, path)).path == upstream
    )


async def test_the_clients_key_leaves_a_path_that_is_rewritten() -> None:
    """Both changes are made."""
    path = f"/v1beta/models/ge:generateContent?alt=sse&key={SECRET}"
    assert (
        admission(await Desk(deployments=EVERY).ask({}, path)).path
        == "/v1beta/models/gpt-4o:generateContent?alt=sse"
    )


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "api-key"])
@pytest.mark.parametrize("secret", [SECRET, MASTER])
async def test_no_key_of_ours_passes_as_the_clients_own_credential(name: str, secret: str) -> None:
    """Neither the one that asks nor another one, nor the master key."""
    desk = Desk(deployments=(of("anthropic", "theirs", pass_credentials=True),))
    sent = {
        "x-litellm-api-key": SECRET,
        name: f"Bearer {secret}" if name == "authorization" else secret,
    }
    asked = {"model": "theirs", "max_tokens": 1, **CHAT}
    status, body, _ = refusal(await desk.ask(asked, "/v1/messages", headers=sent))
    assert (status, "x-litellm-api-key" in body["error"]["message"]) == (400, True)
    admission(await desk.ask(asked, "/v1/messages", headers={**sent, name: "Bearer their-own"}))


@pytest.mark.parametrize("name", ["x-litellm-customer-id", "x-litellm-end-user-id"])
async def test_a_header_names_the_customer_before_the_body(name: str) -> None:
    """And is bounded as every id is."""
    desk = Desk(deployments=EVERY)
    headers = {"authorization": f"Bearer {SECRET}", name: "ann"}
    held = admission(
        await desk.ask({"model": "o", "user": "bob", **CHAT}, headers=headers)
    ).reservation
    assert held is not None
    assert [each.scope.id for each in held.accounts if each.scope.kind == "customer"] == ["ann"]
    status, body, _ = refusal(
        await desk.ask({"model": "o", **CHAT}, headers={**headers, name: "x" * 301})
    )
    assert (status, name in body["error"]["message"]) == (400, True)
