"""Where prices come from: the built-in table, a price file, the configuration file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices.data_snapshot import DataSnapshot, get_snapshot
from genai_prices.types import ClauseEquals, ModelInfo, ModelPrice, Provider
from genai_prices.types import Usage as TheirUsage
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tollgate.adapters.prices import PriceBook, builtin, price_of_file, price_table
from tollgate.core.calls.usage import Usage
from tollgate.core.errors import SettingsError
from tollgate.core.models.deployment import Deployment
from tollgate.core.money.billing import cost_nanousd
from tollgate.core.money.costs import CostName, OwnPrice, costs_of, find_cost_name
from tollgate.core.money.pricing import Price
from tollgate.core.requests.catalog import Catalog
from tollgate.settings import Settings, load

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)


def deployment(provider: str, model: str) -> Deployment:
    return Deployment("d", "public", provider, model, "http://mock-llm")


def listed(provider: str, model: str, now: datetime = NOVEMBER, **costs: float) -> Price:
    return price_table([deployment(provider, model)], {"d": OwnPrice(costs_of(costs))}, now)["d"]


def rates(price: Price, kind: str) -> dict[tuple[str, int], object]:
    """A kind's rate in every row, by service tier and the input above which it holds."""
    tiers = {"": price.tiers, **price.service_tiers}
    return {
        (name, rates.above_input_tokens): getattr(rates, kind)
        for name, several in tiers.items()
        for rates in several
    }


def test_listed_models_are_priced_by_provider() -> None:
    """gpt-4o: $2.50 and $10 a million, cached $1.25."""
    price = listed("openai", "gpt-4o")
    assert price.source == "openai/gpt-4o"
    assert (
        cost_nanousd(Usage(1_000_000, 1_000_000, cache_read_tokens=500_000), price)
        == 1_250_000_000 + 625_000_000 + 10_000_000_000
    )


def test_listed_tiers_are_cliffs() -> None:
    """gemini-2.5-pro: $1.25 a million, above 200,000 tokens $2.50."""
    price = listed("gemini", "gemini-2.5-pro")
    assert cost_nanousd(Usage(input_tokens=200_000), price) == 250_000_000
    assert cost_nanousd(Usage(input_tokens=200_001), price) == 500_002_500


def test_listed_service_tiers_have_their_prices() -> None:
    """gpt-5.4: $2.50 a million, flex half of it, priority twice."""
    price = listed("openai", "gpt-5.4")
    costs = [
        cost_nanousd(Usage(1_000, service_tier=tier), price)
        for tier in ("default", "flex", "priority", "fast")
    ]
    assert costs == [2_500_000, 1_250_000, 5_000_000, 5_000_000]


def test_listed_prices_turn_at_their_time_of_day() -> None:
    """deepseek-v4-pro is cheaper at some hours than at others."""
    night, day = (
        listed("deepseek", "deepseek-v4-pro", NOVEMBER.replace(hour=hour)) for hour in (20, 3)
    )
    assert night.tiers[0].input != day.tiers[0].input


def test_what_is_priced_by_other_units_than_tokens_is_charged() -> None:
    """whisper-1 costs $0.006 a minute; Groq bills ten seconds at least; a search with gpt-4o costs
    a cent.
    """
    assert cost_nanousd(Usage(audio_seconds=60), listed("openai", "whisper-1")) == 6_000_000
    groq = listed("groq", "whisper-large-v3")
    assert (
        cost_nanousd(Usage(audio_seconds=1), groq)
        == cost_nanousd(Usage(audio_seconds=10), groq)
        == 308_333
    )
    assert cost_nanousd(Usage(searches=1), listed("openai", "gpt-4o")) == 10_000_000


def test_a_model_whose_units_no_reply_tells_has_no_price(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages are not told, so such a model is not taken for a free one."""
    prices = ModelPrice(input_text_messages_kcount=Decimal(4))
    model = ModelInfo(id="m", match=ClauseEquals(equals="m"), prices=prices)
    provider = Provider(id="voices", name="Voices", api_pattern="x", models=[model])
    snapshot = DataSnapshot(providers=[provider], from_auto_update=False)
    monkeypatch.setattr(builtin, "get_snapshot", lambda: snapshot)
    assert price_table([deployment("voices", "m")], {}, NOVEMBER) == {}


def test_a_model_that_nobody_knows_has_no_price() -> None:
    """No price is not a price of zero."""
    assert price_table([deployment("openai", "made-up")], {}) == {}
    assert price_of_file(Decimal(0), Decimal(0), "file").free


def test_a_base_model_names_what_the_table_knows() -> None:
    """Azure's deployments have names of their own."""
    own = {"d": OwnPrice(base_model="azure/gpt-4o")}
    assert (
        price_table([deployment("azure", "our-own-name")], own, NOVEMBER)["d"].source
        == "azure/gpt-4o"
    )


_TOKENS_ONLY = {
    "input_mtok",
    "output_mtok",
    "cache_read_mtok",
    "cache_write_mtok",
    "cache_write_1h_mtok",
}
_PROVIDERS = ("anthropic", "aws", "deepseek", "google", "mistral", "openai")
_LISTED = {
    f"{provider.id}/{model.id}": model
    for provider in get_snapshot().providers
    if provider.id in _PROVIDERS
    for model in provider.models
    if {name for name, price in vars(model.get_prices(NOVEMBER)).items() if price is not None}
    <= _TOKENS_ONLY
}


@given(
    listing=st.sampled_from(sorted(_LISTED)),
    counts=st.tuples(*[st.integers(0, 300_000)] * 4),
    hour=st.integers(0, 23),
)
@settings(max_examples=300, deadline=None)
def test_our_integers_agree_with_the_table_s_decimals(
    listing: str, counts: tuple[int, int, int, int], hour: int
) -> None:
    """Any model, any counts, any hour: to the nano-dollar, and a fraction of one for prices finer
    than a femto-dollar.
    """
    text, output, read, write = counts
    provider, _, model = listing.partition("/")
    now = NOVEMBER.replace(hour=hour)
    layers = builtin.listed(provider, model, now)
    assume(layers.source == listing)  # an id that is not among its own model's names is never found
    price = layers.price()
    ours = cost_nanousd(
        Usage(text + read + write, output, cache_read_tokens=read, cache_write_5m_tokens=write),
        price,
    )
    theirs = (
        _LISTED[listing]
        .get_prices(now)
        .calc_price(
            TheirUsage(
                input_tokens=text + read + write,
                output_tokens=output,
                cache_read_tokens=read,
                cache_write_tokens=write,
            )
        )
    )
    assert abs(theirs["total_price"] * 10**9 - ours) < Decimal("0.6")


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("input_cost_per_token", CostName("input")),
        ("cache_creation_input_token_cost_above_1hr", CostName("cache_write_1h")),
        ("output_cost_per_token_above_200k_tokens", CostName("output", "", 200_000)),
        (
            "cache_creation_input_token_cost_above_1hr_above_200k_tokens",
            CostName("cache_write_1h", "", 200_000),
        ),
        ("cache_read_input_token_cost_flex", CostName("cache_read", "flex")),
        ("input_cost_per_token_above_272k_tokens_priority", CostName("input", "priority", 272_000)),
        ("output_cost_per_token_batches", CostName("output", "batch")),
        ("input_cost_per_audio_token", CostName("input_audio")),
        ("input_cost_per_pixel", None),
        ("input_cost_per_token_above_200k_tokens_never", None),
    ],
)
def test_litellm_s_names_are_understood(name: str, meaning: CostName | None) -> None:
    """What we do not serve is no price, so that settings report it."""
    assert meaning == find_cost_name(name)


@pytest.mark.parametrize("value", [-1, "free", True, float("nan"), float("inf"), [1]])
def test_a_price_that_is_no_amount_of_dollars_is_refused_by_name(value: object) -> None:
    """Zero or more dollars, as a number or its text."""
    with pytest.raises(ValueError, match="output_cost_per_token: must be dollars"):
        costs_of({"output_cost_per_token": value})


def test_a_price_written_as_a_float_means_what_it_says() -> None:
    """2.5e-06 is 2.5 millionths, not the binary fraction nearest to it."""
    assert costs_of({"input_cost_per_token": 2.5e-06}) == {CostName("input"): Decimal("0.0000025")}


def test_both_prices_of_the_file_are_the_whole_price() -> None:
    """The table's tiers, service tiers and discounts are forgotten; cached tokens cost what others
    do.
    """
    price = listed(
        "openai", "gpt-5.4", input_cost_per_token=0.000001, output_cost_per_token=0.000002
    )
    assert (price.source, len(price.tiers), price.service_tiers) == ("file", 1, {})
    assert cost_nanousd(Usage(10, 10, cache_read_tokens=5), price) == 30_000


def test_one_price_of_the_file_replaces_its_part_of_the_table() -> None:
    """In every tier and service tier; the other parts stay."""
    price = listed("openai", "gpt-5.4", output_cost_per_token=0)
    assert price.source == "file over openai/gpt-5.4"
    assert set(rates(price, "output").values()) == {0}
    assert rates(price, "input") == rates(listed("openai", "gpt-5.4"), "input")


def test_an_input_price_of_the_file_ends_the_table_s_discount_on_cached_tokens() -> None:
    """It was a discount on another price; the file may name one of its own."""
    plain = listed("openai", "gpt-4o", input_cost_per_token=0.000001)
    named = listed(
        "openai", "gpt-4o", input_cost_per_token=0.000001, cache_read_input_token_cost=0.0000002
    )
    assert (plain.tiers[0].cache_read, named.tiers[0].cache_read) == (1_000_000_000, 200_000_000)


def test_a_file_makes_tiers_and_service_tiers_of_its_own() -> None:
    """What such a row does not name is as in the row below, or the standard one."""
    price = listed(
        "openai",
        "made-up",
        input_cost_per_token=1,
        output_cost_per_token=2,
        input_cost_per_token_above_200k_tokens=3,
        output_cost_per_token_flex=4,
    )
    dollar = 10**15
    assert rates(price, "input") == {
        ("", 0): dollar,
        ("", 200_000): 3 * dollar,
        ("flex", 0): dollar,
        ("flex", 200_000): 3 * dollar,
    }
    assert rates(price, "output") == {
        ("", 0): 2 * dollar,
        ("", 200_000): 2 * dollar,
        ("flex", 0): 4 * dollar,
        ("flex", 200_000): 4 * dollar,
    }


def written(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


GPT = deployment("openai", "gpt-4o")


@pytest.mark.parametrize("name", ["gpt-4o", "openai/gpt-4o"])
def test_a_price_file_lies_between_the_table_and_the_file(tmp_path: Path, name: str) -> None:
    """It is found by the model's name, with its provider or without."""
    entry = {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 1e-06,
        "output_cost_per_token": 3e-06,
    }
    file = written(tmp_path / "prices.json", {name: entry})
    assert PriceBook([GPT], {}, file).at(NOVEMBER)["d"] == Price(
        "price_file", price_of_file(Decimal("0.000001"), Decimal("0.000003"), "").tiers
    )
    own: Mapping[str, OwnPrice] = {"d": OwnPrice(costs_of({"output_cost_per_token": 0}))}
    assert PriceBook([GPT], own, file).at(NOVEMBER)["d"].source == "file over price_file"


def test_a_price_file_s_entry_of_another_provider_is_not_ours(tmp_path: Path) -> None:
    """A name without a provider says in the entry whose it is."""
    file = written(
        tmp_path / "prices.json",
        {"gpt-4o": {"litellm_provider": "azure", "input_cost_per_token": 1}},
    )
    assert PriceBook([GPT], {}, file).at(NOVEMBER)["d"].source == "openai/gpt-4o"


def test_a_price_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """Without a restart; and one that has become unusable stays what it was."""
    file = written(tmp_path / "prices.json", {"gpt-4o": {"output_cost_per_token": 1}})
    book = PriceBook([GPT], {}, file)
    outputs = []
    for number, text in enumerate(
        (
            '{"gpt-4o": {"output_cost_per_token": 2}}',
            "{",
            '{"gpt-4o": {"output_cost_per_token": 3}}',
        )
    ):
        file.write_text(text, encoding="utf-8")
        os.utime(file, ns=(number, number))
        outputs.append(book.at(NOVEMBER)["d"].tiers[0].output // 10**15)
    file.unlink()
    outputs.append(book.at(NOVEMBER)["d"].tiers[0].output // 10**15)
    assert outputs == [2, 2, 3, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read the price file"),
        ("{", "is not valid JSON"),
        ("[]", "must hold an object"),
        (
            '{"gpt-4o": {"input_cost_per_token": -1}}',
            "gpt-4o: input_cost_per_token: must be dollars",
        ),
    ],
)
def test_a_price_file_that_cannot_be_used_stops_the_start(
    tmp_path: Path, text: str | None, message: str
) -> None:
    """The error names the file, and the field where there is one."""
    file = tmp_path / "prices.json"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=message):
        PriceBook([GPT], {}, file)


def test_a_catalog_takes_new_prices() -> None:
    """Admission and metering share it, so both charge them from then on."""
    catalog = Catalog.of((GPT,), {})
    catalog.reprice(PriceBook([GPT], {}).at(NOVEMBER + timedelta(minutes=1)))
    assert catalog.price("d", GPT.model_name) is not None


def loaded(
    tmp_path: Path, params: Mapping[str, object], info: Mapping[str, object] | None = None
) -> Settings:
    """The settings of a file with one deployment."""
    entry = {
        "model_name": "gpt-4o",
        "litellm_params": {"model": "openai/gpt-4o", **params},
        "model_info": info or {},
    }
    general = {"master_key": "sk-of-tests"}
    return load(
        written(tmp_path / "config.yaml", {"model_list": [entry], "general_settings": general}), {}
    )


def test_prices_of_the_file_are_served_and_others_reported(tmp_path: Path) -> None:
    """A name that we do not serve is one line at start, not silently nothing."""
    params = {
        "input_cost_per_audio_token": 2e-05,
        "cache_read_input_token_cost_flex": "1e-7",
        "output_cost_per_second": 1,
    }
    found = loaded(tmp_path, params, {"base_model": "azure/gpt-4o"})
    assert found.prices["gpt-4o"] == OwnPrice(
        {
            CostName("input_audio"): Decimal("0.00002"),
            CostName("cache_read", "flex"): Decimal("0.0000001"),
        },
        "azure/gpt-4o",
    )
    assert found.notices == (
        "model_list: gpt-4o: litellm_params.output_cost_per_second: not served by Tollgate:"
        " calls are charged without this price",
    )


def test_a_bad_price_in_the_file_stops_the_start(tmp_path: Path) -> None:
    """The error names the field and the value."""
    with pytest.raises(
        SettingsError,
        match=r"model_list: gpt-4o: litellm_params\.output_cost_per_token: must be dollars.*-1",
    ):
        loaded(tmp_path, {"output_cost_per_token": -1})
