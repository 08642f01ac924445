"""A reservation as text."""

from __future__ import annotations

import json

import msgspec
import pytest
from tests.make import KEY, TEAM, account_of, reservation

from tollgate.core.calls import reservation_text as reservations
from tollgate.core.calls.reservation import Reservation
from tollgate.core.limits.accounts import Account, Period, Scope, ScopeKind

NARROWED = Scope(ScopeKind.KEY, "k1", "gpt-4o")
ACCOUNTS = (
    account_of(TEAM, budget_nanousd=5, period=Period(1, 2, 3)),
    account_of(NARROWED, tpm=0),
    account_of(KEY, rpm=1, parallel=2),
    Account(Scope(ScopeKind.PROXY, "proxy")),
)


@pytest.mark.parametrize("held", [reservation("r1", *ACCOUNTS), reservation("r2")])
def test_what_is_read_is_what_was_written(held: Reservation) -> None:
    assert reservations.decode(reservations.encode(held)) == held


def test_what_an_account_does_not_limit_takes_no_room() -> None:
    """The text travels with the request and is kept by the store."""
    accounts = json.loads(reservations.encode(reservation("r1", *ACCOUNTS)))[2]
    assert accounts == [
        [["team", TEAM.id], [["usd", 5]], [1, 2, 3]],
        [["key", "k1", "gpt-4o"], [["tokens", 0, 60]]],
        [["key", KEY.id], [["requests", 1, 60], ["calls", 2]]],
        [["proxy", "proxy"]],
    ]


def test_accounts_that_were_written_in_full_are_read() -> None:
    """By a worker of the version before."""
    held = reservation("r1", *ACCOUNTS)
    before = msgspec.json.encode(held)
    assert reservations.decode(before) == held
