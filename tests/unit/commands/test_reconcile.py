"""A provider's bill beside what was charged."""

from __future__ import annotations

import json

import pytest

from tollgate.core.errors import SettingsError
from tollgate.reporting.reconciling import (
    BilledCost,
    ChargedCost,
    ReconciledRow,
    read_bill,
    reconcile,
    total,
)

# The shape of https://platform.openai.com/docs/api-reference/usage/costs
OPENAI = {
    "object": "page",
    "data": [
        {
            "object": "bucket",
            "start_time": 1_763_942_400,
            "end_time": 1_764_028_800,
            "results": [
                {
                    "object": "organization.costs.result",
                    "amount": {"value": 0.06, "currency": "usd"},
                    "line_item": "gpt-4o-2024-08-06, input",
                    "project_id": None,
                },
                {
                    "object": "organization.costs.result",
                    "amount": {"value": "0.000000012", "currency": "usd"},
                    "line_item": None,
                    "project_id": None,
                },
            ],
        }
    ],
    "has_more": False,
    "next_page": None,
}
ANTHROPIC = """usage_date_utc,model,workspace,token_type,cost_usd
2025-11-24,Claude Sonnet 4.5,Default,input_uncached,1.25
2025-11-24,claude-sonnet-4-5-20250929,Default,output,"1,000.5"
"""
BEDROCK = """lineItem/UsageStartDate,lineItem/ProductCode,lineItem/UsageType,lineItem/UnblendedCost
2025-11-24T10:00:00Z,AmazonBedrock,USE1-Claude-Sonnet-4.5-input-tokens,2.5
2025-11-24T10:00:00Z,AmazonEC2,BoxUsage,100
"""
VERTEX = """usage_start_time,service.description,sku.description,cost
2025-11-24 10:00:00 UTC,Vertex AI,Gemini 2.5 Flash Text Input - Predictions,0.5
2025-11-24 10:00:00 UTC,Compute Engine,N1,7
"""


@pytest.mark.parametrize(
    ("provider", "content", "expected"),
    [
        (
            "openai",
            json.dumps(OPENAI),
            [
                BilledCost("2025-11-24", "gpt-4o-2024-08-06", 60_000_000),
                BilledCost("2025-11-24", "", 12),
            ],
        ),
        (
            "anthropic",
            ANTHROPIC,
            [
                BilledCost("2025-11-24", "Claude Sonnet 4.5", 1_250_000_000),
                BilledCost("2025-11-24", "claude-sonnet-4-5-20250929", 1_000_500_000_000),
            ],
        ),
        (
            "bedrock",
            BEDROCK,
            [BilledCost("2025-11-24", "USE1-Claude-Sonnet-4.5-input-tokens", 2_500_000_000)],
        ),
        (
            "vertex",
            VERTEX,
            [BilledCost("2025-11-24", "Gemini 2.5 Flash Text Input - Predictions", 500_000_000)],
        ),
    ],
)
def test_a_bill_is_read_in_its_providers_form(
    provider: str, content: str, expected: list[BilledCost]
) -> None:
    """Rows of other services are left out."""
    assert read_bill(provider, content.encode()) == expected
    assert read_bill(provider, f"\ufeff{content}".encode()) == expected


@pytest.mark.parametrize(
    ("provider", "content"),
    [
        ("openai", b"{"),
        ("openai", b'{"data": [{}]}'),
        ("anthropic", b"{}"),
        ("vertex", b"a,b\n1,2\n"),
        ("anthropic", b"date,model,cost\n2025-11-24,m,much\n"),
        ("openai", b"\xff\xfe"),
    ],
)
def test_what_is_no_bill_is_refused_by_a_sentence(provider: str, content: bytes) -> None:
    """Instead of a comparison with nothing."""
    with pytest.raises(SettingsError):
        read_bill(provider, content)


@pytest.mark.parametrize(
    ("billed", "model"),
    [
        ("gpt-4o-2024-08-06, input", "gpt-4o"),
        ("gpt-4o-mini-2024-07-18, output", ""),
        ("gpt-4-0613", ""),
        ("GPT-4o", "gpt-4o"),
        ("Claude Sonnet 4.5", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("USE1-Claude-Sonnet-4.5-output-tokens", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("Gemini 2.5 Flash Text Input - Predictions", "gemini-2.5-flash"),
        ("Gemini 2.5 Flash Lite Text Input", ""),
        ("", ""),
    ],
)
def test_a_billed_name_finds_its_model(billed: str, model: str) -> None:
    """Whatever date, version, region or kind of token it has; another model's finds none."""
    served = ("gpt-4o", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "gemini-2.5-flash")
    charged = [ChargedCost("2025-11-24", each, 0) for each in served]
    rows = reconcile(charged, [BilledCost("2025-11-24", billed, 5)])
    assert [each.model for each in rows if each.billed_nanousd] == [model]


def test_the_capture_rate_is_charged_over_billed() -> None:
    """Of each day and model, and of all."""
    charged = [ChargedCost("d1", "m", 90), ChargedCost("d2", "m", 10)]
    rows = reconcile(charged, [BilledCost("d1", "m", 100), BilledCost("d1", "other", 100)])
    assert rows == [
        ReconciledRow("d1", "", 0, 100),
        ReconciledRow("d1", "m", 90, 100),
        ReconciledRow("d2", "m", 10, 0),
    ]
    assert [each.capture_rate for each in rows] == [0, 0.9, None]
    assert total(rows).capture_rate == 0.5
