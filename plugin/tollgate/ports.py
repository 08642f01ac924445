"""What the use cases need of the world, as Protocols.

Adapters implement them; tests run each over memory and a real Valkey.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from tollgate.core.calls.records import Record
from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.entities import Budget, Customer, Entity, Key, Member, Team, User
from tollgate.core.limits.accounts import Account, Accounts, Period, Scope, Spend, Standing
from tollgate.core.requests.estimate import Lately


class SoundLength(Protocol):
    """How long uploaded sound is."""

    def __call__(self, raw: bytes, start: int, end: int) -> float | None:
        """Return the seconds of the file between two places; None where it does not tell."""
        ...


class Clock(Protocol):
    """The time, as microseconds since the epoch."""

    def now_us(self) -> int: ...


class Counters(Protocol):
    """Limits and spend.

    Every operation is atomic and takes one round trip; errors are core.errors.StoreUnavailable.
    """

    async def reserve(self, reservation: Reservation) -> Standing:
        """Hold what every account asks for, or nothing: then the standing names the first account
        that refused, and which limit.
        """
        ...

    async def settle(self, reservation: Reservation, settlement: Settlement) -> Standing | None:
        """Replace the holds by what was used and write the ledger record.

        Never refuses. None: it was settled before, nothing changed.
        """
        ...

    async def settle_all(self, calls: Sequence[tuple[Reservation, Settlement]]) -> list[bool]:
        """Settle several calls, whose standing nobody asks for.

        Of each: False when it was settled before.
        """
        ...

    async def renew(self, reservation: Reservation) -> bool:
        """Keep the lease of a call that still runs. False: there is none (settled, or expired)."""
        ...

    async def peek(self, organization: str, accounts: Accounts) -> Standing:
        """Read where limits stand, changing nothing."""
        ...

    async def spend(self, organization: str, accounts: Accounts) -> list[Spend]:
        """What the scopes of some accounts have spent, in the same order, changing nothing."""
        ...

    async def organizations(self) -> list[str]:
        """Every organization that ever held something."""
        ...

    async def open(self, organization: str, stream_ids: Set[str]) -> list[Reservation]:
        """The unsettled reservations of these requests, by Envoy's names for them."""
        ...

    async def expired(self, organization: str) -> list[Reservation]:
        """Reservations whose lease ran out unsettled, oldest first, at most a hundred."""
        ...


class Directory(Protocol):
    """Who there is, for admission.

    Reads may be a second old. What is cached comes without suspending.

    Limits come resolved: a key or customer with those of its budget, a member with those that the
    team gives its members.
    """

    @property
    def generation(self) -> int | None:
        """Another number whenever anything may have changed: what was made of reads holds while it
        is the same.

        None: nothing holds.
        """
        ...

    async def find_key(self, key_hash: str) -> Key | None:
        """The key whose secret has that SHA-256, if there is one."""
        ...

    async def find_user(self, user_id: str) -> User | None:
        """The internal user of that id, if there is one."""
        ...

    async def find_team(self, team_id: str) -> Team | None:
        """The team of that id, if there is one."""
        ...

    async def find_member(self, team_id: str, user_id: str) -> Member | None:
        """The user as a member of the team, if they are one or the team limits everybody in it."""
        ...

    async def find_customer(self, customer_id: str) -> Customer | None:
        """The customer of that id, if they are registered."""
        ...


E = TypeVar("E", Key, User, Team, Member, Customer, Budget)


@dataclass(frozen=True, slots=True)
class Stored(Generic[E]):
    """An entity as it stood when it was read. A version is never used twice."""

    entity: E
    version: int


def entity_of(stored: Stored[E] | None) -> E | None:
    """What was stored, if anything was."""
    return None if stored is None else stored.entity


@dataclass(frozen=True, slots=True)
class Write:
    """One change of one entity. No `before`: it must not exist yet. No `after`: it is removed."""

    before: Stored[Any] | None
    after: Entity | None


@dataclass(frozen=True, slots=True)
class Page(Generic[E]):
    """A part of a list, newest first, and how many there are in all."""

    entities: tuple[E, ...]
    total: int


class Registry(Protocol):
    """The entities themselves, for management. Errors are core.errors.StoreUnavailable."""

    async def get(self, kind: type[E], identities: Sequence[str]) -> list[Stored[E] | None]:
        """What there is of those ids (of a key: its hash), in their order."""
        ...

    async def find_named(self, kind: type[E], name: str) -> Stored[E] | None:
        """The one entity that has this unique name: a key's alias, a user's e-mail address."""
        ...

    async def page(
        self, kind: type[E], owner: User | Team | Budget | None, offset: int, count: int
    ) -> Page[E]:
        """A part of all entities of a kind, or of those that belong to `owner`: keys and members
        have a user and a team, keys and customers a budget.
        """
        ...

    async def write(self, *writes: Write) -> None:
        """Do all of these, or none: core.errors.Conflict when an entity has changed since, a unique
        name is taken, a budget is removed that somebody uses, or one is given that does not
        exist.
        """
        ...


@dataclass(frozen=True, slots=True)
class Settled:
    """A ledger record, and when it was written."""

    settled_us: int
    record: Record


@dataclass(frozen=True, slots=True)
class LedgerQuery:
    """Which records of the ledger.

    `organization` None: of all. `since_us`, `until_us`: when the call was admitted, both included;
    None: whenever. `payers`: scopes as `kind:id`, all of which were charged. `failed`: whether the
    status is 400 or above.
    """

    organization: str | None = None
    since_us: int | None = None
    until_us: int | None = None
    payers: tuple[str, ...] = ()
    model: str | None = None
    request_id: str | None = None
    status: int | None = None
    failed: bool | None = None

    def matches(self, record: Record) -> bool:
        """Whether a record, of whatever organization, is one of them."""
        return (
            (self.since_us is None or self.since_us <= record.admitted_us)
            and (self.until_us is None or record.admitted_us <= self.until_us)
            and (self.model is None or record.model == self.model)
            and (self.request_id is None or record.id == self.request_id)
            and (self.status is None or record.status == self.status)
            and (self.failed is None or (record.status >= 400) == self.failed)
            and all(payer in record.scopes for payer in self.payers)
        )


@dataclass(frozen=True, slots=True)
class LedgerPage:
    """A part of the records that a query finds, newest first. `cursor`: where the next part begins;
    None: there is none."""

    records: tuple[Settled, ...]
    cursor: str | None = None


class OutputBook(Protocol):
    """The output that deployments had lately, of all workers together."""

    def learn(self, deployment: str, output_tokens: int, hidden_tokens: int) -> None:
        """Take in one reply, as the provider counted it.

        `hidden_tokens`: how many of them it did not show.
        """
        ...

    async def lately(self, deployment: str) -> Lately | None:
        """What its replies had lately; None: nobody has seen one.

        While the store is down, what this process has seen.
        """
        ...


class Ledger(Protocol):
    """What was settled, as long as it is kept. Errors are core.errors.StoreUnavailable."""

    async def page(self, query: LedgerQuery, count: int, cursor: str | None = None) -> LedgerPage:
        """Return at most `count` records, the last settled first, from a former page's cursor on.

        However many records do not match, a page ends before `count` only at the end of the ledger.
        Raises BadRequest for a cursor that no page told.
        """
        ...


@dataclass(frozen=True, slots=True)
class Succession:
    """One budget period of a scope, and the one that takes its place because the budget's duration
    changed.
    """

    scope: Scope
    before: Period
    after: Period


class SpendBook(Protocol):
    """What was spent, as an administrator may correct it.

    The ledger and the total of a scope stay as they are.
    """

    async def set_spend(self, organization: str, account: Account, nanousd: int) -> None:
        """Say what the scope of an account has spent in its current period."""
        ...

    async def carry(self, organization: str, successions: Sequence[Succession]) -> None:
        """Let what is spent in periods that are current stay spent in those that take their place.

        Whoever changes limits does this before the change can be read: a call that meets the new
        period first would find nothing spent in it.
        """
        ...

    async def forget(self, organization: str, scopes: Sequence[Scope]) -> None:
        """Remove the counters of scopes: spend, buckets, and calls in flight. The ledger stays."""
        ...
