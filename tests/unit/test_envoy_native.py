"""Native mode's configuration as data: that both sides of it use the same names, and that it covers what admission sends its way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.unit.usage_case import table

from tollgate.adapters.envoy import headers, metadata
from tollgate.core.usage.native import reach_of
from tollgate.envoy_config import messages, native
from tollgate.envoy_config.listener import connection_manager
from tollgate.settings import EXAMPLE_FILE, load

SETTINGS = load(EXAMPLE_FILE)
APIS = table()


def filters(max_request_bytes: int = SETTINGS.tollgate.max_request_bytes) -> list[Any]:
    ours = SETTINGS.tollgate.model_copy(update={"mode": "native", "max_request_bytes": max_request_bytes})
    found: list[Any] = connection_manager(replace(SETTINGS, tollgate=ours))["http_filters"]
    return found


def exact(matchers: Any) -> set[str]:
    return {each["exact"] for each in matchers["patterns"] if "exact" in each}


def test_both_sides_name_headers_alike() -> None:
    """What Tollgate answers with, Envoy takes: neither imports the other."""
    response = filters()[0]["typed_config"]["http_service"]["authorization_response"]
    said = {headers.RESERVATION, headers.EDITS, headers.TARGET, headers.HIDE, headers.HELD, headers.METER_HEADER}
    assert exact(response["dynamic_metadata_from_headers"]) == said
    assert exact(response["allowed_upstream_headers"]) == {
        headers.ROUTE_HEADER,
        headers.CHANGE_HEADER,
        headers.METER_HEADER,
    }
    assert messages.METER_HEADER == headers.METER_HEADER
    assert native.USAGE_NAMESPACE == metadata.USAGE_NAMESPACE
    assert {each["status_code"] for each in native.refusals_put_right()} == set(headers.TUNNELLED)


def test_no_refusal_loses_a_header() -> None:
    """Envoy hands on those that it was told of, and no others."""
    response = filters()[0]["typed_config"]["http_service"]["authorization_response"]
    told = {"retry-after", "retry-after-ms", "x-should-retry", "x-amzn-errortype", "content-type"}
    assert exact(response["allowed_client_headers"]) == told


def test_every_api_that_envoy_reads_has_its_filters() -> None:
    """And ext_proc is there for the rest."""
    meter = next(each for each in filters() if each["name"] == "tollgate.meter")
    actions = meter["typed_config"]["xds_matcher"]["matcher_tree"]["exact_match_map"]["map"]
    assert set(actions) == {name for name, api in APIS.items() if reach_of(api).words} | {headers.EXT_PROC}


def test_a_reply_may_be_longer_than_a_request() -> None:
    """Envoy has one limit for both, and ext_authz sets it: where it is low, it is raised after admission."""
    low, high = filters(max_request_bytes=1024), filters(max_request_bytes=native.LONGEST_REPLY_BYTES)
    assert [each["name"] for each in low[:2]] == ["envoy.filters.http.ext_authz", "envoy.filters.http.buffer"]
    assert "envoy.filters.http.buffer" not in [each["name"] for each in high]
