"""What an alert says, to programs and to people."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from tollgate.core.alerting.alert import Alert, sentence, webhook_fields

ALERT = Alert(
    id="a1",
    at_us=1_800_000_000_000_000,
    scope="key",
    scope_id="h",
    scope_name="laptop",
    meter="usd",
    amount=5_000_000_000,
    used=4_250_000_000,
    threshold_permille=850,
    window="1d",
    resets_us=1_800_000_060_000_000,
    key_alias="laptop",
    organization_id="default",
)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {},
            "Key laptop has used $4.25 of its limit of $5.00 per 1d; it starts anew"
            " 2027-01-15 08:01 UTC.",
        ),
        (
            {"threshold_permille": None, "resets_us": None, "window": ""},
            "Key laptop has used $4.25 of its soft budget of $5.00.",
        ),
        (
            {"scope": "proxy", "meter": "tokens", "amount": 9000, "used": 8000, "resets_us": None},
            "The proxy has used 8,000 tokens of its limit of 9,000 tokens per 1d.",
        ),
        (
            {"only_for": "gpt-4o", "resets_us": None},
            "Key laptop for model gpt-4o has used $4.25 of its limit of $5.00 per 1d.",
        ),
    ],
)
def test_an_alert_is_a_sentence(changes: dict[str, Any], said: str) -> None:
    """Whose limit, how much of it, and until when."""
    assert sentence(structs.replace(ALERT, **changes)) == said


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, {"event": "threshold_crossed", "spend": 4.25, "max_budget": 5.0, "token": "h"}),
        ({"threshold_permille": 1000}, {"event": "budget_crossed", "event_group": "key"}),
        (
            {"threshold_permille": None},
            {"event": "soft_budget_crossed", "soft_budget": 5.0, "max_budget": None},
        ),
        ({"scope": "user"}, {"event_group": "internal_user", "token": None}),
        ({"scope": "customer"}, {"event_group": "customer", "customer_id": "h"}),
        ({"meter": "tokens"}, {"spend": None, "max_budget": None, "used": 4_250_000_000}),
    ],
)
def test_a_webhook_is_told_litellms_fields(
    changes: dict[str, Any], told: dict[str, object]
) -> None:
    """Dollars as dollars; what does not apply is null."""
    fields = webhook_fields(structs.replace(ALERT, **changes))
    assert {name: fields[name] for name in told} == told
