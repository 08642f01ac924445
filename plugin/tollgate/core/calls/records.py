"""Define the ledger record of one settled request, stored as JSON (record_text.py)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tollgate.core.calls.bill import NO_BILL, Bill
from tollgate.core.calls.passed_limits import LimitPassed, Passage, passages
from tollgate.core.calls.reservation import WorstCase
from tollgate.core.calls.usage import Told
from tollgate.core.limits.accounts import Accounts, ScopeKind

_TIME_DIGITS = 12  # of milliseconds since the epoch, enough for the next 8,900 years
_RANDOM_DIGITS = 16


def request_id(now_us: int, random: int) -> str:
    """Return an id for a request: its time of arrival, and 64 random bits.

    The time lets a ledger search start in the right place, without an index.
    """
    return f"{now_us // 1000:0{_TIME_DIGITS}x}{random:0{_RANDOM_DIGITS}x}"


def find_begin_us(identity: str) -> int | None:
    """Return when the request with that id arrived; None if it is no id of ours."""
    if not re.fullmatch(rf"[0-9a-f]{{{_TIME_DIGITS + _RANDOM_DIGITS}}}", identity):
        return None
    return int(identity[:_TIME_DIGITS], 16) * 1000


class Record(Told, frozen=True, omit_defaults=True, kw_only=True):
    """One settled request.

    Costs are nano-dollars, times microseconds; `scopes` are the entities that paid, as `kind:id`.
    `other_model`: the reply names a model other than the admitted one. `bill`: the price and the
    arithmetic. `shadow`: the limits in shadow mode that the call did not fit. `instead_of`: the
    model that was asked for, where a limit let another one serve. `passed`, `levels`: the limits
    that it passed, and where they stood before it; empty of a call whose lease expired. `kept`: the
    worst case that its strict limits count, where what the provider bills is not known.
    """

    id: str
    admitted_us: int
    model: str
    deployment: str
    scopes: tuple[str, ...]
    status: int
    cost_nanousd: int
    certainty: str
    settled_by: str
    other_model: bool = False
    bill: Bill = NO_BILL
    shadow: str = ""
    instead_of: str = ""
    passed: tuple[LimitPassed, ...] = ()
    levels: tuple[int, ...] = ()
    kept: WorstCase | None = None

    @property
    def passages(self) -> list[Passage]:
        """Return where each limit stood that the call passed."""
        return passages(self.scopes, self.passed, self.levels, self)


def organization_of_record(record: Record, place: str) -> str:
    """Return the organization that paid for a call; without one, that in whose ledger it is."""
    return next(iter(scope_ids(record.scopes, ScopeKind.ORGANIZATION)), place)


def scope_ids(scopes: Sequence[str], kind: str) -> list[str]:
    """Return the ids of a kind among scopes that are named as `kind:id`."""
    prefix = f"{kind}:"
    return [each.removeprefix(prefix) for each in scopes if each.startswith(prefix)]


def payer_names(accounts: Accounts) -> tuple[str, ...]:
    """Return who is charged, as `kind:id`."""
    return tuple(
        f"{each.scope.kind}:{each.scope.id}" for each in accounts if each.scope.model is None
    )
