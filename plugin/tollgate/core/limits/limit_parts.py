"""Limits of an organization that are split over several places, so that no single one counts all.

Each part has its own counters and its share of every amount: `amount // parts`, and one more in
the first `amount % parts` of them. The shares add up to the whole, and each part is exact, so the
whole is never exceeded. A call that the part of its own place refuses is tried in the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from zlib import crc32

from msgspec import structs

from tollgate.core.limits.accounts import (
    Account,
    Accounts,
    Balance,
    Quota,
    Scope,
    Spend,
    accounts_bytes,
)
from tollgate.core.memo import Bounded

MOST_PARTS = 64
_MARK = "/"


def place_in(organization: str, number: int) -> str:
    """Return the place of a part of an organization, from 0; the first is that of its name.

    An organization's id holds no slash, so no other has a place of that name.
    """
    return f"{organization}{_MARK}{number}" if number else organization


def number_of(place: str) -> int:
    """Return which part of its organization a place is."""
    number = place.partition(_MARK)[2]
    return int(number) if number.isdecimal() else 0


def organization_in(place: str) -> str:
    """Return the organization that a place is a part of."""
    return place.partition(_MARK)[0]


def place_for(organization: str, parts: int, identity: str) -> str:
    """Return the place of a new team or key: they are spread evenly, by their ids."""
    return place_in(organization, crc32(identity.encode()) % parts)


def amount_in(whole: int, number: int, parts: int) -> int:
    """Return the share of an amount that a part has."""
    share, more = divmod(whole, parts)
    return share + (number < more)


def in_part(account: Account, organization: str, number: int, parts: int, place: str) -> Account:
    """Return an account of an organization with what a part of it may use.

    `place`: of the caller, whose own place needs no name.
    """
    home = place_in(organization, number)
    scope = structs.replace(account.scope, home=None if home == place else home)
    limits = tuple(_share(each, number, parts) for each in account.limits)
    return structs.replace(account, scope=scope, limits=limits, parts=parts)


def _share(quota: Quota, number: int, parts: int) -> Quota:
    whole = quota.whole or quota.amount
    return structs.replace(
        quota,
        amount=amount_in(whole, number, parts),
        whole=whole,
        rollover=None if quota.rollover is None else quota.rollover // parts,
    )


def whole_of(account: Account) -> Account:
    """Return the whole of an account, as it stands in one of its parts."""
    limits = tuple(structs.replace(each, amount=each.whole, whole=0) for each in account.limits)
    return structs.replace(account, scope=structs.replace(account.scope, home=None), limits=limits)


def parts_of_scope(scope: Scope, parts: int) -> tuple[tuple[str, Scope], ...]:
    """Return the place of each part of an organization's scope, and the scope as seen there."""
    bare = structs.replace(scope, home=None)
    return tuple((place_in(scope.id, number), bare) for number in range(parts))


def expanded(accounts: Iterable[Account], place: str) -> tuple[Account, ...]:
    """Return accounts, with each part of those that are split, as seen from a place."""
    return tuple(
        in_part(each, each.scope.id, number, each.parts, place) if each.parts > 1 else each
        for each in accounts
        for number in range(each.parts)
    )


def folded(accounts: Iterable[Account], balances: Iterable[Balance]) -> list[Balance]:
    """Return where accounts stand by the balances of their parts, in the order of `expanded`."""
    left = iter(balances)
    return [whole_balance([next(left) for _ in range(each.parts)]) for each in accounts]


def whole_balance(parts: Sequence[Balance]) -> Balance:
    """Return where the whole of an account stands by its parts."""
    if len(parts) == 1:
        return parts[0]
    return Balance(
        tuple(sum(each) for each in zip(*[part.used for part in parts], strict=True)),
        tuple(sum(each) for each in zip(*[part.held for part in parts], strict=True)),
        sum(each.spent_nanousd for each in parts),
        sum(each.held_nanousd for each in parts),
        max(each.period_start_us for each in parts),
    )


def whole_spend(parts: Sequence[Spend]) -> Spend:
    """Return what the whole of a scope has spent by its parts."""
    by_model: dict[str, int] = {}
    for each in parts:
        for model, nanousd in each.by_model_nanousd.items():
            by_model[model] = by_model.get(model, 0) + nanousd
    return Spend(
        sum([each.used_nanousd for each in parts]),
        sum([each.held_nanousd for each in parts]),
        sum([each.total_nanousd for each in parts]),
        by_model,
    )


class OtherParts:
    """The accounts of a call in the other parts of its organization: the same objects for the same
    call, as long as there is room, since the store is told of a caller once.
    """

    def __init__(self) -> None:
        self._known: Bounded[int, tuple[Accounts, tuple[Accounts, ...]]] = Bounded()

    def of(self, accounts: Accounts, place: str) -> tuple[Accounts, ...]:
        """Return the accounts of a call whose place this is, in each part but its own."""
        known = self._known.get(id(accounts))
        if known is None:
            found = _elsewhere(accounts, place)
            # The accounts are kept with them, so that no others get their identity.
            known = (accounts, found)
            self._known.put(id(accounts), known, (1 + len(found)) * accounts_bytes(accounts))
        return known[1]


def _elsewhere(accounts: Accounts, place: str) -> tuple[Accounts, ...]:
    split = next(each for each in accounts if each.parts > 1)
    own = number_of(split.scope.home or place)
    numbers = [(own + step) % split.parts for step in range(1, split.parts)]
    return tuple(
        tuple(
            in_part(each, each.scope.id, number, each.parts, place) if each.parts > 1 else each
            for each in accounts
        )
        for number in numbers
    )
