"""Rate-limit headers."""

from __future__ import annotations

import pytest
from tests.make import DOLLAR, KEY, TEAM, account_of, budget, requests

from tollgate.core.answers.headers import (
    go_duration,
    ietf_headers,
    standing_headers,
)
from tollgate.core.limits import bucket
from tollgate.core.limits.accounts import (
    Account,
    Balance,
    Meter,
    Quota,
    Scope,
    ScopeKind,
    Standing,
)
from tollgate.core.requests.dialects import Family

ANTHROPIC_TOKENS = [
    f"{noun}-tokens-{state}" for noun in ("input", "output") for state in ("limit", "remaining")
]
NOW_US = 1_800_000_000_000_000


def used(*amounts: int) -> Balance:
    """The balance of rates a minute of which so much is used."""
    return Balance(tuple(each * bucket.units(60) for each in amounts), (0,) * len(amounts))


def shown(
    family: Family, *stands: tuple[Account, Balance], model: str = "gpt-4o"
) -> dict[str, str]:
    accounts, balances = zip(*stands, strict=True)
    return {
        h.name: h.value
        for h in standing_headers(accounts, Standing(NOW_US, balances), family, model)
    }


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
        (requests(10, TEAM), used(9)),
        (account_of(KEY, rpm=5, tpm=100), used(1, 30)),
    )
    assert headers["x-ratelimit-limit-requests"] == "10"
    assert headers["x-ratelimit-remaining-requests"] == "1"
    assert headers["x-ratelimit-reset-requests"] == "54s"
    assert headers["x-ratelimit-remaining-tokens"] == "70"


def test_nothing_left_is_printed_as_0() -> None:
    """0 is a number, not an absence."""
    headers = shown(Family.OPENAI, (requests(1), used(1)))
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert headers["x-litellm-key-remaining-requests-gpt-4o"] == "0"


def test_the_key_and_model_header_is_that_of_the_narrowed_limit() -> None:
    """`x-litellm-key-remaining-requests-<model>`: the limit for this model alone, under a name that
    a header may have.
    """
    narrowed = Scope(ScopeKind.KEY, "k1", "azure/gpt-4")
    headers = shown(
        Family.OPENAI,
        (requests(100, KEY), used(1)),
        (requests(2, narrowed), used(1)),
        model="azure/gpt-4",
    )
    assert headers["x-litellm-key-remaining-requests-azure-gpt-4"] == "1"


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ("azure/gpt-4", "azure-gpt-4"),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5-20250929"),
        ("gpt-4o (eu)", "gpt-4o--eu-"),
        ("claude-opus-4-8[1m]", "claude-opus-4-8-1m-"),
        ("llama3:8b=q4;x", "llama3-8b-q4-x"),
        ("模型", "--"),
        ("two\r\nlines\x00\x7f", "two--lines--"),
        ("a.b_c~d!#$%&'*+^`|", "a.b_c~d!#$%&'*+^`|"),
        ("x" * 1000, "x" * 256),
    ],
)
def test_a_header_is_named_by_a_model_whose_name_is_free_text(model: str, named: str) -> None:
    """What is no token character (RFC 9110, 5.6.2) becomes a hyphen."""
    headers = shown(Family.OPENAI, (requests(100, KEY), used(0)), model=model)
    assert headers[f"x-litellm-key-remaining-requests-{named}"] == "100"


def test_anthropic_clients_get_their_own_names_and_times() -> None:
    """`anthropic-ratelimit-*` with RFC 3339 resets, rounded up to the second."""
    headers = shown(Family.ANTHROPIC, (requests(60), used(1)))
    assert headers["anthropic-ratelimit-requests-limit"] == "60"
    assert headers["anthropic-ratelimit-requests-remaining"] == "59"
    assert headers["anthropic-ratelimit-requests-reset"] == "2027-01-15T08:00:01Z"


def test_limits_of_input_and_output_tokens_are_told_to_anthropic_clients_alone() -> None:
    """OpenAI has no names for them."""
    account = Account(
        KEY, (Quota(Meter.INPUT_TOKENS, 1000, 60), Quota(Meter.OUTPUT_TOKENS, 200, 60))
    )
    headers = shown(Family.ANTHROPIC, (account, used(100, 50)))
    told = {name: headers[f"anthropic-ratelimit-{name}"] for name in ANTHROPIC_TOKENS}
    assert told == {
        "input-tokens-limit": "1000",
        "input-tokens-remaining": "900",
        "output-tokens-limit": "200",
        "output-tokens-remaining": "150",
    }
    assert not [name for name in headers if name.startswith(("x-ratelimit", "x-litellm-key-rem"))]
    assert not shown(Family.OPENAI, (account, used(100, 50))).keys() - {"x-litellm-key-spend"}


def test_a_budget_tells_spend_and_limit_in_dollars() -> None:
    """What is settled, not what is held."""
    headers = shown(Family.OPENAI, (budget(DOLLAR // 100), Balance((72_000,), (400,), 72_000, 400)))
    assert headers == {"x-litellm-key-spend": "7.2e-05", "x-litellm-key-max-budget": "0.01"}


def test_the_ietfs_headers_tell_every_limit_by_its_scope() -> None:
    """A policy and a state each; nothing left of one tells when there is something again; a budget
    is no rate.
    """
    narrowed = Scope(ScopeKind.KEY, "k1", "gpt-4o")
    accounts = (
        requests(2, TEAM),
        account_of(KEY, tpm=600, parallel=3, budget_nanousd=DOLLAR),
        requests(10, narrowed),
    )
    balances = (
        used(2),
        Balance((60 * bucket.units(60), 1, 0), (0, 1, 0)),
        used(1),
    )
    told = ietf_headers(accounts, Standing(NOW_US, balances))
    assert [(each.name, each.value) for each in told] == [
        (
            "ratelimit-policy",
            (
                '"team-requests";q=2;w=60, "key-tokens";q=600;w=60;qu="tollgate-tokens", '
                '"key-parallel";q=3;qu="concurrent-requests", "key-model-requests";q=10;w=60'
            ),
        ),
        (
            "ratelimit",
            (
                '"team-requests";r=0;t=30, "key-tokens";r=540;t=6, "key-parallel";r=2,'
                ' "key-model-requests";r=9;t=6'
            ),
        ),
    ]


def test_a_limit_that_allows_nothing_never_comes_back() -> None:
    """So no time is told."""
    told = ietf_headers((requests(0),), Standing(NOW_US, (used(0),)))
    assert told[1].value == '"key-requests";r=0'


def test_without_rates_the_ietfs_headers_are_left_out() -> None:
    """An empty list would be no list."""
    assert ietf_headers((budget(None),), Standing(NOW_US, (Balance(),))) == ()
