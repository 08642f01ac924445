"""Who may call, and within which limits: the entities that management changes and admission reads.

Frozen documents.

Units: money is integer nano-dollars (`_nanousd`), time integer microseconds since the epoch
(`_us`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tollgate.core.limits.accounts import DEFAULT_ORGANIZATION


@dataclass(frozen=True, slots=True)
class LimitSet:
    """The limits of one scope. None is no limit; 0 allows nothing.

    `budget_since_us` is where rolling periods are counted from; with a `calendar_timezone` (an IANA
    name) they align to its calendar.
    """

    rpm: int | None = None
    tpm: int | None = None
    parallel: int | None = None
    max_budget_nanousd: int | None = None
    budget_duration: str | None = None
    budget_since_us: int = 0
    calendar_timezone: str | None = None

    def or_else(self, other: LimitSet) -> LimitSet:
        """These limits, and the other's where there is none.

        A budget comes with its own duration; where periods are counted from stays.
        """
        budget = self if self.max_budget_nanousd is not None else other
        return LimitSet(
            rpm=other.rpm if self.rpm is None else self.rpm,
            tpm=other.tpm if self.tpm is None else self.tpm,
            parallel=other.parallel if self.parallel is None else self.parallel,
            max_budget_nanousd=budget.max_budget_nanousd,
            budget_duration=budget.budget_duration,
            budget_since_us=self.budget_since_us,
            calendar_timezone=budget.calendar_timezone,
        )


NO_LIMITS = LimitSet()


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """The limits of one entity for one model."""

    model: str
    limits: LimitSet


@dataclass(frozen=True, slots=True)
class Key:
    """A virtual key.

    `hash` is the SHA-256 of the secret, in hex: the secret itself is never stored. Opaque JSON
    objects (`metadata`, ...) are kept as text. New fields of entities need defaults: older
    documents must decode.
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

    @property
    def id(self) -> str:
        """What counters and ledger know the key by: it stays when the secret is regenerated."""
        return self.first_hash or self.hash


class Role(StrEnum):
    """What an internal user may do beyond calling models."""

    ADMIN = "proxy_admin"
    ADMIN_VIEWER = "proxy_admin_viewer"
    USER = "internal_user"
    USER_VIEWER = "internal_user_viewer"


@dataclass(frozen=True, slots=True)
class User:
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
class Team:
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


class MemberRole(StrEnum):
    """A member's part in a team."""

    ADMIN = "admin"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Member:
    """A user in a team."""

    team_id: str
    user_id: str
    role: MemberRole = MemberRole.USER
    models: tuple[str, ...] = ()
    limits: LimitSet = NO_LIMITS
    created_us: int = 0
    updated_us: int = 0

    @property
    def id(self) -> str:
        """`team/user`: a team's id holds no slash, so no two members share one."""
        return f"{self.team_id}/{self.user_id}"


@dataclass(frozen=True, slots=True)
class Customer:
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
class Budget:
    """A set of limits that keys and customers share by its id.

    Each counts for itself against it.
    """

    id: str
    limits: LimitSet = NO_LIMITS
    model_limits: tuple[ModelLimits, ...] = ()
    soft_budget_nanousd: int | None = None
    created_us: int = 0
    updated_us: int = 0


Entity = Key | User | Team | Member | Customer | Budget
