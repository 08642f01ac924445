"""Limits in parts: the shares of an amount, where each is counted, and the whole of several."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.make import KEY, account_of, requests

from tollgate.core.callers.rules import Caller, Policy, accounts
from tollgate.core.callers.scope_names import account_name
from tollgate.core.entities import Key, LimitSet, Organization
from tollgate.core.limits import limit_parts as parts
from tollgate.core.limits.accounts import MAX_EXACT, Balance, Scope, ScopeKind, Spend
from tollgate.core.limits.known_refusals import find_forbidding

ACME = Scope(ScopeKind.ORGANIZATION, "acme")


@given(st.integers(0, MAX_EXACT), st.integers(1, parts.MOST_PARTS))
def test_shares_add_up_to_the_whole_and_differ_by_one(whole: int, count: int) -> None:
    shares = [parts.amount_in(whole, number, count) for number in range(count)]
    assert sum(shares) == whole
    assert max(shares) - min(shares) <= 1


@given(st.text(max_size=40), st.integers(1, parts.MOST_PARTS))
def test_a_team_or_a_key_is_always_in_the_same_place(identity: str, count: int) -> None:
    place = parts.place_for("acme", count, identity)
    assert place == parts.place_for("acme", count, identity)
    assert parts.organization_in(place) == "acme"
    assert 0 <= parts.number_of(place) < count


def test_teams_and_keys_are_spread_over_all_places() -> None:
    """A thousand over eight places: none has less than half of what is even."""
    found = [parts.place_for("acme", 8, f"team-{number}") for number in range(1000)]
    assert len(set(found)) == 8
    assert min(found.count(each) for each in set(found)) > 1000 / 8 / 2


def acme(place: str, shards: int = 4, rpm: int = 10) -> Caller:
    key = Key("k", "k", organization="acme", home=place)
    organization = Organization("acme", "Acme", limits=requests_of(rpm), shards=shards)
    return Caller(key, organization=organization)


def requests_of(limit: int) -> LimitSet:
    return LimitSet().with_amount("rpm_limit", limit)


@pytest.mark.parametrize(
    ("place", "amount", "home"),
    [
        ("acme", 3, None),
        ("acme/1", 3, None),
        ("acme/2", 2, None),
        ("acme/3", 2, None),
        ("globex", 3, "acme"),
        ("acme/9", 3, "acme"),
    ],
)
def test_a_caller_meets_the_part_of_its_own_place(place: str, amount: int, home: str) -> None:
    """One from elsewhere meets the first."""
    found = accounts(acme(place), Policy(), "gpt-4o", 0, tokens=True, money=True)
    (account,) = [each for each in found if each.scope.kind == ScopeKind.ORGANIZATION]
    (quota,) = account.limits
    assert (quota.amount, quota.whole, account.parts) == (amount, 10, 4)
    assert account.scope.home == home


def test_an_organization_in_one_place_has_whole_limits() -> None:
    found = accounts(acme("acme", shards=1), Policy(), "gpt-4o", 0, tokens=True, money=True)
    (account,) = [each for each in found if each.scope.kind == ScopeKind.ORGANIZATION]
    assert (account.limits[0].amount, account.limits[0].whole, account.parts) == (10, 0, 1)


def test_a_part_is_named_as_one() -> None:
    """Its amount is not that of the whole, so whoever is refused by it is told which it is."""
    names = []
    for place, shards in (("acme/2", 4), ("globex", 4), ("acme", 1)):
        caller = acme(place, shards)
        found = accounts(caller, Policy(), "gpt-4o", 0, tokens=True, money=True)
        names += [account_name(caller, each) for each in found if each.scope.kind == ACME.kind]
    assert names == ["Acme, part 3 of 4", "Acme, part 1 of 4", "Acme"]


def test_other_parts_are_asked_in_turn_from_the_own_one_on() -> None:
    """Accounts that are not split stay; all that are move together."""
    narrowed = requests(6, ACME.narrowed("gpt-4o"))
    own = tuple(
        parts.in_part(each, "acme", 2, 3, "acme/2") for each in (requests(7, ACME), narrowed)
    )
    other = parts.OtherParts()
    found = other.of((*own, requests(9, KEY)), "acme/2")
    assert [[each.scope.home for each in accounts] for accounts in found] == [
        ["acme", "acme", None],
        ["acme/1", "acme/1", None],
    ]
    assert [[each.limits[0].amount for each in accounts] for accounts in found] == [
        [3, 2, 9],
        [2, 2, 9],
    ]


def test_a_part_of_nothing_forbids_nothing() -> None:
    """Three calls at once in four parts: the fourth has none, and the others have."""
    account = account_of(ACME, parallel=3)
    assert find_forbidding((parts.in_part(account, "acme", 3, 4, "acme/3"),)) is None
    none_at_all = parts.in_part(account_of(ACME, parallel=0), "acme", 3, 4, "acme/3")
    assert find_forbidding((none_at_all,)) == (0, 0)
    assert find_forbidding((account_of(ACME, parallel=0),)) == (0, 0)


def test_parts_come_to_a_whole() -> None:
    whole = requests(10, ACME)
    split = parts.in_part(whole, "acme", 1, 4, "acme/1")
    assert parts.whole_of(split).limits == whole.limits
    both = [Balance((3, 1), (1, 0), 50, 5, 7), Balance((4, 0), (2, 0), 20, 0, 9)]
    assert parts.whole_balance(both) == Balance((7, 1), (3, 0), 70, 5, 9)
    spends = [Spend(5, 1, 9, {"a": 9}), Spend(2, 0, 4, {"a": 1, "b": 3})]
    assert parts.whole_spend(spends) == Spend(7, 1, 13, {"a": 10, "b": 3})
