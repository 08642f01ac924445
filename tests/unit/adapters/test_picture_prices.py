"""Where prices of pictures come from: our table, a price file, the configuration file."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tollgate.adapters.http_api.console.pages.models_page import printed_pictures
from tollgate.adapters.http_api.wire.model_infos import group, info
from tollgate.adapters.prices import differences, price_table
from tollgate.adapters.prices.price_file import PriceFile
from tollgate.core.calls.usage import Usage
from tollgate.core.errors import BadRequest
from tollgate.core.models.deployment import Deployment
from tollgate.core.money.costs import OwnPrice, costs_of, picture_costs_of
from tollgate.core.money.picture_rates import PictureKind, PictureRate
from tollgate.core.money.pricing import Price, Rates
from tollgate.core.requests.catalog import Catalog
from tollgate.reporting.reports import KnownModel, Reports
from tollgate.settings import load

NOVEMBER = datetime(2026, 11, 28, tzinfo=UTC)


def deployment(provider: str, model: str) -> Deployment:
    return Deployment("d", "public", provider, model, "http://mock-llm")


def pictures(price: Price) -> dict[str, Decimal]:
    """Dollars of pictures by what they are."""
    return {str(each.kind): Decimal(each.femtousd) / 10**15 for each in price.pictures}


PICTURE_FILE = {
    "azure/hd/1024-x-1792/dall-e-3": {
        "litellm_provider": "azure",
        "mode": "image_generation",
        "input_cost_per_pixel": 7.19343e-08,
        "output_cost_per_token": 0.0,
    },
    "azure/standard/1024-x-1024/dall-e-2": {
        "litellm_provider": "azure",
        "input_cost_per_pixel": 0.0,
        "output_cost_per_token": 0.0,
    },
    "1024-x-1024/50-steps/bedrock/amazon.nova-canvas-v1:0": {
        "litellm_provider": "bedrock",
        "output_cost_per_image": 0.05,
    },
    "amazon.nova-canvas-v1:0": {"litellm_provider": "bedrock", "output_cost_per_image": 0.07},
    "low/1024-x-1024/gpt-image-1": {"litellm_provider": "openai", "input_cost_per_image": 0.011},
    "hd/1024-x-1024/dall-e-3": {"litellm_provider": "aiml", "output_cost_per_image": 1},
}


@pytest.mark.parametrize(
    ("provider", "model", "dollars"),
    [
        ("azure", "dall-e-3", {"hd 1024x1792": Decimal("7.19343E-8")}),
        (
            "bedrock",
            "amazon.nova-canvas-v1:0",
            {"1024x1024 up to 50 steps": Decimal("0.05"), "": Decimal("0.07")},
        ),
        # that of another provider is not taken, and the table's stays
        ("openai", "dall-e-2", {"256x256": Decimal("0.016"), "512x512": Decimal("0.018"),
                                "1024x1024": Decimal("0.02")}),
        # by tokens
        ("openai", "gpt-image-1", {}),
    ],
)  # fmt: skip
def test_a_price_file_states_prices_of_pictures_by_quality_size_and_steps(
    provider: str, model: str, dollars: dict[str, Decimal]
) -> None:
    """In the names of its entries; they replace the table's."""
    price = price_table([deployment(provider, model)], {}, NOVEMBER, PICTURE_FILE)["d"]
    assert pictures(price) == dollars


def test_a_price_of_zero_by_the_pixel_is_none() -> None:
    """Nobody draws for free: the file does not know it."""
    assert not price_table([deployment("azure", "dall-e-2")], {}, NOVEMBER, PICTURE_FILE)


def test_the_file_s_price_of_a_picture_replaces_the_table_s(tmp_path: Path) -> None:
    """All of them, whatever quality and size they are for."""
    file = tmp_path / "config.yaml"
    file.write_text(
        "model_list: [{model_name: draws, litellm_params:"
        " {model: openai/dall-e-3, output_cost_per_image: 0.03}}]\n"
        "general_settings: {master_key: sk-1234}\n"
    )
    found = load(file)
    price = price_table(found.deployments, found.prices, NOVEMBER)["draws"]
    assert (pictures(price), price.source, price.free) == ({"": Decimal("0.03")}, "file", False)
    assert not found.notices


def test_a_price_of_tokens_of_output_goes_before_one_of_pictures() -> None:
    """Models that have both report tokens."""
    costs = {"input_cost_per_token": 3e-07, "output_cost_per_image_token": 3e-05}
    own = OwnPrice(costs_of(costs), pictures=picture_costs_of({"output_cost_per_image": 0.039}))
    price = price_table([deployment("gemini", "gemini-2.5-flash-image")], {"d": own}, NOVEMBER)["d"]
    assert (price.pictures, price.by_picture) == ((), False)


def test_zeros_for_tokens_beside_a_picture_s_price_leave_that_one() -> None:
    """As public files have it for models that no token pays."""
    entry = {"output_cost_per_image": 0.08, "input_cost_per_token": 0, "output_cost_per_token": 0}
    document = {"gemini/lyria-3-pro-preview": entry}
    price = price_table([deployment("gemini", "lyria-3-pro-preview")], {}, NOVEMBER, document)["d"]
    assert (pictures(price), price.free) == ({"": Decimal("0.08")}, False)
    film = {"gemini/veo-9": {"output_cost_per_second": 0.4, "output_cost_per_token": 0}}
    assert not price_table([deployment("gemini", "veo-9")], {}, NOVEMBER, film)


def known(price: Price) -> KnownModel:
    return KnownModel(deployment("openai", "dall-e-3"), price, "image_generation", None)


def test_a_model_that_is_priced_by_the_picture_is_told_so() -> None:
    """In the API and in the console; its tokens are not said to be free."""
    price = price_table([deployment("openai", "dall-e-3")], {}, NOVEMBER)["d"]
    told = info(known(price), with_address=False).model_info
    assert (told["input_cost_per_token"], told["output_cost_per_token"]) == (None, None)
    assert told["output_cost_per_image"] == 0.12
    assert group([known(price)]).output_cost_per_token is None
    assert printed_pictures(price)[0] == ("picture standard 1024x1024", "$0.04")
    by_pixel = Price(
        "test", price.tiers, pictures=(PictureRate(PictureKind(by_pixel=True), 10**7),)
    )
    assert info(known(by_pixel), with_address=False).model_info["output_cost_per_image"] is None
    assert printed_pictures(by_pixel) == [("M pixels", "$0.01")]


async def test_what_a_usage_costs_is_not_known_of_such_a_model() -> None:
    """It tells no pictures."""
    price = Price("test", (Rates(0, 0, 0, 0, 0),), pictures=(PictureRate(PictureKind(), 1),))
    reports = Reports.__new__(Reports)
    reports.catalog = Catalog.of((deployment("openai", "dall-e-3"),), {"d": price})
    with pytest.raises(BadRequest, match="is priced by the picture"):
        reports.cost("public", Usage(10))


def test_prices_of_pictures_are_compared_with_those_of_a_price_file() -> None:
    """Each with that of the same quality and size."""
    models = [deployment("azure", "dall-e-3"), deployment("bedrock", "amazon.nova-canvas-v1:0")]
    file = PriceFile.of(PICTURE_FILE)
    rate = PictureRate(PictureKind("", "1024x1024", 0, 50), 6 * 10**13)
    ours = Price("test", (Rates(0, 0, 0, 0, 0),), pictures=(rate,))
    found = list(differences(models[1:], {"d": ours}, {}, file))
    assert [(each.kind, each.ours, each.theirs) for each in found] == [
        ("image", None, Decimal("0.07")),
        ("image 1024x1024 up to 50 steps", Decimal("0.06"), Decimal("0.05")),
    ]
    same = price_table(models[:1], {}, NOVEMBER, PICTURE_FILE)
    assert not list(differences(models[:1], same, {}, file))
