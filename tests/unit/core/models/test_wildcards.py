"""Public names with `*`: which entry serves a name, what its provider is asked for, and what lists
show of it.
"""

from __future__ import annotations

import pytest

from tollgate.core.callers.access import AllowedModels
from tollgate.core.models.deployment import Deployment
from tollgate.core.models.wildcards import LONGEST_NAME
from tollgate.core.money.pricing import Price, Rates
from tollgate.core.requests.catalog import Alias, Catalog
from tollgate.core.requests.endpoints import Wire

KNOWN = ("gpt-4o", "gpt-4.1-nano")
PRICE = Price("table", (Rates(1, 2, 1, 1, 1),))


def deployment(name: str, model: str, provider: str = "openai", **options: object) -> Deployment:
    return Deployment(name, name, provider, model, "http://h/v1", **options)  # type: ignore[arg-type]


def find_price(_: Deployment, model: str) -> Price | None:
    return PRICE if model in KNOWN else None


CATALOG = Catalog.of(
    (
        deployment("eu-*", "*"),
        deployment("eu-research-*", "*", access_groups=("labs",)),
        deployment("eu-gpt-4o-mini", "the-mini-that-we-host"),
        deployment("*-fixed", "fallback-model"),
        deployment("anthropic/*", "*", "anthropic"),
        deployment("us/*/*", "*:*"),
    ),
    {"*-fixed": PRICE},
    find_price,
    lambda each: KNOWN if each.provider == "openai" else (),
    {"far": Alias("eu-gpt-4o"), "hidden": Alias("eu-gpt-4o-mini", hidden=True)},
)


def served(name: str, wire: Wire | None = None) -> tuple[str, str] | None:
    """The entry that serves a name, and the model that its provider is asked for."""
    model = CATALOG.model(name)
    chosen = None if model is None else CATALOG.choose(model.name, wire, draw=0)
    return None if chosen is None else (chosen.id, chosen.model)


@pytest.mark.parametrize(
    ("name", "entry", "model"),
    [
        ("eu-gpt-4o", "eu-*", "gpt-4o"),
        ("eu-gpt-4o-mini", "eu-gpt-4o-mini", "the-mini-that-we-host"),
        ("eu-research-o3", "eu-research-*", "o3"),
        ("anything-at-all-fixed", "*-fixed", "fallback-model"),
        ("anthropic/claude-haiku-4-5", "anthropic/*", "claude-haiku-4-5"),
        ("eu-a/b/c", "eu-*", "a/b/c"),
        ("us/a/b", "us/*/*", "a:b"),
        ("far", "eu-*", "gpt-4o"),
    ],
)
def test_an_exact_name_beats_a_wildcard_and_a_longer_one_a_shorter(
    name: str, entry: str, model: str
) -> None:
    """The rest of the name is what the provider is asked for."""
    assert served(name) == (entry, model)


@pytest.mark.parametrize(
    "name",
    ["mars-gpt-4o", "eu-*", "anthropic/*", "", "eu-" + "a" * LONGEST_NAME, "eu-a\nb", "EU-a"],
)
def test_what_fits_no_wildcard_is_no_model(name: str) -> None:
    """A name that is too long, or that is no text, too; and a wildcard's own name is nobody's."""
    assert served(name) is None


def test_a_model_of_a_wildcard_is_served_on_its_providers_paths_alone() -> None:
    """As any other."""
    assert served("anthropic/claude", Wire.OPENAI) is None
    assert served("anthropic/claude", Wire.ANTHROPIC) == ("anthropic/*", "claude")


def test_limits_and_lists_are_by_the_name_that_was_asked_for() -> None:
    """Of an alias by the name that it stands for; a key may name either."""
    model, far = CATALOG.model("eu-research-o3"), CATALOG.model("far")
    assert model is not None
    assert far is not None
    assert (model.name, far.name) == ("eu-research-o3", "eu-gpt-4o")
    for entry, allowed in (
        ("labs", True),
        ("eu-research-*", True),
        ("*", True),
        ("eu-research-o4", False),
        ("anthropic/*", False),
    ):
        assert (AllowedModels(key=(entry,)).refused_by(model) is None) == allowed, entry
    for entry, allowed in (("far", True), ("eu-gpt-4o", True), ("eu-gpt-4.1", False)):
        assert (AllowedModels(key=(entry,)).refused_by(far) is None) == allowed, entry


def test_a_model_has_its_own_price() -> None:
    """A wildcard whose model has no star has one for all; what nobody knows has none."""
    assert CATALOG.price("eu-*", "eu-gpt-4o") is PRICE
    assert CATALOG.price("eu-*", "eu-nobodys") is None
    assert CATALOG.price("*-fixed", "any-fixed") is PRICE
    assert CATALOG.price("anthropic/*", "anthropic/claude") is None
    assert not CATALOG.every_call_costs(free_unpriced=False)


def test_lists_show_what_a_wildcard_is_known_to_serve() -> None:
    """Names that reach it, so that each can be called; else the wildcard.

    Hidden aliases are not shown.
    """
    shown = [name for name, _ in CATALOG.listed()]
    assert shown == [
        "eu-gpt-4o", "eu-gpt-4.1-nano",
        "eu-research-gpt-4o", "eu-research-gpt-4.1-nano",
        "eu-gpt-4o-mini", "*-fixed", "anthropic/*", "us/*/*", "far",
    ]  # fmt: skip


def test_an_alias_wins_over_a_model_of_its_name() -> None:
    """As in LiteLLM."""
    catalog = Catalog.of(
        (deployment("a", "a"), deployment("b", "b")), {}, aliases={"a": Alias("b")}
    )
    model = catalog.model("a")
    assert model is not None
    assert model.name == "b"
    assert [name for name, _ in catalog.listed()] == ["a", "b"]


def test_several_deployments_of_a_wildcard_share_its_calls() -> None:
    """By their weights."""
    several = (
        deployment("x/*", "*"),
        Deployment("second", "x/*", "openai", "*", "http://other/v1"),
    )
    catalog = Catalog.of(several, {})
    chosen = {
        each.id for draw in range(2) if (each := catalog.choose("x/m", None, draw)) is not None
    }
    assert chosen == {"x/*", "second"}
    assert [(each.id, each.model_name, each.model) for each in catalog.deployments("x/m")] == [
        ("x/*", "x/m", "m"),
        ("second", "x/m", "m"),
    ]
