"""From tokens to nano-dollars, line by line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tollgate.core.calls.bill import FEMTO_PER_NANO, Line
from tollgate.core.calls.usage import NO_USAGE, Usage
from tollgate.core.money.billing import bill, cost_nanousd
from tollgate.core.money.pricing import Price, Rates

RATES = Rates(3_000, 15_000, 300, 3_750, 6_000)
PRICE = Price("test", (RATES,))
MEDIA = replace(
    RATES,
    input_audio=10_000,
    input_image=5_000,
    output_audio=40_000,
    output_image=30_000,
    reasoning=20_000,
)


def lines(usage: Usage, price: Price) -> dict[str, tuple[int, int]]:
    return {line.kind: (line.units, line.rate_femtousd) for line in bill(usage, price).lines}


def test_each_kind_of_token_has_its_rate() -> None:
    """Uncached, cached and written input, and output, each at its own price."""
    usage = Usage(
        input_tokens=1_000_000,
        output_tokens=2,
        cache_read_tokens=400_000,
        cache_write_5m_tokens=300_000,
        cache_write_1h_tokens=100_000,
    )
    # 200,000 x 3,000 + 400,000 x 300 + 300,000 x 3,750 + 100,000 x 6,000 + 2 x 15,000 femto =
    # 2,445,030,000 = 2,445.03 nano
    assert cost_nanousd(usage, PRICE) == 2_445


def test_media_and_reasoning_are_charged_apart_where_they_have_prices() -> None:
    """A token is charged once: what has a price of its own is not charged as text too."""
    usage = Usage(
        100,
        50,
        cache_read_tokens=40,
        input_audio_tokens=5,
        input_image_tokens=6,
        output_audio_tokens=9,
        output_image_tokens=1,
        reasoning_tokens=20,
    )
    assert lines(usage, Price("test", (MEDIA,))) == {
        "input": (49, 3_000),
        "cache_read": (40, 300),
        "input_audio": (5, 10_000),
        "input_image": (6, 5_000),
        "output": (20, 15_000),
        "output_audio": (9, 40_000),
        "output_image": (1, 30_000),
        "reasoning": (20, 20_000),
    }


def test_media_without_a_price_are_charged_as_text() -> None:
    """No price of its own is not a price of zero."""
    usage = Usage(100, 50, input_audio_tokens=5, output_image_tokens=1, reasoning_tokens=20)
    assert lines(usage, PRICE) == {"input": (100, 3_000), "output": (50, 15_000)}


def test_no_token_is_charged_twice_however_the_parts_overlap() -> None:
    """Sound that was cached, and reasoning beside sound: the parts never come to more than the
    whole.
    """
    usage = Usage(
        10,
        10,
        cache_read_tokens=8,
        input_audio_tokens=10,
        output_audio_tokens=9,
        reasoning_tokens=9,
    )
    charged = lines(usage, Price("test", (MEDIA,)))
    assert charged == {
        "cache_read": (8, 300),
        "input_audio": (2, 10_000),
        "output_audio": (9, 40_000),
        "reasoning": (1, 20_000),
    }


def test_searches_sound_characters_and_requests_are_charged_beside_tokens() -> None:
    """Sound at least as long as the provider's least; characters as the request told them."""
    rates = replace(
        RATES, search=7, audio_second=11, character=2, request=1_000, least_audio_seconds=10
    )
    usage = Usage(4, searches=3, audio_seconds=6, characters=6)
    assert lines(usage, Price("test", (rates,))) == {
        "input": (4, 3_000),
        "search": (3, 7),
        "audio_second": (10, 11),
        "character": (6, 2),
        "request": (1, 1_000),
    }


def test_nothing_used_costs_nothing() -> None:
    """A call that never reached the provider does not pay a fee for the request either."""
    assert cost_nanousd(NO_USAGE, Price("test", (replace(RATES, request=FEMTO_PER_NANO),))) == 0


def test_half_a_nano_dollar_rounds_up() -> None:
    """The only rounding is of the sum, half up."""
    price = Price("test", (Rates(500_000, 0, 0, 0, 0),))
    assert [cost_nanousd(Usage(input_tokens=n), price) for n in (0, 1, 2, 3)] == [0, 1, 1, 2]


def test_tiers_are_cliffs() -> None:
    """The token that exceeds a tier moves the whole call to it, and the bill names the tier."""
    tiers = tuple(
        Rates(rate, 0, 0, 0, 0, above) for rate, above in ((1, 0), (2, 1_000), (3, 5_000))
    )
    bills = [bill(Usage(tokens), Price("test", tiers)) for tokens in (1_000, 1_001, 5_000, 5_001)]
    assert [(each.above_input_tokens, each.lines) for each in bills] == [
        (0, (Line("input", 1_000, 1),)),
        (1_000, (Line("input", 1_001, 2),)),
        (1_000, (Line("input", 5_000, 2),)),
        (5_000, (Line("input", 5_001, 3),)),
    ]


@pytest.mark.parametrize(
    ("told", "named", "rate"),
    [
        ("flex", "flex", 1_500),
        ("ON_DEMAND_FLEX", "flex", 1_500),
        ("priority", "priority", 6_000),
        ("default", "", 3_000),
        ("scale", "", 3_000),
        (None, "", 3_000),
    ],
)
def test_the_service_tier_that_the_reply_tells_is_charged(
    told: str | None, named: str, rate: int
) -> None:
    """One without prices of its own costs the standard ones."""
    price = Price(
        "test",
        (RATES,),
        {"flex": (replace(RATES, input=1_500),), "priority": (replace(RATES, input=6_000),)},
    )
    charged = bill(Usage(1, service_tier=told), price)
    assert (charged.service_tier, charged.lines) == (named, (Line("input", 1, rate),))


def test_a_price_is_free_only_if_nothing_costs_anything() -> None:
    """Neither a search nor a service tier."""
    nothing = Rates(0, 0, 0, 0, 0)
    assert Price("test", (nothing,)).free
    assert not Price("test", (replace(nothing, search=1),)).free
    assert not Price("test", (replace(nothing, input_audio=1),)).free
    assert not Price("test", (nothing,), {"priority": (RATES,)}).free
