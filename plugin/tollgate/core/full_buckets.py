"""Request limits that are known to be full: who is refused by one need not be looked up in the store before its earliest refill.

Only time empties a bucket of requests: nothing is ever given back to it. (Tokens and money are, by settlements.) So what it
refused it will refuse until then, whatever else happens; a limit that is changed comes in other accounts.
"""

from __future__ import annotations

from msgspec import structs

from tollgate.core import bucket
from tollgate.core.entities import MAX_EXACT, Account, Accounts, Balance, LimitKind, Standing


class FullBuckets:
    """Refusals by accounts, as long as they are sure to be repeated. At most `most`: the oldest go first."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._full: dict[int, tuple[Accounts, Standing, int, int]] = {}

    def find(self, accounts: Accounts, now_us: int) -> Standing | None:
        """The refusal that the store would give now; None: nobody knows without asking it."""
        found = self._full.get(id(accounts))
        if found is None:
            return None
        _, standing, since_us, until_us = found
        # A clock that was set back says nothing.
        if not since_us <= now_us < until_us:
            del self._full[id(accounts)]
            return None
        return _aged(accounts, standing, now_us - since_us)

    def note(self, accounts: Accounts, standing: Standing, asked_us: int) -> None:
        """Remember an answer of the store's, if it was such a refusal. `asked_us`: the time before it was asked."""
        if standing.by is not LimitKind.REQUESTS or standing.refused is None:
            return
        limit = accounts[standing.refused].rpm or 0
        wait_ms = bucket.wait_ms(standing.balances[standing.refused].requests, 1, limit)
        if len(self._full) >= self._most:
            del self._full[next(iter(self._full))]
        # The store counts whole milliseconds, so the last of them may have begun already.
        until_us = MAX_EXACT if wait_ms is None else asked_us + (wait_ms - 1) * 1000
        self._full[id(accounts)] = (accounts, standing, asked_us, until_us)


def _aged(accounts: Accounts, standing: Standing, passed_us: int) -> Standing:
    """A standing so much later, if nobody has called meanwhile."""
    balances = [_drained(*each, passed_us // 1000) for each in zip(accounts, standing.balances, strict=False)]
    return structs.replace(standing, now_us=standing.now_us + passed_us, balances=tuple(balances))


def _drained(account: Account, balance: Balance, passed_ms: int) -> Balance:
    requests = bucket.drained(balance.requests, 0, passed_ms, account.rpm or 0)
    tokens = bucket.drained(balance.tokens, 0, passed_ms, account.tpm or 0)
    return structs.replace(balance, requests=requests, tokens=tokens)
