"""How metrics call the scopes that calls are charged to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Any, Final, Protocol

from tollgate.core.callers.rules import Caller
from tollgate.core.callers.scope_names import scope_name
from tollgate.core.entities import Customer, Key, Organization, Team, User
from tollgate.core.limits.accounts import Scope, ScopeKind
from tollgate.ports import Registry

ScopeId = tuple[str, str]
"""A kind of scope, and an id of that kind."""

_ENTITIES: Final[Mapping[str, type[Any]]] = {
    ScopeKind.KEY: Key,
    ScopeKind.TEAM: Team,
    ScopeKind.USER: User,
    ScopeKind.CUSTOMER: Customer,
    ScopeKind.ORGANIZATION: Organization,
}
# A changed alias shows after this time.
_KNOWN_FOR_S = 60.0
_MOST_KNOWN = 10_000


class LabelBook(Protocol):
    """The names that may be labels of metrics: of each kind of scope so many, the same ones in all
    processes of a gateway.
    """

    def claim(self, kind: str, name: str) -> bool:
        """Return whether a name has a label of its own, and give it one while there are any."""
        ...


class ScopeNames:
    """Names of scopes: the alias of an entity that has one, else its id."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[ScopeId, str] = {}
        self._since_s = monotonic()

    async def find(self, scopes: Iterable[ScopeId]) -> Mapping[ScopeId, str]:
        """Return the names of at least these scopes. Raises StoreUnavailable."""
        if monotonic() - self._since_s > _KNOWN_FOR_S or len(self._known) > _MOST_KNOWN:
            self._known, self._since_s = {}, monotonic()
        unknown: defaultdict[str, list[str]] = defaultdict(list)
        for kind, identity in scopes:
            if (kind, identity) not in self._known:
                unknown[kind].append(identity)
        for kind, identities in unknown.items():
            names = await self._look_up(kind, identities)
            self._known.update(
                {(kind, each): name for each, name in zip(identities, names, strict=True)}
            )
        return self._known

    async def _look_up(self, kind: str, identities: list[str]) -> list[str]:
        entity = _ENTITIES.get(kind)
        if entity is None:
            return identities
        stored: list[Any] = await (
            self._registry.keys_of_ids(identities)
            if entity is Key
            else self._registry.get(entity, identities)
        )
        return [
            identity
            if found is None
            else scope_name(Caller(**{kind: found.entity}), Scope(kind, identity))
            for identity, found in zip(identities, stored, strict=True)
        ]
