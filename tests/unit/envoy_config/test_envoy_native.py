"""Native mode's configuration as data: that both sides of it use the same names, and that it covers
what admission sends its way.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.core.usage.usage_case import table

from tollgate.core.envoy_contract import READ_BY_EXT_PROC
from tollgate.core.usage.native import Framing, counts_of_body, reader_name
from tollgate.core.usage.reach import reach_of
from tollgate.envoy_config.http_filters.switched import LONGEST_REPLY_BYTES
from tollgate.envoy_config.listener.listener import connection_manager
from tollgate.envoy_config.listener.route_table import route_configuration
from tollgate.settings import EXAMPLE_FILE, load

SETTINGS = load(EXAMPLE_FILE)
APIS = table()


def filters(max_request_bytes: int = SETTINGS.tollgate.max_request_bytes) -> dict[str, Any]:
    """The filters by name, in their order."""
    ours = SETTINGS.tollgate.model_copy(
        update={"mode": "native", "max_request_bytes": max_request_bytes}
    )
    found: list[Any] = connection_manager(replace(SETTINGS, tollgate=ours))["http_filters"]
    return {each["name"]: each for each in found}


def exact(matchers: Any) -> set[str]:
    return {each["exact"] for each in matchers["patterns"] if "exact" in each}


def test_no_refusal_loses_a_header() -> None:
    """Envoy hands on those that it was told of, and no others."""
    response = filters()["envoy.filters.http.ext_authz"]["typed_config"]["http_service"][
        "authorization_response"
    ]
    told = {
        "retry-after",
        "retry-after-ms",
        "x-should-retry",
        "x-amzn-errortype",
        "content-type",
        "www-authenticate",
    }
    assert exact(response["allowed_client_headers"]) == told


def choices() -> dict[str, Any]:
    meter = filters()["tollgate.meter"]
    found: dict[str, Any] = meter["typed_config"]["xds_matcher"]["matcher_tree"]["exact_match_map"][
        "map"
    ]
    return found


def chain(choice: Any) -> list[Any]:
    found: list[Any] = choice["action"]["typed_config"]["filter_chain"]["typed_config"]
    return found


def test_every_reply_that_envoy_reads_has_its_filter() -> None:
    """And ext_proc is there for the rest."""
    asked = {
        reader
        for api in APIS.values()
        for stream in (False, True)
        if not api.free
        and (reader := reach_of(api).reader(b"", "alt=sse", stream=stream)) is not None
    }
    assert asked <= set(choices())
    assert READ_BY_EXT_PROC in choices()


def test_a_reply_that_is_not_framed_as_asked_goes_to_ext_proc() -> None:
    """Every choice but ext_proc itself ends in it."""
    readers = choices()
    instead = readers.pop(READ_BY_EXT_PROC)
    assert [each["name"] for each in chain(instead)] == ["envoy.filters.http.ext_proc"]
    for choice in readers.values():
        (by_reply,) = chain(choice)
        matcher = by_reply["typed_config"]["xds_matcher"]
        assert matcher["on_no_match"] == instead
        assert len(chain(matcher["matcher_list"]["matchers"][0]["on_match"])) == 1


def test_a_json_reply_without_counts_is_looked_at_again() -> None:
    """After it was read, and only where Envoy reads it: input and output have to be told, of
    vectors the input alone.
    """
    names = list(filters())
    assert names.index("tollgate.second_look") == names.index("tollgate.meter") - 1
    looks = filters()["tollgate.second_look"]["typed_config"]["xds_matcher"]["matcher_tree"][
        "exact_match_map"
    ]["map"]
    assert set(looks) == {name for name in choices() if not name.endswith("+sse")} - {
        READ_BY_EXT_PROC,
        "bedrock.converse_stream",
    }
    asked = {}
    for name in ("openai.chat", "openai.embeddings"):
        ((look,), body) = chain(looks[name]), APIS[name]
        (case,) = look["typed_config"]["xds_matcher"]["matcher_list"]["matchers"]
        assert [each["name"] for each in chain(case["on_match"])] == ["envoy.filters.http.ext_proc"]
        told, *_ = case["predicate"]["and_matcher"]["predicate"]
        asked[name] = json.dumps(told["not_matcher"])
        assert all(field in asked[name] for group in counts_of_body(body) for field in group)
    assert "usage.completion_tokens" in asked["openai.chat"]
    assert "completion_tokens" not in asked["openai.embeddings"]


@pytest.mark.parametrize(
    ("framing", "header", "value", "reads"),
    [
        (Framing.BODY, "content-type", "application/json", True),
        (Framing.BODY, "content-type", "Application/JSON; charset=utf-8", True),
        (Framing.BODY, "content-type", "application/jsonl", False),
        (Framing.BODY, "content-type", "text/plain", False),
        (Framing.BODY, "content-type", "text/event-stream", False),
        (Framing.SSE, "content-type", "text/event-stream;charset=utf-8", True),
        (Framing.SSE, "content-type", "Text/Event-Stream", False),
        (Framing.SSE, "content-type", "application/json", False),
        (Framing.BODY, "content-encoding", "gzip", False),
        (Framing.SSE, "content-encoding", "br", False),
        (Framing.BODY, "content-encoding", "", True),
        (Framing.BODY, "content-length", "9999999", True),
        (Framing.BODY, "content-length", "34603190", False),
    ],
)
def test_what_envoys_filters_read(framing: Framing, header: str, value: str, reads: bool) -> None:
    """By the reply's content type, coding and length."""
    (by_reply,) = chain(choices()[reader_name("openai.chat", framing)])
    predicate = by_reply["typed_config"]["xds_matcher"]["matcher_list"]["matchers"][0]["predicate"]
    decided = []
    for each in predicate["and_matcher"]["predicate"]:
        single = each.get("not_matcher", each)["single_predicate"]
        if single["input"]["name"] == header:
            pattern = single["value_match"]["safe_regex"]["regex"]
            decided.append((re.fullmatch(pattern, value) is not None) != ("not_matcher" in each))
    assert decided == [reads]


def test_a_reply_may_be_longer_than_a_request() -> None:
    """Envoy has one limit for both, and ext_authz sets it for requests: the route raises it."""
    ours = SETTINGS.tollgate.model_copy(update={"mode": "native", "max_request_bytes": 1024})
    (host,) = route_configuration(replace(SETTINGS, tollgate=ours))["virtual_hosts"]
    limits = {
        each["request_body_buffer_limit"]
        for each in host["routes"]
        if "request_body_buffer_limit" in each
    }
    assert limits == {LONGEST_REPLY_BYTES}
