"""Refusals that are sure to be repeated: whom one of them meets need not be looked up in the store,
nor their body be read.

Each is proven by the store's own answer, and holds as long as nothing but time can change it:

- A bucket of requests is emptied by time alone: nothing is given back to it, so it is full until
  its earliest refill.
- What is settled of a budget only grows within its period. (Holds are given back; they prove
  nothing.)
- A limit of 0 allows nothing.

Tokens and calls in flight are given back by settlements, so no other limit of theirs proves
anything. A limit that is changed, or a spend that is corrected, comes in other accounts.
"""

from __future__ import annotations

from msgspec import structs

from tollgate.core.limits import bucket
from tollgate.core.limits.accounts import (
    MAX_EXACT,
    Account,
    Accounts,
    Balance,
    LimitKind,
    Standing,
    accounts_bytes,
)
from tollgate.core.memo import Bounded


class KnownRefusals:
    """Refusals by accounts, as long as they are sure to be repeated, and there is room for them."""

    def __init__(self) -> None:
        self._known: Bounded[int, tuple[Accounts, Standing, int, int]] = Bounded()

    def find(self, accounts: Accounts, now_us: int) -> Standing | None:
        """The refusal that the store would give now; None: nobody knows without asking it."""
        found = self._known.get(id(accounts))
        if found is None:
            return None
        _, standing, since_us, until_us = found
        # A clock that was set back says nothing.
        if not since_us <= now_us < until_us:
            self._known.drop(id(accounts))
            return None
        return _aged(accounts, standing, now_us - since_us)

    def note(self, accounts: Accounts, standing: Standing, asked_us: int) -> None:
        """Remember an answer of the store's, if it was such a refusal.

        `asked_us`: the time before it was asked.
        """
        if standing.refused is None:
            return
        until_us = _sure_until_us(accounts[standing.refused], standing, asked_us)
        if until_us <= asked_us:
            return
        self._known.put(
            id(accounts), (accounts, standing, asked_us, until_us), accounts_bytes(accounts)
        )

    def note_part(
        self, part: Accounts, accounts: Accounts, standing: Standing, asked_us: int
    ) -> None:
        """The same for accounts that are a part of those that the store was asked about, if what
        refused is among them.
        """
        if standing.refused is None or (refusing := accounts[standing.refused]) not in part:
            return
        limited = [each for each in part if each.limited]
        told = dict(zip(map(_scope, accounts), standing.balances, strict=False))
        balances = tuple(told.get(_scope(each), Balance()) for each in limited)
        self.note(
            part,
            structs.replace(standing, balances=balances, refused=part.index(refusing)),
            asked_us,
        )


def find_forbidding(accounts: Accounts) -> tuple[int, LimitKind] | None:
    """The first account with a limit that allows nothing, and which limit; None: each allows
    something.
    """
    for number, account in enumerate(accounts):
        for kind, limit in (
            (LimitKind.REQUESTS, account.rpm),
            (LimitKind.TOKENS, account.tpm),
            (LimitKind.PARALLEL, account.parallel),
            (LimitKind.BUDGET, account.budget_nanousd),
        ):
            if limit == 0:
                return number, kind
    return None


def _scope(account: Account) -> tuple[str, str, str | None]:
    scope = account.scope
    return scope.kind, scope.id, scope.model


def _sure_until_us(account: Account, standing: Standing, asked_us: int) -> int:
    """Until when a refusal is sure; 0: it is not."""
    assert standing.refused is not None
    balance = standing.balances[standing.refused]
    match standing.by:
        case LimitKind.REQUESTS:
            wait_ms = bucket.wait_ms(balance.requests, 1, account.rpm or 0)
            # The store counts whole milliseconds, so the last of them may have begun already.
            return MAX_EXACT if wait_ms is None else asked_us + (wait_ms - 1) * 1000
        case LimitKind.BUDGET:
            budget, end_us = account.budget_nanousd or 0, account.period.end_us
            if balance.used_nanousd < budget:
                return 0
            # By the store's clock, which may be another.
            return asked_us + end_us - standing.now_us if end_us and budget else MAX_EXACT
        case LimitKind.TOKENS:
            return 0 if account.tpm else MAX_EXACT
        case _:
            return 0 if account.parallel else MAX_EXACT


def _aged(accounts: Accounts, standing: Standing, passed_us: int) -> Standing:
    """A standing so much later, if nobody has called meanwhile."""
    balances = [
        _drained(*each, passed_us // 1000)
        for each in zip(accounts, standing.balances, strict=False)
    ]
    return structs.replace(standing, now_us=standing.now_us + passed_us, balances=tuple(balances))


def _drained(account: Account, balance: Balance, passed_ms: int) -> Balance:
    requests = bucket.drained(balance.requests, 0, passed_ms, account.rpm or 0)
    tokens = bucket.drained(balance.tokens, 0, passed_ms, account.tpm or 0)
    return structs.replace(balance, requests=requests, tokens=tokens)
