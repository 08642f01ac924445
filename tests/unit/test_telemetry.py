"""Metrics: what was gathered is what is told, once it is published."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from msgspec import structs
from prometheus_client import REGISTRY
from tests.make import DOLLAR, reservation

from tollgate import counting, log_lines, telemetry
from tollgate.core.calls.decision import LimitName, Refusal
from tollgate.core.calls.reservation import Settlement
from tollgate.core.calls.usage import Certainty, Usage


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def settle(model: str, usage: Usage, cost_nanousd: int, provider: str = "openai") -> None:
    call = structs.replace(reservation("a"), model=model, cost_nanousd=2 * DOLLAR)
    telemetry.settled(call, Settlement(usage, cost_nanousd, 200, "test"), provider)


def refusal(status: int, reason: str, limit: LimitName | None = None) -> Refusal:
    return Refusal(status, reason, "A sentence.", b"", limit=limit)


def test_what_requests_counted_is_told_after_publication() -> None:
    """Once, however often it is published."""
    telemetry.publish()
    labels = {"model": "of this test", "direction": "input"}
    before = value("tollgate_tokens_total", **labels), value("tollgate_requests_admitted_total")
    for _ in range(2):
        telemetry.admitted()
        settle("of this test", Usage(5, 7), DOLLAR)
    telemetry.publish()
    telemetry.publish()
    assert value("tollgate_tokens_total", **labels) - before[0] == 10
    assert value("tollgate_requests_admitted_total") - before[1] == 2
    assert value("tollgate_spend_dollars_total", model="of this test") == 2


@pytest.mark.parametrize(
    "record",
    [
        telemetry.admitted,
        lambda: telemetry.decided(0.001),
        lambda: telemetry.store_answered(0.001),
        lambda: settle("of this test", Usage(5, 7), DOLLAR),
    ],
    ids=["count", "decision", "answer", "settlement"],
)
async def test_whatever_is_recorded_first_after_a_publication_is_published_too(
    record: Callable[[], None],
) -> None:
    """An idle process is woken by it, however much was recorded before."""
    for _ in range(2):
        telemetry.publish()
        assert not counting.gathered.is_set()
        record()
        record()
        assert counting.gathered.is_set()
    telemetry.publish()


def test_dollars_are_told_by_how_sure_their_usage_is() -> None:
    """Of all models together."""
    telemetry.publish()
    before = value("tollgate_certainty_dollars_total", certainty="partial")
    partial = Usage(1, 1, certainty=Certainty.PARTIAL)
    settle("one", partial, DOLLAR * 3 // 2)
    settle("two", partial, DOLLAR // 2)
    telemetry.publish()
    after = value("tollgate_certainty_dollars_total", certainty="partial")
    assert after - before == pytest.approx(2)


def test_what_calls_were_estimated_at_is_told_beside_what_they_cost_by_provider() -> None:
    """Of calls whose usage is exact: those of any other are charged by an estimate themselves."""
    telemetry.publish()
    settle("one", Usage(1, 1), DOLLAR // 2, "of this test")
    settle("two", Usage(1, 1), DOLLAR // 2, "of this test")
    settle("one", Usage(1, 1, certainty=Certainty.EXPIRED), DOLLAR, "of this test")
    telemetry.publish()
    labels = {"provider": "of this test"}
    assert value("tollgate_estimated_dollars_total", **labels) == pytest.approx(4)
    assert value("tollgate_exact_dollars_total", **labels) == pytest.approx(1)


def test_refusals_are_counted_by_whose_limit_refused_and_which_one() -> None:
    """Those that no limit gave are not among them."""
    limit = LimitName("team", "tokens", "1d")
    telemetry.refused(refusal(429, "team_tokens", limit), "r", None)
    telemetry.refused(refusal(404, "model_not_found"), "r", None)
    before = value("tollgate_limit_refusals_total", scope="team", meter="tokens", window="1d")
    telemetry.publish()
    after = value("tollgate_limit_refusals_total", scope="team", meter="tokens", window="1d")
    assert after - before == 1


def test_how_long_requests_waited_for_room_is_told() -> None:
    """Beyond a second too: a limit may say that its calls wait longer."""
    telemetry.publish()
    bounds = ("0.1", "1.0", "5.0", "+Inf")
    before = [value("tollgate_wait_seconds_bucket", le=each) for each in bounds]
    for seconds in (0.05, 3.0, 60.0):
        telemetry.waited(seconds, admitted=True)
    telemetry.publish()
    after = [value("tollgate_wait_seconds_bucket", le=each) for each in bounds]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 2, 3]


def test_models_beyond_a_thousand_share_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a wildcard serves them clients choose names, and no series ever goes."""
    monkeypatch.setattr(counting, "_models", set())
    for number in range(1010):
        settle(f"chosen-{number}", Usage(1, 1), DOLLAR)
        telemetry.told("openai", f"chosen-{number}", DOLLAR, 1)
        telemetry.other_model(f"chosen-{number}")
    before = value("tollgate_spend_dollars_total", model="other")
    telemetry.publish()
    assert value("tollgate_spend_dollars_total", model="other") == before + 10
    assert value("tollgate_spend_dollars_total", model="chosen-999") == 1
    told = {
        sample.labels["model"]
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.labels.get("model", "").startswith("chosen-")
    }
    assert len(told) == 1000


def test_times_fall_into_the_buckets_that_their_bounds_name() -> None:
    """As if each had been observed by itself: a bound belongs to its own bucket, and what is beyond
    all of them is counted too.
    """
    telemetry.publish()
    bounds = ("0.0001", "0.5", "1.0", "+Inf")
    before = [value("tollgate_admission_seconds_bucket", le=each) for each in bounds]
    before_sum, decisions = (
        value("tollgate_admission_seconds_sum"),
        value("tollgate_worker_decisions"),
    )
    for seconds in (0.0001, 0.5, 7.0):
        telemetry.decided(seconds)
    telemetry.publish()
    after = [value("tollgate_admission_seconds_bucket", le=each) for each in bounds]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 2, 2, 3]
    assert value("tollgate_admission_seconds_count") >= 3
    assert round(value("tollgate_admission_seconds_sum") - before_sum, 4) == 7.5001
    assert value("tollgate_worker_decisions") - decisions == 3


def test_a_refusal_is_one_line_and_many_are_some_and_a_number(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Id, key, status and reason; a name cannot break the line.

    Whoever asks again and again fills no disk.
    """
    now = 1000.0
    monkeypatch.setattr(log_lines, "monotonic", lambda: now)
    # What other tests of this process refused is not this one's.
    monkeypatch.setattr(telemetry, "_refusals", log_lines.LinesASecond(10))
    with caplog.at_level(logging.INFO, logger="tollgate"):
        telemetry.refused(refusal(429, "requests"), "req-1", "app\nforged line")
        for number in range(50):
            telemetry.refused(refusal(401, "invalid_api_key"), f"req-{number}", None)
        now = 1001.0
        telemetry.refused(refusal(403, "key_model_access_denied"), "last", "app")
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == r"refused req-1: key 'app\nforged line', 429 requests"
    assert lines[1] == "refused req-0: key -, 401 invalid_api_key"
    assert len(lines) == 11
    assert (
        lines[-1]
        == "refused last: key 'app', 403 key_model_access_denied; 41 more refusals since the last"
        " line"
    )
