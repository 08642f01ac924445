"""Which price a picture has, by what its request asks for."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.core.calls.asked_pictures import AskedPictures
from tollgate.core.money.costs import is_served_price, name_instead_of_zero, picture_costs_of
from tollgate.core.money.picture_rates import (
    PictureKind,
    PictureRate,
    is_size_needed,
    parse_picture_kind,
    picture_femtousd,
    split_picture_name,
)


def rates(**dollars: int) -> list[PictureRate]:
    """Rates by LiteLLM's selectors, with `_` for a slash and for hyphens."""
    found = []
    for name, femtousd in dollars.items():
        kind = parse_picture_kind([each.replace("_", "-") for each in name.split("__") if each])
        assert kind is not None
        found.append(PictureRate(kind, femtousd))
    return found


DALL_E_3 = rates(
    standard__1024_x_1024=40, standard__1024_x_1792=80, hd__1024_x_1024=81, hd__1024_x_1792=120
)
NOVA = rates(standard=40, premium=60, standard__above_1024_x_1024=61, premium__above_1024_x_1024=80)
STABLE = rates(**{"50_steps": 40, "max_steps": 80})
FLAT_AND_LOW = [*rates(__=60), *rates(low__1024_x_1024=40)]


@pytest.mark.parametrize(
    ("several", "asked", "femtousd"),
    [
        (DALL_E_3, AskedPictures(1, "standard", "1024x1024"), 40),
        (DALL_E_3, AskedPictures(1, "hd", "1024x1024"), 81),
        (DALL_E_3, AskedPictures(1, "hd", "1024x1792"), 120),
        # what is not known may be the dearest that fits the rest
        (DALL_E_3, AskedPictures(1, "standard"), 80),
        (DALL_E_3, AskedPictures(1, "", "1024x1024"), 81),
        (DALL_E_3, AskedPictures(1), 120),
        # no price is for it
        (DALL_E_3, AskedPictures(1, "ultra", "1024x1024"), 120),
        (DALL_E_3, AskedPictures(1, "standard", "4096x4096"), 120),
        (NOVA, AskedPictures(1, "standard", "1024x1024"), 40),
        (NOVA, AskedPictures(1, "standard", "1024x1025"), 61),
        (NOVA, AskedPictures(1, "premium", "2048x2048"), 80),
        (NOVA, AskedPictures(1, "standard"), 61),
        (STABLE, AskedPictures(1, steps=50), 40),
        (STABLE, AskedPictures(1, steps=51), 80),
        (STABLE, AskedPictures(1), 80),
        # a price for any picture is that of those that have none of their own
        (FLAT_AND_LOW, AskedPictures(1, "low", "1024x1024"), 40),
        (FLAT_AND_LOW, AskedPictures(1, "high", "1024x1024"), 60),
        (FLAT_AND_LOW, AskedPictures(1, "", "1024x1024"), 60),
    ],
)
def test_a_picture_costs_what_the_price_of_its_quality_size_and_steps_is(
    several: list[PictureRate], asked: AskedPictures, femtousd: int
) -> None:
    """The price that depends on most of it; the dearest that may apply where that is not known."""
    assert picture_femtousd(several, asked) == femtousd


def test_a_price_by_the_pixel_is_times_the_pixels() -> None:
    """Of the size that is asked, or that the price is for."""
    by_pixel = [PictureRate(PictureKind(by_pixel=True), 3)]
    assert picture_femtousd(by_pixel, AskedPictures(1, "", "512x1024")) == 3 * 512 * 1024
    assert is_size_needed(by_pixel, AskedPictures(1))
    assert is_size_needed(by_pixel, AskedPictures(1, "", "2k"))
    assert not is_size_needed(by_pixel, AskedPictures(1, "", "512x1024"))
    sized = [PictureRate(PictureKind("hd", "1024x1792", by_pixel=True), 7)]
    assert not is_size_needed(sized, AskedPictures(1))
    assert picture_femtousd(sized, AskedPictures(1)) == 7 * 1024 * 1792


WORDS = st.sampled_from(["", "standard", "hd", "premium"])
SIZES = st.sampled_from(["", "512x512", "1024x1024", "2048x2048", "2k"])
KINDS = st.builds(
    PictureKind,
    WORDS,
    SIZES,
    st.sampled_from([0, 512 * 512, 1024 * 1024]),
    st.sampled_from([0, 30, 50]),
)
RATES = st.lists(st.builds(PictureRate, KINDS, st.integers(1, 10**15)), min_size=1, max_size=8)


@given(RATES, WORDS, SIZES, st.integers(1, 100))
def test_asking_for_less_is_never_held_cheaper(
    several: list[PictureRate], quality: str, size: str, steps: int
) -> None:
    """Whatever a request leaves out, its pictures are held as dearly as with it."""
    told = picture_femtousd(several, AskedPictures(1, quality, size, steps))
    dearest = max(each.femtousd for each in several)
    for less in (
        AskedPictures(1, "", size, steps),
        AskedPictures(1, quality, "", steps),
        AskedPictures(1, quality, size),
        AskedPictures(1),
    ):
        fits = any(each.kind.applies(AskedPictures(1, quality, size, steps)) for each in several)
        if fits and quality and size:
            assert told <= picture_femtousd(several, less) <= dearest


@pytest.mark.parametrize(
    ("name", "provider", "model", "kind"),
    [
        ("hd/1024-x-1792/dall-e-3", "openai", "dall-e-3", PictureKind("hd", "1024x1792")),
        ("256-x-256/dall-e-2", "openai", "dall-e-2", PictureKind("", "256x256")),
        (
            "azure/hd/1024-x-1792/dall-e-3",
            "azure",
            "azure/dall-e-3",
            PictureKind("hd", "1024x1792"),
        ),
        ("azure/1024-x-1024/dall-e-3", "azure", "azure/dall-e-3", PictureKind("", "1024x1024")),
        (
            "1024-x-1024/50-steps/bedrock/amazon.nova-canvas-v1:0",
            "bedrock",
            "bedrock/amazon.nova-canvas-v1:0",
            PictureKind("", "1024x1024", 0, 50),
        ),
        (
            "512-x-512/max-steps/stability.stable-diffusion-xl-v0",
            "bedrock",
            "stability.stable-diffusion-xl-v0",
            PictureKind("", "512x512"),
        ),
        (
            "max-x-max/50-steps/stability.stable-diffusion-xl-v0",
            "bedrock",
            "stability.stable-diffusion-xl-v0",
            PictureKind("", "", 0, 50),
        ),
    ],
)
def test_names_of_price_files_select_pictures(
    name: str, provider: str, model: str, kind: PictureKind
) -> None:
    """Quality before the size, steps behind it, the provider in front or not."""
    assert split_picture_name(name, provider) == (model, kind)


@pytest.mark.parametrize("name", ["gpt-4o", "aiml/dall-e-3", "a/b/1024-x-1024/m", "1024-x-1024"])
def test_other_names_select_none(name: str) -> None:
    """Models, and what nobody would write."""
    assert split_picture_name(name, "openai") is None


@pytest.mark.parametrize(
    ("fields", "costs"),
    [
        ({"output_cost_per_image": 0.04}, {PictureKind(): "0.04"}),
        ({"input_cost_per_image": 0.02, "mode": "image_generation"}, {PictureKind(): "0.02"}),
        ({"input_cost_per_image": 0.02}, {PictureKind(): "0.02"}),
        ({"input_cost_per_image": 0.0, "output_cost_per_image": 0.008}, {PictureKind(): "0.008"}),
        ({"input_cost_per_image": 0.001, "output_cost_per_image": 0.1}, {PictureKind(): "0.1"}),
        # of pictures in a prompt
        ({"input_cost_per_image": 6e-5, "mode": "embedding"}, {}),
        ({"input_cost_per_image": 6e-5, "input_cost_per_token": 1e-7}, {}),
        (
            {"input_cost_per_pixel": 1.5e-7, "output_cost_per_pixel": 0.0},
            {PictureKind(by_pixel=True): "1.5E-7"},
        ),
        ({"output_cost_per_pixel": 1.5e-7}, {PictureKind(by_pixel=True): "1.5E-7"}),
        ({"input_cost_per_pixel": 0.0, "output_cost_per_token": 0.0}, {}),
        ({"input_cost_per_image": 0.167, "input_cost_per_pixel": 1.6e-7}, {PictureKind(): "0.167"}),
        (
            {
                "output_cost_per_image": 0.008,
                "output_cost_per_image_premium_image": 0.01,
                "output_cost_per_image_above_512_and_512_pixels": 0.011,
                "output_cost_per_image_above_512_and_512_pixels_and_premium_image": 0.012,
            },
            {
                PictureKind(): "0.008",
                PictureKind("premium"): "0.01",
                PictureKind("", "", 512 * 512): "0.011",
                PictureKind("premium", "", 512 * 512): "0.012",
            },
        ),
        (
            {"output_cost_per_image": 0.15, "output_cost_per_image_4K": 0.3},
            {PictureKind(): "0.15", PictureKind("", "4k"): "0.3"},
        ),
        ({"output_cost_per_image": None, "output_cost_per_image_token": 3e-5}, {}),
        ({"output_cost_per_image": 0}, {PictureKind(): "0"}),
    ],
)
def test_a_files_prices_of_pictures_are_those_that_litellm_charges(
    fields: dict[str, object], costs: dict[PictureKind, str]
) -> None:
    """Under all of its names; the price of an input is of the picture where a model draws."""
    assert picture_costs_of(fields) == {kind: Decimal(each) for kind, each in costs.items()}


@pytest.mark.parametrize("value", [-1, "a", True, float("inf"), 10**9])
def test_a_price_of_a_picture_is_dollars(value: object) -> None:
    """And nothing else."""
    with pytest.raises(ValueError, match="output_cost_per_image: must be dollars"):
        picture_costs_of({"output_cost_per_image": value})


def test_prices_of_prompts_pictures_are_not_served() -> None:
    """Of those that draw they are."""
    of_prompts = {"input_cost_per_image": 6e-5, "input_cost_per_token": 1e-7}
    assert not is_served_price("input_cost_per_image", of_prompts)
    assert is_served_price("input_cost_per_image", {"input_cost_per_image": 0.02})
    assert is_served_price("output_cost_per_image", {"output_cost_per_image": 0.02})


def test_zeros_beside_a_price_that_is_not_served_are_none() -> None:
    """Beside a picture's they are: that one is served."""
    zeros: dict[str, object] = {"input_cost_per_token": 0, "output_cost_per_token": 0}
    film = zeros | {"output_cost_per_second": 0.1}
    assert name_instead_of_zero(film) == "output_cost_per_second"
    assert name_instead_of_zero(zeros | {"output_cost_per_image": 0.04}) is None
    assert name_instead_of_zero(zeros) is None
