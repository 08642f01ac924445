"""Which models somebody may use: lists of names, access groups and wildcards, of a key, its team
and its user.

All must allow it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from msgspec import Struct

# LiteLLM's special entries (its documentation: "models" of /key/generate).
ALL_PROXY_MODELS = "all-proxy-models"
ALL_TEAM_MODELS = "all-team-models"
NO_DEFAULT_MODELS = "no-default-models"
"""Matches nothing: a list with only this entry allows nothing, where an empty list would allow
everything.
"""


@dataclass(frozen=True, slots=True)
class Model:
    """A public model name and the access groups that its deployments are in."""

    name: str
    groups: frozenset[str] = frozenset()


class AllowedModels(Struct, frozen=True):
    """The lists that apply to a caller. An empty list allows every model."""

    key: tuple[str, ...] = ()
    team: tuple[str, ...] = ()
    user: tuple[str, ...] = ()
    member: tuple[str, ...] = ()
    customer: tuple[str, ...] = ()

    def refused_by(self, model: Model) -> str | None:
        """Whose list does not allow the model: `key`, `team`, `member`, `user` or `customer`.

        None: all allow it.
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
        if self.customer and not _allows(self.customer, model, team):
            return "customer"
        return None


def _allows(entries: tuple[str, ...], model: Model, team: tuple[str, ...]) -> bool:
    # The name itself is the commonest entry, and the cheapest to look for.
    return (
        not entries
        or model.name in entries
        or any(_matches(entry, model, team) for entry in entries)
    )


def _matches(entry: str, model: Model, team: tuple[str, ...]) -> bool:
    if entry == model.name or entry == ALL_PROXY_MODELS or entry in model.groups:
        return True
    if entry == ALL_TEAM_MODELS:
        # The team's own list may hold this entry too; there it says nothing.
        rest = tuple(each for each in team if each != ALL_TEAM_MODELS)
        return _allows(rest, model, ())
    return "*" in entry and _pattern(entry).fullmatch(model.name) is not None


# Entries come from administrators, but there may be many; the bound keeps memory bounded.
@lru_cache(maxsize=4096)
def _pattern(entry: str) -> re.Pattern[str]:
    """A wildcard entry: `*` stands for any run of characters, slashes too.

    Nothing else is special.
    """
    return re.compile(".*".join(re.escape(part) for part in entry.split("*")), re.DOTALL)
