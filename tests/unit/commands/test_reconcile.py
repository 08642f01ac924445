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
        ("openai", json.dumps(OPENAI | {"has_more": True}).encode()),
        ("openai", json.dumps(OPENAI).replace("usd", "eur").encode()),
        ("openai", json.dumps(OPENAI).replace("0.06", "NaN").encode()),
        ("anthropic", b"date,model,cost\n11/24/2025,m,1\n"),
        ("anthropic", b"date,model,cost\n,m,1\n"),
        ("anthropic", b'date,model,cost\n2025-11-24,m,"1.234,56"\n'),
        ("anthropic", b'date,model,cost\n2025-11-24,m,"1,5"\n'),
        ("anthropic", b"date,model,cost\n2025-11-24,m,nan\n"),
        ("anthropic", b"date,model,cost\n2025-11-24,m,Infinity\n"),
        ("anthropic", b"date,model,cost,currency\n2025-11-24,m,1,EUR\n"),
    ],
)
def test_what_is_no_bill_is_refused_by_a_sentence(provider: str, content: bytes) -> None:
    """Instead of a comparison with nothing."""
    with pytest.raises(SettingsError):
        read_bill(provider, content)


CUR = """line_item_usage_start_date,line_item_product_code,product_product_name,product_model,\
line_item_line_item_description,line_item_line_item_type,line_item_unblended_cost
2025-11-24T23:00:00Z,AmazonBedrock,,nova-pro,,Usage,1
2025-11-24T23:00:00Z,d3f7example,Claude 3.5 Sonnet (Amazon Bedrock Edition),,Claude input,Usage,2
2025-11-24T23:00:00Z,AmazonBedrock,,nova-pro,,Tax,5
2025-11-24T23:00:00Z,AmazonBedrock,,nova-pro,,Credit,-5
2025-11-24T23:00:00Z,AmazonBedrock,,nova-pro,,DiscountedUsage,3
"""
EXPORT = """usage_start_time,service.description,sku.description,cost,cost_type,currency
2025-11-24T23:00:00-08:00,Vertex AI,Gemini,1,regular,USD
2025-11-24 23:00:00 UTC,Vertex AI,Gemini,2,regular,USD
2025-11-24 23:00:00 UTC,Vertex AI,Gemini,5,tax,USD
2025-11-24 23:00:00 UTC,Vertex AI,Gemini,5,adjustment,USD
"""


@pytest.mark.parametrize(
    ("provider", "content", "expected"),
    [
        (
            "bedrock",
            CUR,
            [
                ("2025-11-24", "nova-pro", 1),
                ("2025-11-24", "Claude input | Claude 3.5 Sonnet (Amazon Bedrock Edition)", 2),
                ("2025-11-24", "nova-pro", 3),
            ],
        ),
        ("vertex", EXPORT, [("2025-11-25", "Gemini", 1), ("2025-11-24", "Gemini", 2)]),
        (
            "anthropic",
            'date,model,cost\n2025-11-24,"a\x85\u2028b",1\n',
            [("2025-11-24", "a\x85\u2028b", 1)],
        ),
    ],
)
def test_what_is_no_usage_is_left_out_of_a_bill(
    provider: str, content: str, expected: list[tuple[str, str, int]]
) -> None:
    """Taxes and credits. Each row counts on its day of UTC, under the first name that it has."""
    found = read_bill(provider, content.encode())
    assert [(each.day, each.model, each.nanousd // 10**9) for each in found] == expected


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
        ("Gemini 2.5 Flash GA Text Output - Predictions", "gemini-2.5-flash"),
        ("Gemini 2.5 Flash Audio Input - Predictions", "gemini-2.5-flash"),
        ("Gemini 2.5 Flash Image Output", ""),
        ("evals | gpt-4o-2024-08-06, input", "gpt-4o"),
        (
            "Million Input Tokens | Claude Sonnet 4.5 (Amazon Bedrock Edition)",
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
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
