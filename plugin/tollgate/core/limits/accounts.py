"""Scopes and accounts: who is limited, by how much, and where they stand. Frozen values.

Units: money is integer nano-dollars (`_nanousd`), time integer microseconds since the epoch
(`_us`), tokens are whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from msgspec import Struct

# Lua counts in doubles: integers above this are not exact, so no limit and no single amount may
# exceed it. Sums are kept in two parts.
MAX_EXACT = 2**53 - 1

DEFAULT_ORGANIZATION = "default"


class ScopeKind(StrEnum):
    """Who a limit belongs to, in the order in which a refusal names them."""

    PROXY = "proxy"
    ORGANIZATION = "organization"
    TEAM = "team"
    MEMBER = "member"
    USER = "user"
    CUSTOMER = "customer"
    KEY = "key"


class LimitKind(StrEnum):
    """What is limited, in the order in which an account's limits are checked. reserve.lua knows
    them by these letters.
    """

    REQUESTS = "r"
    TOKENS = "t"
    PARALLEL = "p"
    BUDGET = "b"


class Scope(Struct, frozen=True, array_like=True, gc=False):
    """One entity, or one entity narrowed to one model. A member's id is `team/user`."""

    kind: ScopeKind
    id: str
    model: str | None = None


class Period(Struct, frozen=True, array_like=True, gc=False):
    """The budget period around an instant: `[start_us, end_us)`, and where the one before it began.

    `end_us` 0: it never ends.
    """

    previous_us: int = 0
    start_us: int = 0
    end_us: int = 0


FOREVER = Period()


class Account(Struct, frozen=True, array_like=True):
    """A scope that requests are charged to, and its limits there: requests and tokens a minute,
    calls at once, nano-dollars a period.

    None is no limit: then it is only counted what is spent.

    `passing`: of somebody whom nobody registered and nothing limits. The store forgets it when it
    has been idle for as long as the ledger keeps records.
    """

    scope: Scope
    rpm: int | None = None
    tpm: int | None = None
    parallel: int | None = None
    budget_nanousd: int | None = None
    period: Period = FOREVER
    passing: bool = False

    @property
    def limited(self) -> bool:
        """Whether it can refuse."""
        return not (
            self.rpm is None
            and self.tpm is None
            and self.parallel is None
            and self.budget_nanousd is None
        )


Accounts = tuple[Account, ...]
"""All that a request is charged to.

Those that can refuse come first, in the order in which a refusal names them.
"""


class Balance(Struct, frozen=True, array_like=True, gc=False):
    """Where an account stands. What it does not limit is 0.

    `requests` and `tokens` are used bucket units (see bucket.py), `parallel` the calls in flight;
    `used_nanousd` is settled in the period that began at `period_start_us`, `held_nanousd` set
    aside by calls in flight.
    """

    requests: int = 0
    tokens: int = 0
    parallel: int = 0
    used_nanousd: int = 0
    held_nanousd: int = 0
    period_start_us: int = 0


class Standing(Struct, frozen=True, gc=False):
    """The store's answer: its clock, a balance for each account that it was asked about, in their
    order, after all calls that it took together; and the number of the account that refused, and
    which of its limits (None: none did).

    `only_held`: what is settled would fit, so the end of a call in flight may make room.
    """

    now_us: int
    balances: tuple[Balance, ...]
    refused: int | None = None
    by: LimitKind | None = None
    only_held: bool = False


@dataclass(frozen=True, slots=True)
class Spend:
    """What one scope has spent: in its current budget period (`used_nanousd`, and `held_nanousd` by
    calls in flight), ever, and by model.
    """

    used_nanousd: int
    held_nanousd: int
    total_nanousd: int
    by_model_nanousd: Mapping[str, int]


# An object of Python's with its fields and its place in a dictionary, and a character of a text in
# any script.
_OBJECT_BYTES, _CHARACTER_BYTES = 300, 4


def accounts_bytes(accounts: Accounts) -> int:
    """About how much memory accounts take, or what is made of them one by one."""
    texts = sum([len(each.scope.id) + len(each.scope.model or "") for each in accounts])
    return _OBJECT_BYTES * (1 + 2 * len(accounts)) + _CHARACTER_BYTES * texts
