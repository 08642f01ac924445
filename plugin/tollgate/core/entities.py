"""Who may call, and within which limits: the entities that management changes and admission reads.

Frozen documents.

Units: money is integer nano-dollars (`_nanousd`), time integer microseconds since the epoch
(`_us`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from msgspec import structs

from tollgate.core.declared import Declarable
from tollgate.core.limits.accounts import (
    DEFAULT_ORGANIZATION,
    ENFORCED,
    Enforcement,
    Meter,
    Period,
    Quota,
)
from tollgate.core.limits.duration import period_at
from tollgate.core.limits.limit import KINDS, Limit, Raise, applies, raised, shadowed
from tollgate.core.models.added_model import AddedModel


@dataclass(frozen=True, slots=True)
class LimitSet:
    """The limits of one scope: its budget, and any number of others.

    The budget is what the scope's spend counts against; `max_budget_nanousd` None means unlimited,
    spend is still recorded. `budget_since_us` is where periods are counted from that have no
    beginning of their own; with a `calendar_timezone` (an IANA name) those of the budget align to
    its calendar. `limits` stand in the order in which they are checked. `budget_increase` raises
    the budget for a time. `shadow`: none of the limits is enforced; `budget_shadow`: the budget is
    not.
    """

    limits: tuple[Limit, ...] = ()
    max_budget_nanousd: int | None = None
    budget_duration: str | None = None
    budget_since_us: int = 0
    calendar_timezone: str | None = None
    budget_increase: Raise | None = None
    shadow: bool = False
    budget_shadow: bool = False

    def __post_init__(self) -> None:
        if len(self.limits) > 1:
            ordered = tuple(sorted(self.limits, key=lambda each: each.order))
            object.__setattr__(self, "limits", ordered)

    @property
    def limited(self) -> bool:
        """Whether anything is limited."""
        return bool(self.limits) or self.max_budget_nanousd is not None

    @property
    def has_budget(self) -> bool:
        """Whether dollars are limited."""
        return self.max_budget_nanousd is not None or any(
            each.meter is Meter.USD for each in self.limits
        )

    def amount(self, field: str) -> int | None:
        """Return the amount of the limit that has this field of its own; None: it
        is not limited.
        """
        counter = KINDS[field].counter
        return next((each.amount for each in self.limits if each.counter == counter), None)

    def with_amount(self, field: str, amount: int | None) -> LimitSet:
        """Return the limits with another amount of the one that has this field of its own.

        How the limit is enforced stays.
        """
        kind = KINDS[field]
        others = tuple(each for each in self.limits if each.counter != kind.counter)
        if amount is None:
            return replace(self, limits=others)
        own = next(
            (each for each in self.limits if each.counter == kind.counter),
            Limit(kind.meter, amount, kind.window),
        )
        return replace(self, limits=(*others, structs.replace(own, amount=amount)))

    def or_else(self, other: LimitSet) -> LimitSet:
        """Return these limits, and the other's where there is none of that meter and window.

        A budget comes with its own duration. Where periods are counted from stays. A raise of a
        budget applies to an inherited one too.
        """
        own = {each.counter for each in self.limits}
        inherited = [each.begun(0) for each in other.limits if each.counter not in own]
        if other.shadow:
            inherited = [each.shadowed() for each in inherited]
        budget = self if self.max_budget_nanousd is not None else other
        return LimitSet(
            (*self.limits, *inherited),
            budget.max_budget_nanousd,
            budget.budget_duration,
            self.budget_since_us,
            budget.calendar_timezone,
            self.budget_increase or other.budget_increase,
            self.shadow,
            budget.budget_shadow or budget.shadow,
        )

    def in_force(self, now_us: int, *, tokens: bool, money: bool) -> tuple[Quota, ...]:
        """Return what is limited at an instant, for calls that use tokens and cost money or not."""
        found = [
            each.in_force(self.budget_since_us, now_us)
            for each in self.limits
            if applies(each.meter, tokens=tokens, money=money)
        ]
        if money and self.max_budget_nanousd is not None:
            # Dollars come last, and of them the budget first.
            place = sum(each.meter is not Meter.USD for each in found)
            how = Enforcement(shadow=True) if self.budget_shadow else ENFORCED
            budget = Quota(Meter.USD, self.max_budget_nanousd, enforcement=how)
            found.insert(place, raised(budget, self.budget_increase, now_us))
        return tuple(found) if not self.shadow else tuple(map(shadowed, found))

    def spend_period(self, now_us: int) -> Period:
        """Return the period in which spend is counted at an instant."""
        return period_at(self.budget_duration, self.budget_since_us, now_us, self.calendar_timezone)


NO_LIMITS = LimitSet()


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """The limits of one entity for one model."""

    model: str
    limits: LimitSet


@dataclass(frozen=True, slots=True)
class Key(Declarable):
    """A virtual key.

    `hash` is the SHA-256 of the secret, in hex: the secret itself is never stored. Opaque JSON
    objects (`metadata`, ...) are kept as text. New fields of entities need defaults: older
    documents must decode.

    A secret that was replaced, and still works for a while, is a key of its own, which expires:
    `replaced_by` is the hash of the key that it belongs to, whose `former_hash` names it. Both have
    one `id`, hence the same counters.
    """

    hash: str
    name: str
    alias: str | None = None
    user_id: str | None = None
    team_id: str | None = None
    organization: str = DEFAULT_ORGANIZATION
    models: tuple[str, ...] = ()
    limits: LimitSet = NO_LIMITS
    created_us: int = 0
    expires_us: int | None = None
    blocked: bool = False
    model_limits: tuple[ModelLimits, ...] = ()
    budget_id: str | None = None
    model_aliases: tuple[tuple[str, str], ...] = ()
    soft_budget_nanousd: int | None = None
    lifetime: str | None = None
    metadata: str = "{}"
    config: str = "{}"
    permissions: str = "{}"
    allowed_cache_controls: tuple[str, ...] = ()
    updated_us: int = 0
    first_hash: str | None = None
    home: str | None = None
    session_limits: LimitSet = NO_LIMITS
    former_hash: str | None = None
    replaced_by: str | None = None

    @property
    def id(self) -> str:
        """What counters and ledger know the key by: it stays when the secret is regenerated."""
        return self.first_hash or self.hash

    @property
    def place(self) -> str:
        """The organization in whose place the counters are: the first one, however it moves."""
        return self.home or self.organization


@dataclass(frozen=True, slots=True, kw_only=True)
class Spanning(Declarable):
    """An entity that is counted over all organizations."""

    @property
    def place(self) -> str:
        """Where the counters are; they span organizations, so any name of one finds them."""
        return DEFAULT_ORGANIZATION


class Role(StrEnum):
    """What an internal user may do beyond calling models."""

    ADMIN = "proxy_admin"
    ADMIN_VIEWER = "proxy_admin_viewer"
    USER = "internal_user"
    USER_VIEWER = "internal_user_viewer"


@dataclass(frozen=True, slots=True)
class User(Spanning):
    """An internal user: somebody who owns keys."""

    id: str
    alias: str | None = None
    email: str | None = None
    role: Role = Role.USER
    organization: str = DEFAULT_ORGANIZATION
    models: tuple[str, ...] = ()
    limits: LimitSet = NO_LIMITS
    model_limits: tuple[ModelLimits, ...] = ()
    blocked: bool = False
    metadata: str = "{}"
    created_us: int = 0
    updated_us: int = 0


@dataclass(frozen=True, slots=True)
class Team(Declarable):
    """A team. `member_limits` are those of each member who has none of their own.

    `implied`: a key or a user named it before anybody made it; whoever makes it then takes it over.
    """

    id: str
    alias: str | None = None
    organization: str = DEFAULT_ORGANIZATION
    models: tuple[str, ...] = ()
    limits: LimitSet = NO_LIMITS
    model_limits: tuple[ModelLimits, ...] = ()
    member_limits: LimitSet = NO_LIMITS
    model_aliases: tuple[tuple[str, str], ...] = ()
    soft_budget_nanousd: int | None = None
    blocked: bool = False
    metadata: str = "{}"
    admins: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    created_us: int = 0
    updated_us: int = 0
    implied: bool = False
    home: str | None = None
    session_limits: LimitSet = NO_LIMITS

    @property
    def place(self) -> str:
        """The organization in whose place the counters are: the first one, however it moves."""
        return self.home or self.organization


class MemberRole(StrEnum):
    """A member's part in a team."""

    ADMIN = "admin"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Member(Declarable):
    """A user in a team."""

    team_id: str
    user_id: str
    role: MemberRole = MemberRole.USER
    models: tuple[str, ...] = ()
    limits: LimitSet = NO_LIMITS
    created_us: int = 0
    updated_us: int = 0
    model_limits: tuple[ModelLimits, ...] = ()

    @property
    def id(self) -> str:
        """`team/user`: a team's id holds no slash, so no two members share one."""
        return f"{self.team_id}/{self.user_id}"


@dataclass(frozen=True, slots=True)
class Customer(Spanning):
    """An end user, as the `user` field of a body names them."""

    id: str
    alias: str | None = None
    organization: str = DEFAULT_ORGANIZATION
    models: tuple[str, ...] = ()
    limits: LimitSet = NO_LIMITS
    model_limits: tuple[ModelLimits, ...] = ()
    budget_id: str | None = None
    soft_budget_nanousd: int | None = None
    blocked: bool = False
    created_us: int = 0
    updated_us: int = 0


@dataclass(frozen=True, slots=True)
class Budget(Declarable):
    """A set of limits that keys and customers share by its id.

    Each counts for itself against it.
    """

    id: str
    limits: LimitSet = NO_LIMITS
    model_limits: tuple[ModelLimits, ...] = ()
    soft_budget_nanousd: int | None = None
    created_us: int = 0
    updated_us: int = 0


@dataclass(frozen=True, slots=True)
class Organization(Declarable):
    """An organization: teams, keys and users that share limits.

    `shards`: in how many places of the store its teams and keys are counted, and its limits in
    parts.
    """

    id: str
    alias: str | None = None
    models: tuple[str, ...] = ()
    limits: LimitSet = NO_LIMITS
    model_limits: tuple[ModelLimits, ...] = ()
    budget_id: str | None = None
    soft_budget_nanousd: int | None = None
    blocked: bool = False
    metadata: str = "{}"
    created_us: int = 0
    updated_us: int = 0
    shards: int = 1

    @property
    def place(self) -> str:
        """The organization in whose place the counters are."""
        return self.id


class OrganizationRole(StrEnum):
    """A user's part in an organization, in LiteLLM's words."""

    ADMIN = "org_admin"
    USER = "internal_user"
    USER_VIEWER = "internal_user_viewer"


@dataclass(frozen=True, slots=True)
class OrganizationMember(Declarable):
    """A user in an organization."""

    organization_id: str
    user_id: str
    role: OrganizationRole = OrganizationRole.USER
    limits: LimitSet = NO_LIMITS
    model_limits: tuple[ModelLimits, ...] = ()
    created_us: int = 0
    updated_us: int = 0

    @property
    def id(self) -> str:
        """`organization/user`: an organization's id holds no slash."""
        return f"{self.organization_id}/{self.user_id}"

    @property
    def place(self) -> str:
        """The organization in whose place the counters are."""
        return self.organization_id


@dataclass(frozen=True, slots=True)
class Tag(Spanning):
    """A value of the dimension `tag` that has limits of its own."""

    id: str
    description: str | None = None
    models: tuple[str, ...] = ()
    limits: LimitSet = NO_LIMITS
    model_limits: tuple[ModelLimits, ...] = ()
    budget_id: str | None = None
    soft_budget_nanousd: int | None = None
    blocked: bool = False
    created_us: int = 0
    updated_us: int = 0


Budgeted = Key | Customer | Organization | Tag
"""Entities that may take their limits from a budget."""
BUDGETED = (Key, Customer, Organization, Tag)


Entity = Budgeted | User | Team | Member | Budget | OrganizationMember | AddedModel
