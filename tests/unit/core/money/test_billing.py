"""Every told part is charged at its price or named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.core.calls.reservation import Settlement
from tollgate.core.calls.usage import Certainty, Counts, Pass, Usage
from tollgate.core.money.billing import PARTS, bill
from tollgate.core.money.pricing import Price, Rates

RATES = Rates(3_000, 15_000, 300, 3_750, 6_000)
PRICE = Price("test", (RATES,))
OTHER = Price("other", (Rates(50_000, 250_000, 5_000, 5_000, 5_000),))


def priced(
    usage: Usage, price: Price = PRICE, **others: Price
) -> tuple[dict[str, tuple[int, int]], tuple[str, ...]]:
    """A bill's lines by kind, and what it names as unpriced."""
    found = bill(usage, price, others.get)
    return {line.kind: (line.units, line.rate_femtousd) for line in found.lines}, found.unpriced


@pytest.mark.parametrize(
    ("told", "part", "rate"),
    [
        ({"output_tokens": 9, "output_audio_tokens": 5}, "output_audio", "output_audio"),
        ({"output_tokens": 9, "output_image_tokens": 5}, "output_image", "output_image"),
        ({"output_tokens": 9, "output_video_tokens": 5}, "output_video", "output_video"),
        ({"input_tokens": 9, "input_audio_tokens": 5}, "input_audio", "input_audio"),
        ({"searches": 5}, "search", "search"),
        ({"map_searches": 5}, "map_search", "map_search"),
        ({"sources": 5}, "source", "source"),
        ({"file_searches": 5}, "file_search", "file_search"),
        ({"code_containers": 5}, "code_container", "code_container"),
        ({"citation_tokens": 5}, "citation", "citation"),
        ({"image_calls": 5}, "image", "image_call"),
        ({"pages": 5}, "page", "page"),
    ],
)
def test_a_told_part_has_a_price_or_is_named(told: dict[str, int], part: str, rate: str) -> None:
    """Never silently free, nor silently at another part's price."""
    usage = Usage(**told)
    assert priced(usage)[1] == (part,)
    changes: dict[str, Any] = {rate: 7}
    lines, unpriced = priced(usage, replace(PRICE, tiers=(replace(RATES, **changes),)))
    assert (lines[part], unpriced) == ((5, 7), ())
    # A price of zero is a price.
    changes = {rate: 0}
    assert priced(usage, replace(PRICE, tiers=(replace(RATES, **changes),)))[1] == ()
    assert part in PARTS


def test_what_providers_charge_as_the_part_that_holds_it_is_priced_by_that() -> None:
    """Reasoning is output, pictures and films in a prompt are input."""
    usage = Usage(10, 10, input_image_tokens=5, input_video_tokens=5, reasoning_tokens=5)
    assert priced(usage) == ({"input": (10, 3_000), "output": (10, 15_000)}, ())


def test_cached_sound_has_its_own_price() -> None:
    """What was cached of it is not charged as fresh sound too; without a price it is named."""
    usage = Usage(100, cache_read_tokens=60, cache_read_audio_tokens=40, input_audio_tokens=50)
    rates = replace(RATES, input_audio=1_000, cache_read_audio=100)
    assert priced(usage, replace(PRICE, tiers=(rates,))) == (
        {
            "input": (30, 3_000),
            "cache_read_audio": (40, 100),
            "cache_read": (20, 300),
            "input_audio": (10, 1_000),
        },
        (),
    )
    _, unpriced = priced(usage, replace(PRICE, tiers=(replace(RATES, input_audio=1_000),)))
    assert unpriced == ("cache_read_audio",)


@pytest.mark.parametrize(
    ("told", "unpriced"),
    [
        ("flex", ("flex",)),
        ("ON_DEMAND_FLEX", ("flex",)),
        ("fast", ("fast",)),
        ("x" * 99, ("x" * 40,)),
        (None, ()),
        ("default", ()),
        ("standard", ()),
        ("auto", ()),
        ("on_demand", ()),
        ("ON_DEMAND", ()),
    ],
)
def test_a_service_tier_without_a_price_is_named(
    told: str | None, unpriced: tuple[str, ...]
) -> None:
    """The ordinary one has many names and needs none."""
    assert priced(Usage(1, service_tier=told))[1] == unpriced
    assert priced(
        Usage(1, service_tier=told),
        replace(PRICE, service_tiers={"flex": (RATES,), "fast": (RATES,)}),
    )[1] == tuple(each for each in unpriced if each not in ("flex", "fast"))


def test_where_a_call_ran_may_change_its_price() -> None:
    """The price of that place is charged, and the bill says which it was."""
    price = replace(PRICE, geographies={"us": Price("test", (replace(RATES, input=3_300),))})
    assert [
        bill(Usage(10, geography=place), price).femtousd for place in ("us", "global", None)
    ] == [
        33_000,
        30_000,
        30_000,
    ]
    assert bill(Usage(10, geography="us"), price).geography == "us"


def test_throughput_that_is_paid_by_the_month_costs_nothing_by_the_token() -> None:
    """Fees are another matter, and its tier needs no price."""
    price = replace(PRICE, tiers=(replace(RATES, search=7),))
    usage = Usage(10, 10, searches=1, provisioned=True, service_tier="PROVISIONED_THROUGHPUT")
    assert priced(usage, price) == ({"search": (1, 7)}, ())


def test_each_pass_is_billed_at_its_own_models_rates() -> None:
    """What the call used beside its passes is billed as the call's own."""
    passes = (Pass(900, 100, model="other", kind="advisor_message"), Pass(50, 5, kind="message"))
    assert priced(Usage(1_000, 110, passes=passes), other=OTHER) == (
        {
            "input": (50, 3_000),
            "output": (5, 15_000),
            "advisor_message.input": (900, 50_000),
            "advisor_message.output": (100, 250_000),
            "message.input": (50, 3_000),
            "message.output": (5, 15_000),
        },
        (),
    )


def test_a_tier_by_length_is_each_passs_own() -> None:
    """Passes that are short each do not become long together."""
    price = Price("test", (RATES, replace(RATES, input=6_000, above_input_tokens=100)))
    passes = (Pass(90, kind="a"), Pass(110, kind="b"))
    lines, _ = priced(Usage(200, passes=passes), price)
    assert lines == {"a.input": (90, 3_000), "b.input": (110, 6_000)}


def test_a_pass_by_a_model_that_nobody_knows_is_named() -> None:
    """It is charged at the call's own rates.

    A hosted tool's picture has a model of its own, named or not.
    """
    passes = (Pass(9, kind="advisor_message", model="unknown"), Pass(1, kind="image_generation"))
    lines, unpriced = priced(Usage(10, image_calls=1, passes=passes))
    assert lines == {"advisor_message.input": (9, 3_000), "image_generation.input": (1, 3_000)}
    assert unpriced == ("advisor_message", "image")


@pytest.mark.parametrize(
    ("told", "least", "most", "charged"), [(0, 1, 1, 1), (3, 0, 1, 1), (3, 1, 0, 3), (0, 0, 1, 0)]
)
def test_searches_have_bounds(told: int, least: int, most: int, charged: int) -> None:
    """A model that always searches, and one that charges for the grounded prompt, not for its
    queries.
    """
    rates = replace(RATES, search=7, least_searches=least, most_searches=most)
    lines, _ = priced(Usage(1, searches=told), replace(PRICE, tiers=(rates,)))
    assert lines.get("search", (0, 7)) == (charged, 7)


def test_a_model_whose_every_call_costs_something_else_says_so() -> None:
    """A fine-tuned model whose price nobody knows."""
    assert priced(Usage(1), replace(PRICE, unpriced=("fine_tuned",)))[1] == ("fine_tuned",)


def test_a_cost_is_exact_only_if_every_part_had_a_price() -> None:
    """Unless the provider told the whole; what is uncertain for other reasons stays what it is."""
    usage = Usage(1, output_tokens=1, output_audio_tokens=1)
    found = [
        Settlement(replaced, 1, 200, "test", bill(replaced, PRICE), told).certainty
        for replaced, told in (
            (usage, False),
            (usage, True),
            (Usage(1), False),
            (Usage(1, 1, output_audio_tokens=1, certainty=Certainty.ESTIMATED), False),
        )
    ]
    assert found == [Certainty.PARTIAL, Certainty.EXACT, Certainty.EXACT, Certainty.ESTIMATED]


counts = st.fixed_dictionaries({name: st.integers(0, 50) for name in Counts.__struct_fields__})
rates = st.builds(
    lambda **kinds: Rates(1, 1, 1, 1, 1, **kinds),
    **{
        name: st.one_of(st.none(), st.just(1))
        for name in (
            "input_audio",
            "input_image",
            "input_video",
            "output_audio",
            "output_image",
            "output_video",
            "reasoning",
            "cache_read_audio",
            "cache_read_image",
        )
    },
)


@given(counts=counts, rates=rates)
def test_no_token_is_charged_twice_nor_lost(counts: dict[str, int], rates: Rates) -> None:
    """Whatever the parts are, the lines of input are the input, or what was cached of it, if that
    is more; and so is output.
    """
    usage = Usage(**counts)
    found = bill(usage, Price("test", (rates,)))
    outputs = {"output", "output_audio", "output_image", "output_video", "reasoning"}
    cached = usage.cache_read_tokens + usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    units = {line.kind: line.units for line in found.lines}
    assert sum(units.get(kind, 0) for kind in outputs) == usage.output_tokens
    rest = sum(count for kind, count in units.items() if kind not in outputs)
    assert rest == max(usage.input_tokens, cached)
