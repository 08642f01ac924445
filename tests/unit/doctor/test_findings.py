"""What is concluded from what was seen, where no real Envoy shows it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tollgate import __version__
from tollgate.doctor import admission_checks, reply_checks, surroundings
from tollgate.doctor.finding import Finding, Result
from tollgate.doctor.probing import Reply

NOW_US = time.time_ns() // 1000
FACTS: dict[str, Any] = {
    "version": __version__,
    "envoy_version": "1.38",
    "time_us": NOW_US,
    "store_time_us": NOW_US,
    "store_risks": [],
    "envoys": {"1.38.2": 2},
}
DATE = {"date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(NOW_US // 1_000_000))}
DENIED = {"error": {"message": "no", "code": "key_blocked"}}


def told(found: list[Finding]) -> list[tuple[str, Result]]:
    return [(each.check, each.result) for each in found]


@pytest.mark.parametrize(
    ("envoys", "result"),
    [
        ({"1.36.9": 1}, Result.FAULT),
        ({"1.37.0": 1}, Result.FAULT),
        ({"1.38.0": 1}, Result.OK),
        ({"1.40.3": 1}, Result.OK),
        ({"1.41.0": 1}, Result.WARNING),
        ({}, Result.NOT_CHECKED),
    ],
)
def test_an_envoy_has_to_be_of_a_version_that_its_configuration_is_for(
    envoys: dict[str, int], result: Result
) -> None:
    """Older than what is supported, older than the configuration, and newer than what is tested."""
    found = list(surroundings.check_versions(FACTS | {"envoys": envoys}))
    assert told(found) == [("envoy-version", result)]


def test_a_command_of_another_version_says_so() -> None:
    found = list(surroundings.check_versions(FACTS | {"version": "0.0.1"}))
    assert told(found)[0] == ("version", Result.WARNING)


@pytest.mark.parametrize(
    ("change", "headers", "words"),
    [
        ({}, DATE, ""),
        ({}, {}, ""),
        ({"store_time_us": NOW_US + 60_000_000}, DATE, "the store by +60 s"),
        ({"store_time_us": None}, DATE, ""),
        ({}, {"date": "Mon, 23 Nov 2026 00:00:00 GMT"}, "Envoy by "),
        ({"time_us": NOW_US - 9_000_000, "store_time_us": None}, {}, "this machine by +"),
    ],
)
def test_clocks_that_differ_are_named(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], headers: dict[str, str], words: str
) -> None:
    """By how much each is off from Tollgate's."""
    monkeypatch.setattr(time, "time", lambda: NOW_US / 1_000_000)
    found = surroundings.check_clocks(FACTS | change, Reply(200, headers))
    assert (found.result, words in found.seen) == (
        Result.WARNING if words else Result.OK,
        True,
    )


def test_each_risk_of_the_store_is_a_warning_and_an_outage_a_fault() -> None:
    risks = FACTS | {"store_risks": ["it evicts", "it keeps nothing"]}
    assert told(list(surroundings.check_store(risks))) == [("store", Result.WARNING)] * 2
    down = risks | {"store_time_us": None}
    assert told(list(surroundings.check_store(down))) == [("store", Result.FAULT)]
    assert told(list(surroundings.check_store(FACTS))) == [("store", Result.OK)]


async def test_keys_in_plain_text_across_a_network_are_a_warning() -> None:
    """To the same machine they are not."""
    found = [
        (await surroundings.check_tls(f"http://{host}:4000")).result
        for host in ("llm.example", "10.0.0.1", "127.0.0.1", "[::1]", "localhost")
    ]
    assert found == [Result.WARNING] * 2 + [Result.OK] * 3


@pytest.mark.parametrize(
    ("reply", "result"),
    [
        (Reply(200, body={"status": "healthy"}), Result.OK),
        (
            Reply(200, body={"status": "healthy", "configuration": {"refused": ["mode: no"]}}),
            Result.WARNING,
        ),
        (Reply(503, body={"status": "unhealthy", "error": "store"}), Result.FAULT),
        (Reply(404, text="no route"), Result.FAULT),
        (Reply(failure="refused"), Result.FAULT),
    ],
)
def test_the_gateway_s_own_health_is_told(reply: Reply, result: Result) -> None:
    """A refused change of the configuration is only a warning."""
    assert surroundings.check_health(reply).result == result


@pytest.mark.parametrize(
    ("reply", "check", "result"),
    [
        (Reply(failure="ReadTimeout"), "routing", Result.FAULT),
        (Reply(200, text="somebody else"), "admission", Result.FAULT),
        (
            Reply(404, {"x-tollgate-request-id": "r"}, body={"error": {"code": "model_not_found"}}),
            "routing",
            Result.NOT_CHECKED,
        ),
        (Reply(429, {"x-tollgate-request-id": "r"}, body=DENIED), "routing", Result.NOT_CHECKED),
        (Reply(503, {"x-tollgate-request-id": "r"}, text="no host"), "routing", Result.FAULT),
        (
            Reply(400, {"x-tollgate-request-id": "r"}, body={"error": {"code": "damaged_probe"}}),
            "splices",
            Result.FAULT,
        ),
        (
            Reply(400, {"x-tollgate-request-id": "r"}, body={"error": {"code": "bad_request"}}),
            "body",
            Result.FAULT,
        ),
    ],
)
def test_a_probe_that_does_not_reach_its_provider_says_why(
    reply: Reply, check: str, result: Result
) -> None:
    """A limit that refuses it is no fault; what depends on it is not checked."""
    first, *others = admission_checks.check_call(reply)
    assert (first.check, first.result) == (check, result)
    assert {each.result for each in others} == {Result.NOT_CHECKED}


@pytest.mark.parametrize(
    ("status", "record", "result"),
    [
        (200, {"usage": "exact", "cost_nanousd": 5}, Result.OK),
        (200, {"usage": "estimated", "cost_nanousd": 5}, Result.FAULT),
        (200, None, Result.FAULT),
        (401, None, Result.FAULT),
    ],
)
def test_a_real_call_has_to_be_charged_exactly(
    status: int, record: dict[str, Any] | None, result: Result
) -> None:
    found = reply_checks.check_provider_call(Reply(status), record, "gpt-4o")
    assert found.result == result


ARRIVED = {"arrived": {"model": "probe"}}
REFUSED = {"error": {"message": "no", "code": "invalid_api_key"}}


@pytest.mark.parametrize(
    ("admitted", "result", "words"),
    [
        (1, Result.OK, "once"),
        (2, Result.FAULT, "2 times"),
        (3, Result.FAULT, "3 times"),
        (None, Result.NOT_CHECKED, ""),
    ],
)
def test_a_call_that_is_decided_about_more_than_once_is_found(
    admitted: int | None, result: Result, words: str
) -> None:
    """Of a key that others use nothing can be said."""
    found = admission_checks.check_held_once(admitted)
    assert (found.result, words in found.seen) == (result, True)


def test_each_header_in_which_a_key_is_not_found_is_named() -> None:
    """One that works is not."""
    lost = {
        "authorization": Reply(200, body=ARRIVED),
        "x-api-key": Reply(401, body=REFUSED),
        "?key=": Reply(failure="reset"),
    }
    found = admission_checks.check_key_headers(lost)
    assert (found.result, "x-api-key, ?key= (401" in found.seen) == (Result.FAULT, True)
    assert "authorization" not in found.seen
    assert admission_checks.check_key_headers({"a": lost["authorization"]}).result == Result.OK


def test_a_key_whose_limit_refuses_was_found() -> None:
    """A key that was given may call less often than probes do; somebody else's 429 says nothing."""
    limited = Reply(429, {"x-tollgate-request-id": "r"}, body=DENIED)
    assert admission_checks.check_key_headers({"x-api-key": limited}).result == Result.OK
    foreign = Reply(429, text="too many")
    assert admission_checks.check_key_headers({"x-api-key": foreign}).result == Result.FAULT


@pytest.mark.parametrize(
    ("headers", "check", "result"),
    [
        ({"x-tollgate-request-id": "r"}, "admission", Result.OK),
        ({}, "client-replies", Result.FAULT),
    ],
)
def test_a_refusal_without_our_headers_is_told_from_one_of_somebody_else(
    headers: dict[str, str], check: str, result: Result
) -> None:
    """Its words are Tollgate's, so ext_authz asks, and drops headers of the answer."""
    found = admission_checks.check_admission(Reply(401, headers, body=REFUSED))
    assert (found.check, found.result) == (check, result)
    other = admission_checks.check_admission(Reply(401, headers={}, text="log in"))
    assert (other.check, other.result) == ("admission", Result.FAULT)


def test_a_good_key_that_is_refused_as_unknown_did_not_reach_tollgate() -> None:
    """Routing is not to blame: nothing was admitted."""
    reply = Reply(401, {"x-tollgate-request-id": "r"}, body=REFUSED)
    first, *others = admission_checks.check_call(reply)
    assert (first.check, first.result) == ("key-headers", Result.FAULT)
    assert {each.result for each in others} == {Result.NOT_CHECKED}


def test_an_expired_hold_is_no_settlement() -> None:
    """Whether it ended before the ledger was asked depends on the lease's length alone."""
    record = {"usage": "expired", "settled_by": "expiry"}
    found = reply_checks.check_metering(record, None)
    assert (found.result, found.seen) == (
        Result.FAULT,
        reply_checks.check_metering(None, None).seen,
    )


@pytest.mark.parametrize(
    ("quiet", "result"),
    [
        (Reply(200, body=ARRIVED), Result.OK),
        (Reply(504, text="timeout", took_s=5), Result.FAULT),
        (Reply(failure="reset", took_s=5), Result.FAULT),
        (None, Result.OK),
    ],
)
def test_a_provider_that_is_silent_for_long_must_not_be_given_up(
    quiet: Reply | None, result: Result
) -> None:
    """Also where a stream whose events come every second reaches its end."""
    stream = Reply(200, text="data: [DONE]")
    assert reply_checks.check_reply_timeout(stream, quiet, 17, None).result == result
