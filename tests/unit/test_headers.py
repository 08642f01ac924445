"""Rate-limit headers."""

from __future__ import annotations

import pytest
from tests.make import DOLLAR, KEY, TEAM, budget, requests, tokens

from tollgate.core import bucket
from tollgate.core.dialects import Family
from tollgate.core.entities import Balance, Charge, Scope, ScopeKind, Standing
from tollgate.core.headers import go_duration, provider_headers, standing_headers

NOW_US = 1_800_000_000_000_000


def shown(family: Family, *stands: tuple[Charge, Balance], model: str = "gpt-4o") -> dict[str, str]:
    charges, balances = zip(*stands, strict=True)
    return {h.name: h.value for h in standing_headers(charges, Standing(NOW_US, balances), family, model)}


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0s"),
        (12, "12ms"),
        (1000, "1s"),
        (1574, "1.574s"),
        (8640, "8.64s"),
        (360_000, "6m0s"),
        (3_600_000, "1h0m0s"),
        (252_172, "4m12.172s"),
    ],
)
def test_durations_are_written_as_go_writes_them(milliseconds: int, text: str) -> None:
    """OpenAI's resets are Go durations."""
    assert go_duration(milliseconds) == text


def test_the_tightest_limit_is_told() -> None:
    """Of several limits of a kind, the one with least left."""
    headers = shown(
        Family.OPENAI,
        (requests(10, TEAM), Balance(9 * bucket.UNITS)),
        (requests(5), Balance(1 * bucket.UNITS)),
        (tokens(100, 5), Balance(30 * bucket.UNITS)),
    )
    assert headers["x-ratelimit-limit-requests"] == "10"
    assert headers["x-ratelimit-remaining-requests"] == "1"
    assert headers["x-ratelimit-reset-requests"] == "54s"
    assert headers["x-ratelimit-remaining-tokens"] == "70"


def test_nothing_left_is_printed_as_0() -> None:
    """0 is a number, not an absence."""
    headers = shown(Family.OPENAI, (requests(1), Balance(bucket.UNITS)))
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert headers["x-litellm-key-remaining-requests-gpt-4o"] == "0"


def test_the_key_and_model_header_is_that_of_the_narrowed_limit() -> None:
    """`x-litellm-key-remaining-requests-<model>`: the limit for this model alone, under a name that a header may have."""
    narrowed = Scope(ScopeKind.KEY, "k1", "azure/gpt-4")
    headers = shown(
        Family.OPENAI,
        (requests(100, KEY), Balance(bucket.UNITS)),
        (requests(2, narrowed), Balance(bucket.UNITS)),
        model="azure/gpt-4",
    )
    assert headers["x-litellm-key-remaining-requests-azure-gpt-4"] == "1"


def test_anthropic_clients_get_their_own_names_and_times() -> None:
    """`anthropic-ratelimit-*` with RFC 3339 resets, rounded up to the second."""
    headers = shown(Family.ANTHROPIC, (requests(60), Balance(bucket.UNITS)))
    assert headers["anthropic-ratelimit-requests-limit"] == "60"
    assert headers["anthropic-ratelimit-requests-remaining"] == "59"
    assert headers["anthropic-ratelimit-requests-reset"] == "2027-01-15T08:00:01Z"


def test_a_budget_tells_spend_and_limit_in_dollars() -> None:
    """What is settled, not what is held."""
    headers = shown(Family.OPENAI, (budget(DOLLAR // 100, 5), Balance(72_000, 400)))
    assert headers == {"x-litellm-key-spend": "7.2e-05", "x-litellm-key-max-budget": "0.01"}


def test_a_providers_own_limits_come_through_under_another_name() -> None:
    """The client sees whose limit is whose."""
    renamed, removed = provider_headers({"x-ratelimit-remaining-requests": "9999", "content-type": "application/json"})
    assert [(h.name, h.value) for h in renamed] == [("llm_provider-x-ratelimit-remaining-requests", "9999")]
    assert removed == ("x-ratelimit-remaining-requests",)
