"""Which models a caller may use."""

from __future__ import annotations

import pytest

from tollgate.core.callers.access import AllowedModels, Model

GPT = Model("gpt-4o", frozenset({"beta-models"}))
CLAUDE = Model("anthropic/claude-sonnet-4-5")


def test_empty_lists_allow_everything() -> None:
    """Nobody who names no models is limited to some."""
    assert AllowedModels().refused_by(GPT) is None


@pytest.mark.parametrize(
    "entry", ["gpt-4o", "beta-models", "gpt-*", "*", "g*4*", "all-proxy-models", "all-team-models"]
)
def test_names_groups_wildcards_and_special_entries_allow(entry: str) -> None:
    """Each form of entry that covers a model allows it; a team without a list has all models."""
    assert AllowedModels(key=("other", entry)).refused_by(GPT) is None


@pytest.mark.parametrize(
    "entry",
    ["gpt-4", "GPT-4o", "claude-*", "gpt-4?", "gpt.4o", "no-default-models", "gamma-models", ""],
)
def test_other_entries_do_not_allow(entry: str) -> None:
    """A list that does not cover the model refuses it; only the star is special in a wildcard."""
    assert AllowedModels(key=(entry,)).refused_by(GPT) == "key"


def test_a_wildcard_reaches_over_slashes() -> None:
    """A provider's wildcard covers the names below it."""
    assert AllowedModels(key=("anthropic/*",)).refused_by(CLAUDE) is None


@pytest.mark.parametrize("owner", ["key", "team", "member", "user", "customer"])
def test_every_list_must_allow(owner: str) -> None:
    """One list that does not cover the model is enough, and is named."""
    assert AllowedModels(**{owner: ("gamma",)}).refused_by(GPT) == owner


def test_all_team_models_is_the_list_of_the_team() -> None:
    """A key with all of its team's models may use exactly those."""
    lists = AllowedModels(key=("all-team-models",), team=("gpt-4o",))
    assert [lists.refused_by(each) is None for each in (GPT, CLAUDE)] == [True, False]


def test_a_team_whose_list_names_itself_is_not_circular() -> None:
    """`all-team-models` in the team's own list adds nothing to it."""
    lists = AllowedModels(key=("all-team-models",), team=("all-team-models", "gpt-4o"))
    assert [each.name for each in (GPT, CLAUDE) if lists.refused_by(each) is None] == ["gpt-4o"]
