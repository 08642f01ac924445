"""Define what the use cases need from outside, as Protocols.

Adapters implement them; tests run each over memory and a real Valkey.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Sequence, Set
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from tollgate.core.audit import Change
from tollgate.core.calls.record_groups import in_groups
from tollgate.core.calls.records import Record
from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.entities import (
    Budget,
    Customer,
    Entity,
    Key,
    Member,
    Organization,
    OrganizationMember,
    Tag,
    Team,
    User,
)
from tollgate.core.limits.accounts import Account, Accounts, Period, Quota, Scope, Spend, Standing
from tollgate.core.models.added_model import AddedModel
from tollgate.core.requests.estimate import Lately


class SoundLength(Protocol):
    """Measures uploaded sound."""

    def __call__(self, raw: bytes, start: int, end: int) -> float | None:
        """Return the seconds of the file between two positions; None if it does not state them."""
        ...


class Clock(Protocol):
    """Returns the time in microseconds since the epoch."""

    def now_us(self) -> int: ...


class Counters(Protocol):
    """Limits and spend.

    Every operation is atomic and takes one round trip; in a cluster it takes one for each place
    that limits the call. Errors are core.errors.StoreUnavailable.
    """

    def reserve(self, reservation: Reservation) -> Awaitable[Standing]:
        """Hold what every account asks for, or nothing.

        If nothing was held, the standing names the first account that refused, and which limit.
        """
        ...

    async def settle(self, reservation: Reservation, settlement: Settlement) -> Standing | None:
        """Replace the holds by what was used, and write the ledger record.

        Never refuses. Idempotent: None means that the call was settled before and nothing changed.
        """
        ...

    async def settle_all(self, calls: Sequence[tuple[Reservation, Settlement]]) -> list[bool]:
        """Settle several calls whose standing nobody needs; False for each that
        was settled before.
        """
        ...

    async def renew(self, reservation: Reservation) -> bool:
        """Extend the lease of a running call. Return False if it has none (settled or expired)."""
        ...

    async def peek(self, organization: str, accounts: Accounts) -> Standing:
        """Return where limits stand, without changing anything."""
        ...

    async def spend(self, organization: str, accounts: Accounts) -> list[Spend]:
        """Return the spend of the accounts' scopes in the same order, without changing anything."""
        ...

    async def organizations(self) -> list[str]:
        """Return every organization that ever held something."""
        ...

    async def open(self, organization: str, stream_ids: Set[str]) -> list[Reservation]:
        """Return the unsettled reservations of these requests, by Envoy's names for them."""
        ...

    async def expired(self, organization: str) -> list[Reservation]:
        """Return reservations whose lease expired unsettled, oldest first, at most a hundred."""
        ...

    async def settle_guests(self) -> None:
        """Settle what calls that are settled, or never passed, left outside their own place."""
        ...


class Directory(Protocol):
    """The entities, for admission.

    Reads may be a second old; cached entities are returned without suspending. Limits are resolved:
    a key or customer has those of its budget, a member those that the team gives its members.
    """

    @property
    def generation(self) -> int | None:
        """Return a number that changes whenever an entity may have changed.

        Values derived from earlier reads stay valid while it is equal; None: cache nothing.
        """
        ...

    def find_key(self, key_hash: str) -> Coroutine[Any, Any, Key | None]:
        """Return the key whose secret has that SHA-256, or None."""
        ...

    async def find_key_of_alias(self, alias: str) -> Key | None:
        """Return the key with that alias, or None."""
        ...

    async def find_key_of_id(self, key_id: str) -> Key | None:
        """Return the key that counters and ledger know by that id, or None.

        It has another hash than its id once its secret was regenerated.
        """
        ...

    async def find_user(self, user_id: str) -> User | None:
        """Return the internal user with that id, or None."""
        ...

    async def find_team(self, team_id: str) -> Team | None:
        """Return the team with that id, or None."""
        ...

    async def find_member(self, team_id: str, user_id: str) -> Member | None:
        """Return the user as a member of the team.

        None if they are no member and the team does not limit all its members.
        """
        ...

    async def find_customer(self, customer_id: str) -> Customer | None:
        """Return the registered customer with that id, or None."""
        ...

    async def find_budget(self, budget_id: str) -> Budget | None:
        """Return the budget with that id, or None."""
        ...

    async def find_organization(self, organization_id: str) -> Organization | None:
        """Return the organization with that id, or None."""
        ...

    async def find_tag(self, tag_id: str) -> Tag | None:
        """Return the registered tag with that id, or None."""
        ...

    async def find_organization_member(
        self, organization_id: str, user_id: str
    ) -> OrganizationMember | None:
        """Return the user as a member of the organization, or None."""
        ...


E = TypeVar(
    "E",
    Key,
    User,
    Team,
    Member,
    Customer,
    Budget,
    Organization,
    OrganizationMember,
    Tag,
    AddedModel,
)


@dataclass(frozen=True, slots=True)
class Stored(Generic[E]):
    """An entity as read. A version is never reused."""

    entity: E
    version: int


def entity_of(stored: Stored[E] | None) -> E | None:
    """Return the stored entity, or None."""
    return None if stored is None else stored.entity


@dataclass(frozen=True, slots=True)
class Write:
    """One change of one entity.

    Without `before` the entity must not exist yet; without `after` it is removed.
    """

    before: Stored[Any] | None
    after: Entity | None


@dataclass(frozen=True, slots=True)
class Page(Generic[E]):
    """A part of a list, newest first, and the total number of items."""

    entities: tuple[E, ...]
    total: int


Owner = User | Team | Budget | Organization
"""Whom entities of other kinds belong to."""


class Registry(Protocol):
    """The entities, for management. Errors are core.errors.StoreUnavailable."""

    async def get(self, kind: type[E], identities: Sequence[str]) -> list[Stored[E] | None]:
        """Return the entities with those ids (of a key: its hash) in order; None
        for unknown ones.
        """
        ...

    async def find_named(self, kind: type[E], name: str) -> Stored[E] | None:
        """Return the entity with this unique name: a key's alias, a user's e-mail address."""
        ...

    async def keys_of_ids(self, key_ids: Sequence[str]) -> list[Stored[Key] | None]:
        """Return the keys that counters and ledger know by those ids, in order; None for unknown
        ones. A key has another hash than its id once its secret was regenerated.
        """
        ...

    async def page(self, kind: type[E], owner: Owner | None, offset: int, count: int) -> Page[E]:
        """Return a part of all entities of a kind, or of those that belong to `owner`.

        Keys and members belong to a user and a team, members of organizations to a user and their
        organization, keys, customers and organizations to a budget.
        """
        ...

    async def search(
        self, kind: type[E], part: str, offset: int, count: int, most: int | None = None
    ) -> Page[E]:
        """Return a part of the entities whose names or id hold a text in any case, newest first:
        keys by alias and hash. The total is exact up to `most`; a greater one means that more fit.
        """
        ...

    async def write(self, *writes: Write) -> None:
        """Apply all of these writes, or none.

        Raises core.errors.Conflict if an entity has changed since it was read, a unique name is in
        use, a budget to remove is in use, or a budget to assign does not exist.
        """
        ...

    def acting_as(self, by: str) -> Registry:
        """The same registry, whose changes the audit log tells to be somebody's."""
        ...

    async def note(self, change: Change) -> None:
        """Put a change into the audit log that is not one of an entity's document."""
        ...


@dataclass(frozen=True, slots=True)
class Settled:
    """A ledger record, and when it was written."""

    settled_us: int
    record: Record


@dataclass(frozen=True, slots=True)
class LedgerQuery:
    """A filter for records of the ledger.

    - `organization`: the one that paid; None for all.
    - `since_us`, `until_us`: when the call was admitted, both inclusive; None for no bound.
    - `payers`: scopes as `kind:id`, all of which were charged.
    - `failed`: whether the status is 400 or above.
    - `deployment`: the id of the one that served the call.
    - `least_nanousd`, `most_nanousd`: what the call was charged, both inclusive.
    - `without`, `outside`: groups that it must not be in (core/calls/record_groups.py).
    """

    organization: str | None = None
    since_us: int | None = None
    until_us: int | None = None
    payers: tuple[str, ...] = ()
    model: str | None = None
    request_id: str | None = None
    status: int | None = None
    failed: bool | None = None
    deployment: str | None = None
    least_nanousd: int | None = None
    most_nanousd: int | None = None
    without: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()

    def matches(self, record: Record) -> bool:
        """Return whether a record matches, whatever its organization."""
        return (
            (self.since_us is None or self.since_us <= record.admitted_us)
            and (self.until_us is None or record.admitted_us <= self.until_us)
            and (self.model is None or record.model == self.model)
            and (self.request_id is None or record.id == self.request_id)
            and (self.status is None or record.status == self.status)
            and (self.failed is None or (record.status >= 400) == self.failed)
            and (self.deployment is None or record.deployment == self.deployment)
            and self._charged(record.cost_nanousd)
            and all(payer in record.scopes for payer in self.payers)
            and in_groups(record, self.without, self.outside)
        )

    def _charged(self, nanousd: int) -> bool:
        return (self.least_nanousd is None or self.least_nanousd <= nanousd) and (
            self.most_nanousd is None or nanousd <= self.most_nanousd
        )


@dataclass(frozen=True, slots=True)
class LedgerPage:
    """A part of the matching records, newest first. `cursor`: where the next part
    begins, or None.
    """

    records: tuple[Settled, ...]
    cursor: str | None = None


class OutputBook(Protocol):
    """Recent output of deployments, over all workers."""

    def learn(self, deployment: str, output_tokens: int, hidden_tokens: int) -> None:
        """Add one reply, as the provider counted it.

        `hidden_tokens`: the part of the output that the reply did not show.
        """
        ...

    async def lately(self, deployment: str) -> Lately | None:
        """Return the recent means of a deployment; None before its first reply.

        While the store is down, the means of this process.
        """
        ...


class Ledger(Protocol):
    """Settled calls, for as long as they are kept. Errors are core.errors.StoreUnavailable."""

    async def page(self, query: LedgerQuery, count: int, cursor: str | None = None) -> LedgerPage:
        """Return at most `count` records, latest first, starting at the cursor of an earlier page.

        However many records do not match, a page has fewer than `count` only at the end of the
        ledger. Raises BadRequest for an invalid cursor.
        """
        ...


@dataclass(frozen=True, slots=True)
class Succession:
    """A period of a scope, and the period that replaces it after a change of duration or calendar:
    of its budget, or of a `limit` that has a counter of its own.
    """

    scope: Scope
    before: Period
    after: Period
    limit: Quota | None = None


class SpendBook(Protocol):
    """Spend as an administrator may correct it; ledger and totals of a scope stay."""

    async def set_spend(self, organization: str, account: Account, nanousd: int) -> None:
        """Set what the account's scope has spent in its current period."""
        ...

    async def carry(self, organization: str, successions: Sequence[Succession]) -> None:
        """Carry the spend of current periods over to the periods that replace them.

        Must run before the change of limits can be read: a call that meets the new period first
        would find nothing spent in it.
        """
        ...

    async def forget(self, organization: str, scopes: Sequence[Scope]) -> None:
        """Remove the counters of scopes: spend, buckets and calls in flight. The ledger stays."""
        ...
