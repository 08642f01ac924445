"""Caches are bounded by the bytes of what they hold."""

from __future__ import annotations

import sys

import pytest

from tollgate.core.limits.accounts import Account, Scope, ScopeKind, accounts_bytes
from tollgate.core.memo import Bounded, Memo


def test_the_oldest_go_when_there_is_no_room() -> None:
    """As many as it takes; what is used stays if it is said to be as new."""
    gone: list[str] = []
    cache: Bounded[str, int] = Bounded(10, lambda key, _: gone.append(key))
    for key, size in (("a", 4), ("b", 4), ("c", 2)):
        cache.put(key, 1, size)
    cache.touch("a")
    cache.put("d", 1, 6)
    assert (gone, [cache.get(each) for each in "abcd"]) == (["b", "c"], [1, None, None, 1])


def test_what_is_dropped_or_replaced_leaves_its_room() -> None:
    """Sizes are those of what is kept now."""
    cache: Bounded[str, str] = Bounded(10)
    for size in (9, 9, 1):
        cache.put("a", str(size), size)
    cache.put("b", "b", 9)
    assert (len(cache), cache.get("a")) == (2, "1")
    assert (cache.drop("b"), cache.drop("b")) == ("b", None)
    cache.put("c", "c", 9)
    assert (len(cache), cache.get("a")) == (2, "1")
    cache.clear()
    cache.put("d", "d", 10)
    cache.put("e", "e", 0)
    assert len(cache) == 2


def test_the_last_stays_however_large_it_is() -> None:
    """Whoever has just put it in needs it."""
    cache: Bounded[str, int] = Bounded(10)
    cache.put("a", 1, 5)
    cache.put("b", 2, 1_000)
    assert (cache.get("a"), cache.get("b")) == (None, 2)


def accounts(character: str, length: int) -> tuple[Account, ...]:
    return tuple(
        Account(Scope(ScopeKind.CUSTOMER, f"{number}".ljust(length, character)))
        for number in range(8)
    )


@pytest.mark.parametrize("character", ["x", "é", "数", "\U0001f600"])
@pytest.mark.parametrize("length", [3, 300])
def test_what_accounts_take_is_not_underrated(character: str, length: int) -> None:
    """By more than half, in any script."""
    found = accounts(character, length)
    parts = [part for each in found for part in (each, each.scope, each.scope.id)]
    taken = sys.getsizeof(found) + sum(map(sys.getsizeof, parts))
    assert taken <= accounts_bytes(found) <= 20 * taken


def test_what_is_made_of_many_callers_is_bounded() -> None:
    """Those that came last are found, and the first are made again."""
    made: list[tuple[Account, ...]] = []

    def make(source: tuple[Account, ...]) -> int:
        made.append(source)
        return len(made)

    memo = Memo(make, accounts_bytes, 100_000)
    callers = [accounts("x", 300) for _ in range(100)]
    for _ in range(2):
        memo.get(callers[0])
    assert len(made) == 1
    for each in callers:
        memo.get(each)
    assert (memo.get(callers[-1]), len(made)) == (100, 100)
    memo.get(callers[0])
    assert len(made) == 101
