"""What new keys, users and teams have where nobody says anything, and the most that keys may have.

These are LiteLLM's settings of its configuration file, with its meaning of them: a field that is
left out, or null, takes the default.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeVar

from tollgate.core.entities import NO_LIMITS, Key, LimitSet, Member, MemberRole, Role, Team, User
from tollgate.core.errors import BadRequest
from tollgate.core.limits.duration import instant_after, parse_duration
from tollgate.core.limits.limit import KINDS
from tollgate.core.money.dollars import dollars_of

L = TypeVar("L", Key, User, Team)


@dataclass(frozen=True, slots=True)
class NewKeys:
    """What new keys have, and the most that any key may have.

    `lifetime`, `most_lifetime`: durations after which a key expires. Without `fills` a key has to
    say itself what it may not leave out.
    """

    limits: LimitSet = NO_LIMITS
    models: tuple[str, ...] = ()
    metadata: str = "{}"
    user_id: str | None = None
    team_id: str | None = None
    lifetime: str | None = None
    most: LimitSet = NO_LIMITS
    most_lifetime: str | None = None
    fills: bool = True

    def made(self, key: Key, now_us: int) -> Key:
        """Return a new key with the defaults, and with the most where it would have no limit.

        A key of a budget has that budget's limits instead. Raises BadRequest for more than the
        most.
        """
        if not self.fills:
            self.check(None, key)
            return key
        if key.budget_id is None:
            key = _with_limits(_with_limits(key, self.limits), self.most)
        key = replace(
            key,
            models=key.models or self.models,
            metadata=self.metadata if key.metadata == "{}" else key.metadata,
            user_id=key.user_id or self.user_id,
            team_id=key.team_id or self.team_id,
        )
        lifetime = self.lifetime or self.most_lifetime
        if key.lifetime is None and lifetime is not None:
            expires_us = instant_after(parse_duration(lifetime), now_us)
            key = replace(key, lifetime=lifetime, expires_us=expires_us)
        self.check(None, key)
        return key

    def check(self, before: Key | None, after: Key) -> None:
        """Raise BadRequest for a change to more than the most; what was more before may stay so."""
        had = {} if before is None else dict(_sizes(before))
        for (name, value), (_, most) in zip(_sizes(after), _sizes(self._as_key()), strict=True):
            if most is None or (before is not None and had[name] == value):
                continue
            of_budget = name not in _DURATIONS and after.budget_id is not None
            if of_budget and value is None:
                continue
            if value is None or _length(value) > _length(most):
                raise BadRequest(
                    f"{name} is over max limit set in config -"
                    f" user_value={_shown(name, value)}; max_value={_shown(name, most)}",
                    name,
                )

    def _as_key(self) -> Key:
        return Key("", "", limits=self.most, lifetime=self.most_lifetime)


@dataclass(frozen=True, slots=True)
class NewUsers:
    """What new users have. `of_internal`: the budget of those who administer nothing.

    `memberships`: the teams that they join, with a role and a budget there in nano-dollars.
    """

    limits: LimitSet = NO_LIMITS
    of_internal: LimitSet = NO_LIMITS
    models: tuple[str, ...] = ()
    role: Role = Role.USER
    memberships: tuple[tuple[str, MemberRole, int | None], ...] = ()

    def blank(self, user: User) -> User:
        """Return a user of whom nothing was said yet."""
        return replace(user, role=self.role)

    def made(self, user: User) -> User:
        """Return a new user with the defaults."""
        user = _with_limits(user, self.limits)
        if user.role in (Role.USER, Role.USER_VIEWER):
            user = _with_limits(user, self.of_internal)
        return replace(user, models=user.models or self.models)

    def members_of(self, user_id: str) -> list[Member]:
        """Return the memberships of a new user who was given none."""
        return [
            Member(team_id, user_id, role, limits=LimitSet(max_budget_nanousd=budget))
            for team_id, role, budget in self.memberships
        ]


@dataclass(frozen=True, slots=True)
class NewTeams:
    """What new teams have."""

    limits: LimitSet = NO_LIMITS
    models: tuple[str, ...] = ()

    def made(self, team: Team) -> Team:
        """Return a new team with the defaults."""
        return replace(_with_limits(team, self.limits), models=team.models or self.models)


@dataclass(frozen=True, slots=True)
class Creation:
    """The rules of everything that is made.

    `customer_budget_id`: the budget that customers have by the configuration, so it has to stay.
    """

    keys: NewKeys = field(default_factory=NewKeys)
    users: NewUsers = field(default_factory=NewUsers)
    teams: NewTeams = field(default_factory=NewTeams)
    customer_budget_id: str | None = None

    def undefaulted(self) -> Creation:
        """Return the rules for entities of which a file says everything: only the most holds."""
        most, most_lifetime = self.keys.most, self.keys.most_lifetime
        keys = NewKeys(most=most, most_lifetime=most_lifetime, fills=False)
        return Creation(keys, customer_budget_id=self.customer_budget_id)


NO_RULES = Creation()

_DURATIONS = ("budget_duration", "duration")


def _with_limits(entity: L, limits: LimitSet) -> L:
    """Return the entity with limits where it has none; a budget and its duration each by itself."""
    own = entity.limits
    found = replace(
        own.or_else(limits),
        budget_duration=own.budget_duration or limits.budget_duration,
        calendar_timezone=own.calendar_timezone,
    )
    return replace(entity, limits=found)


def _sizes(key: Key) -> list[tuple[str, int | str | None]]:
    limits = key.limits
    return [
        ("max_budget", limits.max_budget_nanousd),
        ("budget_duration", limits.budget_duration),
        *((name, limits.amount(name)) for name in KINDS),
        ("duration", key.lifetime),
    ]


def _length(value: int | str) -> int:
    return parse_duration(value).length_us if isinstance(value, str) else value


def _shown(name: str, value: int | str | None) -> object:
    return dollars_of(value) if name == "max_budget" and isinstance(value, int) else value
