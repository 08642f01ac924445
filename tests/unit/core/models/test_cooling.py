"""When a deployment gets no calls for a while."""

from __future__ import annotations

import pytest

from tollgate.core.models.cooling import Cooling

SECOND = 1_000_000


def cooling(*statuses: int, allowed_fails: int = 2, apart_us: int = SECOND) -> tuple[Cooling, int]:
    """What knows of so many replies, and the time after the last."""
    found, now_us = Cooling(allowed_fails, 30 * SECOND), 0
    for status in statuses:
        now_us += apart_us
        found.note("a", status, now_us)
    return found, now_us


@pytest.mark.parametrize("status", [401, 403, 408, 429, 500, 502, 503, 504, 529])
def test_more_failures_than_allowed_cool_a_deployment_down(status: int) -> None:
    """For the time that is set, and no other deployment."""
    few, now_us = cooling(*[status] * 2)
    assert not few.cools("a", now_us)
    many, now_us = cooling(*[status] * 3)
    assert many.cools("a", now_us)
    assert many.cools("a", now_us + 30 * SECOND - 1)
    assert not many.cools("b", now_us)
    assert not many.cools("a", now_us + 30 * SECOND)


@pytest.mark.parametrize("status", [0, 200, 302, 400, 404, 413, 422])
def test_what_the_request_is_at_fault_for_cools_nothing_down(status: int) -> None:
    """Nor does success, or a client that leaves."""
    found, now_us = cooling(*[status] * 9)
    assert not found.cools("a", now_us)


def test_failures_that_are_over_a_minute_apart_do_not_add_up() -> None:
    found, now_us = cooling(503, 503, 503, 503, apart_us=31 * SECOND)
    assert not found.cools("a", now_us)


def test_no_failure_allowed_is_one_too_many() -> None:
    found, now_us = cooling(503, allowed_fails=0)
    assert found.cools("a", now_us)


def test_after_its_time_failures_are_counted_anew() -> None:
    found, now_us = cooling(503, 503, 503)
    now_us += 30 * SECOND
    found.note("a", 503, now_us)
    assert not found.cools("a", now_us)
