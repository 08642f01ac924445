"""Divide limits among callers: which share is a caller's, by the caller's names."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import structs

from tollgate.core.entities import Key, LimitSet, Team
from tollgate.core.limits.accounts import Quota
from tollgate.core.limits.bucket import units
from tollgate.core.limits.limit import counter_of


def divided(
    quotas: tuple[Quota, ...], limits: LimitSet, key: Key | None, team: Team | None
) -> tuple[Quota, ...]:
    """Return the limits in force of a set, and behind each that is divided the caller's share."""
    shares_of = {each.counter: each.shares for each in limits.limits if each.shares is not None}
    if not shares_of:
        return quotas
    names = tuple(names_of(key, team))
    found = []
    for quota in quotas:
        found.append(quota)
        if (shares := shares_of.get(counter_of(quota))) is not None:
            share = shares.of(names, quota.amount, units(quota.seconds))
            found.append(structs.replace(quota, share=share))
    return tuple(found)


def names_of(key: Key | None, team: Team | None) -> Iterator[str]:
    """Yield the names under which a caller may have a share, the most specific one first.

    `key:NAME` is a key by its alias or id. A plain name is a priority or a team: the priority in a
    team's metadata comes before that of a key, as in LiteLLM
    (https://docs.litellm.ai/docs/proxy/dynamic_rate_limit). What a team is called comes before the
    priority in a key's metadata, which whoever makes keys for a team may choose.
    """
    if key is not None:
        yield from (f"key:{each}" for each in (key.alias, key.id) if each)
    if team is not None:
        yield from _priority(team.metadata)
        for name in (team.id, team.alias):
            if name:
                yield from (name, f"team:{name}")
    if key is not None:
        yield from _priority(key.metadata)


def _priority(metadata: str) -> Iterator[str]:
    """Yield the priority that an entity's metadata tells, if it does."""
    found = msgspec.json.decode(metadata)
    if isinstance(found, dict) and isinstance(found.get("priority"), str):
        yield found["priority"]
