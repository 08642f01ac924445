"""Decide which models a caller may use, from lists of names, access groups and wildcards.

Organization, key, team, member, user and customer may each have a list; all of them must allow the
model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from msgspec import Struct

# Special entries of LiteLLM's lists (its documentation: "models" of /key/generate).
ALL_PROXY_MODELS = "all-proxy-models"
ALL_TEAM_MODELS = "all-team-models"
NO_DEFAULT_MODELS = "no-default-models"
"""Matches no model: a list with only this entry allows nothing, while an empty list allows all."""


@dataclass(frozen=True, slots=True)
class Model:
    """A public model name and the access groups of its deployments."""

    name: str
    groups: frozenset[str] = frozenset()


class AllowedModels(Struct, frozen=True):
    """The lists that apply to a caller; an empty list allows every model."""

    key: tuple[str, ...] = ()
    team: tuple[str, ...] = ()
    user: tuple[str, ...] = ()
    member: tuple[str, ...] = ()
    customer: tuple[str, ...] = ()
    organization: tuple[str, ...] = ()
    tags: tuple[tuple[str, ...], ...] = ()

    def refused_by(self, model: Model) -> str | None:
        """Return whose list refuses the model: `key`, `team`, `member`, `user`, `organization`,
        `tag` or `customer`.

        None means that all allow it.
        """
        team = self.team
        if self.key and not _allows(self.key, model, team):
            return "key"
        if team and not _allows(team, model, team):
            return "team"
        if self.member and not _allows(self.member, model, team):
            return "member"
        if self.user and not _allows(self.user, model, team):
            return "user"
        if self.organization and not _allows(self.organization, model, team):
            return "organization"
        if not all(_allows(each, model, team) for each in self.tags):
            return "tag"
        if self.customer and not _allows(self.customer, model, team):
            return "customer"
        return None


def covers(entry: str, model: str) -> bool:
    """Whether a wildcard stands for a model; one without `*` stands for none."""
    return "*" in entry and _pattern(entry).fullmatch(model) is not None


def _allows(entries: tuple[str, ...], model: Model, team: tuple[str, ...]) -> bool:
    # The exact name is the most common entry and the cheapest to find.
    return (
        not entries
        or model.name in entries
        or any(_matches(entry, model, team) for entry in entries)
    )


def _matches(entry: str, model: Model, team: tuple[str, ...]) -> bool:
    if entry == model.name or entry == ALL_PROXY_MODELS or entry in model.groups:
        return True
    if entry == ALL_TEAM_MODELS:
        # In the team's own list this entry has no meaning.
        rest = tuple(each for each in team if each != ALL_TEAM_MODELS)
        return _allows(rest, model, ())
    return covers(entry, model.name)


# Administrators write these entries, but there may be many; the cache bounds memory.
@lru_cache(maxsize=4096)
def _pattern(entry: str) -> re.Pattern[str]:
    """Return the pattern of a wildcard entry: `*` matches any run, including slashes.

    No other character is special.
    """
    return re.compile(".*".join(re.escape(part) for part in entry.split("*")), re.DOTALL)
