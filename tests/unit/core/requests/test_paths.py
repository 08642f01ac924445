"""Other spellings of known paths, paths that nobody knows, and those that are refused with a
reason.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.desk import Desk, admission, refusal
from tests.make import limit_set

from tollgate.core.calls.reservation import Reservation
from tollgate.core.entities import LimitSet
from tollgate.core.models.deployment import Deployment
from tollgate.core.requests.endpoints import Wire, find_dialect, find_endpoint, why_not_served
from tollgate.core.requests.upstream_path import find_upstream_path

CHAT = {"messages": [{"role": "user", "content": "hi"}]}
OPENAI = Deployment("o", "o", "openai", "gpt-4o", "http://mock-llm")
EVERY = (
    OPENAI,
    replace(OPENAI, id="an", model_name="an", provider="anthropic"),
    replace(OPENAI, id="be", model_name="be", provider="bedrock"),
    replace(OPENAI, id="ge", model_name="ge", provider="gemini"),
)


def desk(unknown_paths: Any = "allow", deployments: tuple[Deployment, ...] = EVERY) -> Desk:
    made = Desk(deployments=deployments)
    return replace(made, terms=replace(made.terms, unknown_paths=unknown_paths))


def held(decision: object) -> Reservation:
    reservation = admission(decision).reservation  # type: ignore[arg-type]
    assert reservation is not None
    return reservation


SPELLINGS = [
    ("/V1/Chat/Completions", "/v1/chat/completions"),
    ("//v1//chat/completions//", "/v1/chat/completions"),
    ("/v1/./chat/completions", "/v1/chat/completions"),
    ("/v1/x/../chat/completions", "/v1/chat/completions"),
    ("/v1/%2e%2E/v1/chat/completions", "/v1/chat/completions"),
    ("/v1/chat%2fcompletions", "/v1/chat/completions"),
    ("/v1/chat%252Fcompletions", "/v1/chat/completions"),
    ("/v1/%63hat/completions", "/v1/chat/completions"),
    ("/v1\\chat\\completions", "/v1/chat/completions"),
    ("/api/v1/chat/completions", "/v1/chat/completions"),
    ("/API/v1/chat/completions/", "/v1/chat/completions"),
    ("/v1/Messages", "/v1/messages"),
    ("/V2/chat", "/v2/chat"),
    ("/V1beta/models/Gem-1:GenerateContent", "/v1beta/models/Gem-1:generateContent"),
    ("/v1beta//models/Gem-1:generateContent", "/v1beta/models/Gem-1:generateContent"),
    ("/model/arn%3Aaws%2Fx//Converse", "/model/arn%3Aaws%2Fx/converse"),
    ("/openai/Deployments/d/chat/completions", "/openai/deployments/d/chat/completions"),
]


@pytest.mark.parametrize(("path", "known"), SPELLINGS)
def test_other_spellings_are_the_known_path(path: str, known: str) -> None:
    """What a server could read as a known path is looked up, and sent on, as that path."""
    found, expected = find_endpoint(path), find_endpoint(known)
    assert found is not None
    assert expected is not None
    assert (found.dialect, found.wire, found.model) == (
        expected.dialect,
        expected.wire,
        expected.model,
    )
    provider = "azure" if expected.wire is Wire.AZURE else "openai"
    served_by = replace(OPENAI, provider=provider, model=expected.model or "gpt-4o")
    assert find_upstream_path(found, f"{path}?a=b", served_by) == f"{known}?a=b"


@pytest.mark.parametrize(
    "path",
    [
        "/model/a%2f..%2f..%2fv1%2fmessages/converse",
        "/model/../v1/unheard/converse",
        "/v1beta/models/a%2f%2fb:x",
    ],
)
def test_a_model_is_no_way_to_another_path(path: str) -> None:
    """A name that a server could read as segments of a path is not looked up."""
    assert find_endpoint(path) is None


def test_an_encoded_name_keeps_its_slashes() -> None:
    """ARNs have some; the path goes on as it came."""
    path = "/model/arn%3Aaws%3Ax%2Fy/converse"
    found = find_endpoint(path)
    assert found is not None
    assert found.model == "arn:aws:x/y"
    assert (
        find_upstream_path(found, path, replace(OPENAI, provider="bedrock", model="arn:aws:x/y"))
        is None
    )


@pytest.mark.parametrize(
    ("path", "api"),
    [
        ("/proxy/v1/chat/completions", "openai.chat"),
        ("/team/7/openai/v1/responses", "openai.responses"),
        ("/anthropic/v1/messages", "anthropic.messages"),
        ("/gemini/v1beta/models/g:generateContent", "gemini.generate"),
        ("/x/V1//messages", "anthropic.messages"),
        ("/x/v1/moderations", "openai.other"),
        ("/v1/unheard", "openai.other"),
        ("/" + "a/" * 30_000, "openai.other"),
    ],
)
def test_an_unknown_path_is_read_as_the_one_that_it_ends_as(path: str, api: str) -> None:
    """Nothing is free because a path in front of it is."""
    assert find_endpoint(path) is None
    assert find_dialect(path).api == api
    assert not find_dialect(path).free


class TestUnknownPaths:
    """A path that we do not know is refused, or metered like any other."""

    async def test_refused_by_default(self) -> None:
        """404, in words."""
        status, body, _ = refusal(await Desk().ask(path="/v1/unheard"))
        assert (status, body["error"]["code"]) == (404, "unknown_url")

    async def test_passed_on_where_the_body_names_a_model(self) -> None:
        """Renamed, the path as it is, with tokens and money held."""
        made = desk()
        made.key(limits=limit_set(rpm=5, tpm=10_000, max_budget_nanousd=10**9))
        decision = await made.ask({"model": "an", "input": "hi", "max_tokens": 7}, "/v1/unheard")
        admitted, reservation = admission(decision), held(decision)
        key = reservation.accounts[0]
        assert [each.amount for each in key.limits] == [5, 10_000, 10**9]
        assert (reservation.dialect, reservation.output_tokens) == ("openai.other", 7)
        assert reservation.cost_nanousd > 1
        assert (admitted.deployment, admitted.path, admitted.edits[0].insert) == (
            "an",
            None,
            '"gpt-4o"',
        )

    @pytest.mark.parametrize(
        "limits", [limit_set(tpm=0), LimitSet(max_budget_nanousd=0), limit_set(rpm=0)]
    )
    async def test_every_limit_stops_them(self, limits: LimitSet) -> None:
        """As it does a known path."""
        made = desk()
        made.key(limits=limits)
        assert refusal(await made.ask({"model": "o"}, "/v1/unheard"))[0] in (401, 402, 429)

    @pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
    async def test_only_a_post_can_be_metered(self, method: str) -> None:
        """Whether or not it has a body."""
        assert refusal(await desk().ask({"model": "o"}, "/v1/unheard", method))[0] == 404

    async def test_refused_where_nothing_can_be_routed(self) -> None:
        """No such model, or none at all."""
        assert refusal(await desk().ask({"model": "x"}, "/v1/unheard"))[0] == 404
        assert refusal(await desk().ask({}, "/v1/unheard"))[0] == 400


@pytest.mark.parametrize("unknown_paths", ["allow", "refuse"])
@pytest.mark.parametrize(
    ("method", "path", "word"),
    [
        ("GET", "/v1/realtime?model=o", "Realtime"),
        ("POST", "/v1/realtime/client_secrets", "Realtime"),
        ("POST", "/v1/batches", "Batches"),
        ("POST", "/v1/files", "Batches"),
        ("GET", "/v1/files/f/content", "Batches"),
        ("POST", "/v1/messages/batches", "Batches"),
        ("POST", "/v1beta/models/ge:batchGenerateContent", "Batches"),
        ("POST", "/V1/%62atches", "Batches"),
        ("POST", "/v1/videos", "Videos"),
        ("POST", "/async/chat/completions", "jobs"),
        ("GET", "/v1/responses/resp_1", "Stored responses"),
        ("DELETE", "/v1/responses/resp_1", "Stored responses"),
        ("POST", "/v1/responses/resp_1/cancel", "Stored responses"),
        ("GET", "/v1/responses/resp_1/input_items", "Stored responses"),
        ("GET", "/v1beta/interactions/i", "Stored responses"),
    ],
)
async def test_what_cannot_be_metered_is_refused_with_a_reason(
    unknown_paths: str, method: str, path: str, word: str
) -> None:
    """Its cost is told after the reply, or it belongs to somebody; no setting lets it through."""
    status, body, _ = refusal(await desk(unknown_paths).ask({"model": "o"}, path, method))
    assert (status, word in body["error"]["message"]) == (404, True)


@pytest.mark.parametrize(
    "path", ["/v1/responses/compact", "/x/responses/compact", "/v1/responses", "/v1/unheard"]
)
def test_other_paths_have_no_such_reason(path: str) -> None:
    """Near misses."""
    assert why_not_served(path) is None


@pytest.mark.parametrize(
    ("path", "asked", "field"),
    [
        ("/v1/responses", {"model": "o", "input": "hi"}, "background"),
        ("/x/v1/responses", {"model": "o", "input": "hi"}, "background"),
        ("/v1/unheard", {"model": "o", "input": "hi"}, "background"),
        ("/v1beta/interactions", {"model": "ge", "input": "hi"}, "background"),
        ("/v1/chat/completions", {"model": "o", **CHAT}, "deferred"),
    ],
)
async def test_an_answer_that_comes_later_is_refused(
    path: str, asked: dict[str, Any], field: str
) -> None:
    """Its usage is told to another call; false and null ask for nothing of the kind."""
    for value in (True, "true", 1):
        status, body, _ = refusal(await desk().ask({**asked, field: value}, path))
        assert (status, field in body["error"]["message"]) == (400, True)
    for value in (False, None):
        admission(await desk().ask({**asked, field: value}, path))


async def test_a_transparent_background_of_an_image_is_no_job() -> None:
    """The same name means another thing there."""
    admission(
        await desk().ask(
            {"model": "o", "prompt": "x", "background": "transparent"}, "/v1/images/generations"
        )
    )


@pytest.mark.parametrize(
    ("path", "asked", "api", "output_tokens"),
    [
        ("/v1/responses/compact", {"model": "o", "input": "hi"}, "openai.responses", 100),
        (
            "/v1/fim/completions",
            {"model": "o", "prompt": "a", "suffix": "b", "max_tokens": 3},
            "openai.chat",
            3,
        ),
        ("/v1/images", {"model": "o", "prompt": "a"}, "openai.images", 100),
        ("/v1/ocr", {"model": "o", "document": {"document_url": "https://x"}}, "openai.ocr", 0),
        ("/v1/rerank", {"model": "o", "query": "a", "documents": ["b"]}, "cohere.rerank", 0),
        (
            "/v1/complete",
            {"model": "an", "prompt": "a", "max_tokens_to_sample": 9},
            "anthropic.complete",
            9,
        ),
        (
            "/v1beta/interactions",
            {"model": "ge", "input": "a", "generation_config": {"max_output_tokens": 8}},
            "gemini.interactions",
            8,
        ),
    ],
)
async def test_each_new_path_holds_what_its_body_asks_for(
    path: str, asked: dict[str, Any], api: str, output_tokens: int
) -> None:
    """With an estimate of its own, and the model renamed."""
    decision = await desk("refuse").ask(asked, path)
    reservation = held(decision)
    assert (reservation.dialect, reservation.output_tokens) == (api, output_tokens)
    assert reservation.input_tokens > 0
    assert [each.insert for each in admission(decision).edits] == ['"gpt-4o"']


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/responses/input_tokens", {"model": "o", "input": "hi"}),
        ("/model/be/count-tokens", {"input": {}}),
    ],
)
async def test_counting_tokens_is_free(path: str, asked: dict[str, Any]) -> None:
    """A request, and no more."""
    assert held(await desk("refuse").ask(asked, path)).cost_nanousd == 0


async def test_a_rerank_goes_to_cohere_where_both_serve_it() -> None:
    """OpenAI's format is the second choice; its address then has the path of the known one."""
    both = (OPENAI, replace(OPENAI, id="co", provider="cohere"))
    asked = {"model": "o", "query": "a", "documents": ["b"]}
    assert admission(await desk("refuse", both).ask(asked, "/rerank")).deployment == "co"
    alone = admission(await desk("refuse").ask(asked, "/rerank"))
    assert (alone.deployment, alone.path) == ("o", "/v1/rerank")


@pytest.mark.parametrize("model", [{}, {"model": None}])
async def test_a_model_in_the_path_is_enough(model: dict[str, Any]) -> None:
    """A body may leave its own out, or say null."""
    decision = await desk("refuse").ask({**model, **CHAT}, "/model/be/converse")
    assert (held(decision).model, admission(decision).edits) == ("be", ())


@pytest.mark.parametrize("model", [{}, {"model": None}])
async def test_a_model_that_nobody_names_is_missing(model: dict[str, Any]) -> None:
    """Null is none."""
    status, body, _ = refusal(await desk("refuse").ask({**model, **CHAT}))
    assert (status, body["error"]["param"], "missing" in body["error"]["message"]) == (
        400,
        "model",
        True,
    )


class TestModerationWithoutModel:
    """OpenAI takes its newest then: https://platform.openai.com/docs/api-reference/moderations."""

    served = replace(
        OPENAI, model_name="omni-moderation-latest", model="omni-moderation-2024-09-26"
    )

    @pytest.mark.parametrize(
        ("raw", "sent"),
        [
            (b'{"input": "hi"}', '"model":"omni-moderation-2024-09-26",'),
            (b"{}", '"model":"omni-moderation-2024-09-26"'),
            (b'{"model": null, "input": "hi"}', '"omni-moderation-2024-09-26"'),
        ],
    )
    async def test_it_is_the_default_if_that_is_served(self, raw: bytes, sent: str) -> None:
        """The body then names the deployment's model."""
        decision = await desk("refuse", (self.served,)).ask(raw, "/v1/moderations")
        assert held(decision).model == "omni-moderation-latest"
        assert [each.insert for each in admission(decision).edits] == [sent]

    async def test_it_is_missing_otherwise(self) -> None:
        """As everywhere else."""
        assert refusal(await desk("refuse").ask({"input": "hi"}, "/v1/moderations"))[0] == 400
