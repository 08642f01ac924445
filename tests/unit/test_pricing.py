"""From tokens to nano-dollars."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from tollgate.adapters.prices import price_of_file, price_table
from tollgate.core.entities import Deployment, Usage
from tollgate.core.pricing import Price, Rates, cost_nanousd


def deployment(provider: str, model: str) -> Deployment:
    return Deployment("d", "public", provider, model, "http://mock-llm")


def test_each_kind_of_token_has_its_rate() -> None:
    """Uncached, cached and written input, and output, each at its own price."""
    price = Price("test", (Rates(3_000, 15_000, 300, 3_750, 6_000),))
    usage = Usage(
        input_tokens=1_000_000,
        output_tokens=2,
        cache_read_tokens=400_000,
        cache_write_5m_tokens=300_000,
        cache_write_1h_tokens=100_000,
    )
    # 200,000 x 3,000 + 400,000 x 300 + 300,000 x 3,750 + 100,000 x 6,000 + 2 x 15,000 femto = 2,445,030,000 = 2,445.03 nano
    assert cost_nanousd(usage, price) == 2_445


def test_half_a_nano_dollar_rounds_up() -> None:
    """The only rounding is of the sum, half up."""
    price = Price("test", (Rates(500_000, 0, 0, 0, 0),))
    assert [cost_nanousd(Usage(input_tokens=n), price) for n in (0, 1, 2, 3)] == [0, 1, 1, 2]


def test_tiers_are_cliffs() -> None:
    """The token that exceeds a tier moves the whole call to it (gemini-2.5-pro: $1.25 a million, above 200,000 $2.50)."""
    price = price_table([deployment("gemini", "gemini-2.5-pro")], {})["d"]
    assert cost_nanousd(Usage(input_tokens=200_000), price) == 250_000_000
    assert cost_nanousd(Usage(input_tokens=200_001), price) == 500_002_500


def test_listed_models_are_priced_by_provider() -> None:
    """gpt-4o: $2.50 and $10 a million, cached $1.25."""
    price = price_table([deployment("openai", "gpt-4o")], {}, datetime(2026, 11, 1, tzinfo=UTC))["d"]
    assert price.source == "openai/gpt-4o"
    assert (
        cost_nanousd(Usage(1_000_000, 1_000_000, cache_read_tokens=500_000), price)
        == 1_250_000_000 + 625_000_000 + 10_000_000_000
    )


def test_a_price_of_the_file_wins() -> None:
    """Both prices, or one over the table's."""
    both = price_table([deployment("openai", "gpt-4o")], {"d": (Decimal("0.000001"), Decimal("0.000002"))})["d"]
    assert cost_nanousd(Usage(10, 10), both) == 30_000
    one = price_table([deployment("openai", "gpt-4o")], {"d": (None, Decimal(0))})["d"]
    assert cost_nanousd(Usage(10, 10), one) == 25_000


def test_a_model_that_nobody_knows_has_no_price() -> None:
    """No price is not a price of zero."""
    assert price_table([deployment("openai", "made-up")], {}) == {}
    assert price_of_file(Decimal(0), Decimal(0), "file").free
