"""Why a request did not fit, as a sum."""

from __future__ import annotations

import pytest
from msgspec import structs

from tollgate.core.answers.arithmetic import why_it_did_not_fit
from tollgate.core.calls.refusal_records import LimitHit

HIT = LimitHit(
    scope="key",
    scope_id="h",
    scope_name="laptop",
    meter="tokens",
    amount=1000,
    used=800,
    asked=300,
    window="1m",
)


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, "used 800 + asked 300 = 1,100 > 1,000 tokens per 1m"),
        (
            {"held": 100},
            "used 800 + held by calls in flight 100 + asked 300 = 1,200 > 1,000 tokens per 1m",
        ),
        ({"used": 1000}, "used 1,000 = 1,000 tokens per 1m: nothing is left"),
        ({"used": 2000}, "used 2,000 > 1,000 tokens per 1m: nothing is left"),
        (
            {"meter": "usd", "amount": 5 * 10**9, "used": 5_250_000_000, "window": ""},
            "used $5.25 > $5.00: nothing is left",
        ),
        (
            {"meter": "usd", "amount": 10**9, "used": 5 * 10**8, "held": 5 * 10**8, "window": "1d"},
            "used $0.50 + held by calls in flight $0.50 = $1.00 = $1.00 per 1d: nothing is left",
        ),
        (
            {"meter": "calls", "amount": 2, "used": 2, "asked": 1, "window": ""},
            "used 2 = 2 parallel calls: nothing is left",
        ),
        (
            {"meter": "requests", "amount": 0, "used": 0, "asked": 1},
            "used 0 = 0 requests per 1m: nothing is left",
        ),
    ],
)
def test_a_refusal_shows_the_sum_that_crossed_the_limit(
    changes: dict[str, object], shown: str
) -> None:
    """In the units of the meter; what is held is told apart."""
    assert why_it_did_not_fit(structs.replace(HIT, **changes)) == shown
