"""Decide what runs in which slot of a cluster.

A call's own place is that of its caller's organization: its reservation and its ledger record are
there, and what is written there is what counts. Scopes that are counted elsewhere (the proxy,
users, customers, scopes of another organization) are split by whether they can refuse:

- What is limited is held and settled where all organizations count it, in one run for each place.
- What is not limited is only added up. Each organization keeps its share beside its own scopes, so
  such a call runs one script as on a single server, and whoever reads the spend adds the shares.

A limit that is added later counts from then on.
"""

from __future__ import annotations

from collections import defaultdict

from msgspec import Struct

from tollgate.adapters.valkey import keys
from tollgate.adapters.valkey.counters.keyed import Keyed
from tollgate.core.limits.accounts import Account, Accounts, Scope, ScopeKind, place_of
from tollgate.core.limits.limit_parts import number_of


class PlacePart(Struct, frozen=True, eq=False):
    """The accounts of a call that one script counts.

    `numbers`: which ones of the call's accounts they are.
    """

    place: str
    keyed: Keyed
    numbers: tuple[int, ...]


def parts_of(organization: str, accounts: Accounts) -> tuple[PlacePart, ...]:
    """Return the parts of an organization's call: always its own first, then those elsewhere."""
    places: defaultdict[str, list[int]] = defaultdict(list, {organization: []})
    for number, account in enumerate(accounts):
        place = place_of(organization, account.scope)
        places[place if account.limited else organization].append(number)
    return tuple(
        _part(organization, place, accounts, tuple(numbers)) for place, numbers in places.items()
    )


def spend_keys(organization: str, scope: Scope, organizations: list[str]) -> list[str]:
    """Return where a scope's spend is: its own key first, then every organization's share.

    A key has none: its calls are its organization's. Of several parts of an organization the first
    has them.
    """
    found = [keys.scope_key(organization, scope)]
    place = place_of(organization, scope)
    if scope.kind == ScopeKind.KEY or (scope.kind == ScopeKind.ORGANIZATION and number_of(place)):
        return found
    found += [keys.share_key(each, scope) for each in organizations if each != place]
    return found


def _part(organization: str, place: str, accounts: Accounts, numbers: tuple[int, ...]) -> PlacePart:
    chosen = tuple(accounts[number] for number in numbers)
    return PlacePart(place, Keyed.of(organization, chosen, _key), numbers)


def _key(organization: str, account: Account) -> str:
    """Return the key that counts an account's scope for an organization's call."""
    if account.limited or place_of(organization, account.scope) == organization:
        return keys.scope_key(organization, account.scope)
    return keys.share_key(organization, account.scope)
