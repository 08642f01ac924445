"""Tell who asks by what Envoy vouches for, instead of a key of the gateway or beside one."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, unquote

from msgspec import Struct

from tollgate.core.callers.verified import FAULT_HEADER, Network, VerifiedReader, VerifiedSource
from tollgate.core.entities import Key
from tollgate.core.limits.accounts import DEFAULT_ORGANIZATION

Sources = tuple[VerifiedSource, ...]

_PREFIX = "identity:"


class IdentityRules(Struct, frozen=True):
    """Which verified values say who asks; of each the first source that tells one counts.

    `key` is a key's alias. `admit_unknown`: users, teams and organizations that nobody registered
    may call, within the default limits. `trusted_proxies`: whose headers are believed.
    """

    key: Sources = ()
    user: Sources = ()
    team: Sources = ()
    organization: Sources = ()
    customer: Sources = ()
    admit_unknown: bool = False
    trusted_proxies: tuple[Network, ...] = ()


class VerifiedIdentity(Struct, frozen=True):
    """Who asks, as far as Envoy vouches for it. `fault`: why a token was not accepted."""

    key_alias: str | None = None
    user_id: str | None = None
    team_id: str | None = None
    organization_id: str | None = None
    customer_id: str | None = None
    fault: str = ""

    @property
    def names_caller(self) -> bool:
        """Whether it says who pays, so that no key is needed."""
        return not (
            self.key_alias is None
            and self.user_id is None
            and self.team_id is None
            and self.organization_id is None
        )


NOBODY = VerifiedIdentity()


class Identities:
    """Identities of requests by some rules."""

    def __init__(self, rules: IdentityRules) -> None:
        self.rules = rules
        self._reader = VerifiedReader(rules.trusted_proxies)

    def find(self, headers: Mapping[str, str]) -> VerifiedIdentity:
        """Return who asks. Raises BadRequest for a value that cannot be an id."""
        rules = self.rules
        return VerifiedIdentity(
            self._first(rules.key, headers),
            self._first(rules.user, headers),
            self._first(rules.team, headers),
            self._first(rules.organization, headers),
            self._first(rules.customer, headers),
            headers.get(FAULT_HEADER, ""),
        )

    def _first(self, sources: Sources, headers: Mapping[str, str]) -> str | None:
        for source in sources:
            for value in self._reader.find(source, headers, several=False):
                return value
        return None


def derived_key(identity: VerifiedIdentity, organization: str = DEFAULT_ORGANIZATION) -> Key:
    """Return the key that stands for an identity without one: each has its own, which is nowhere
    stored.

    Its id tells identities apart, and no hash looks like it.
    """
    user, team = identity.user_id, identity.team_id
    parts = (user, team, None if team else identity.organization_id)
    called = " in ".join(each for each in (user, team or identity.organization_id) if each)
    return Key(
        _PREFIX + ":".join(quote(each or "", safe="") for each in parts),
        called,
        alias=called,
        user_id=user,
        team_id=team,
        organization=organization,
    )


def find_derived_key(key_id: str) -> Key | None:
    """Return the key of this id that stands for an identity; None: it is no such id."""
    if not key_id.startswith(_PREFIX):
        return None
    parts = key_id.removeprefix(_PREFIX).split(":")
    user, team, organization = (unquote(each) or None for each in parts)
    identity = VerifiedIdentity(user_id=user, team_id=team, organization_id=organization)
    return derived_key(identity)


def is_derived(key: Key) -> bool:
    """Whether a key stands for an identity."""
    return key.hash.startswith(_PREFIX)
