"""Where limits stand: of entities, and of all scopes that a key's calls meet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from msgspec import structs

from tollgate.core.callers.inherit import find_member_of, with_budget
from tollgate.core.callers.rules import Caller, Policy, Upstream, scopes_of
from tollgate.core.callers.scope_names import scope_name
from tollgate.core.callers.scopes import Limited, scope_of
from tollgate.core.callers.share_names import divided
from tollgate.core.entities import (
    BUDGETED,
    Budget,
    Key,
    LimitSet,
    Member,
    Organization,
    OrganizationMember,
    Team,
    User,
)
from tollgate.core.limits import bucket, shared_bucket
from tollgate.core.limits.accounts import (
    DEFAULT_ORGANIZATION,
    Account,
    Balance,
    Quota,
    Scope,
    ScopeKind,
    amounts_are_confidential,
)
from tollgate.core.limits.algorithms import algorithm_of, settled_and_held
from tollgate.core.limits.limit_parts import expanded, folded
from tollgate.core.requests.catalog import Catalog
from tollgate.ports import Clock, Counters, Registry, entity_of


@dataclass(frozen=True, slots=True)
class Level:
    """Where one limit of a scope stands, in whole units of its meter; dollars are nano-dollars.

    `used` includes `held`, which calls in flight set aside. `resets_us`: when nothing will be used
    any more, if nobody calls; None: never, or when the calls in flight end.
    """

    scope: Scope
    quota: Quota
    used: int
    held: int
    remaining: int
    resets_us: int | None

    @property
    def amount(self) -> int:
        """The limit; of a share what can be used at once."""
        return self.quota.amount if self.quota.share is None else shared_bucket.at_once(self.quota)

    @property
    def share(self) -> float:
        """How much of the limit is used, from 0 to 1."""
        if self.amount == 0:
            return 1.0
        return min(1.0, max(0.0, self.used / self.amount))

    @property
    def is_used_up(self) -> bool:
        """Whether it refuses the next call."""
        return self.remaining <= 0


@dataclass(frozen=True, slots=True)
class MetLevel:
    """Where a limit stands that a key's calls meet, and how its scope is called."""

    level: Level
    scope_name: str

    @property
    def is_confidential(self) -> bool:
        """Whether its amounts are not told to holders of keys. The caller's share of a limit is
        the caller's.
        """
        quota = self.level.quota
        hidden = amounts_are_confidential(self.level.scope.kind, quota.meter)
        return hidden and not shared_bucket.is_own_share(quota)


class Levels:
    """Reads where limits stand. `policy`: those that the configuration gives; `catalog`: which
    deployments serve the models that a key may use.
    """

    def __init__(
        self,
        registry: Registry,
        counters: Counters,
        clock: Clock,
        policy: Policy,
        catalog: Catalog,
    ) -> None:
        self._registry = registry
        self._counters = counters
        self._clock = clock
        self._policy = policy
        self._catalog = catalog

    @property
    def now_us(self) -> int:
        """Return the time that levels are read at."""
        return self._clock.now_us()

    async def of(
        self, entities: Sequence[Limited], organization: str | None = None
    ) -> list[list[Level]]:
        """Return the levels of some entities, in one round trip an organization.

        `organization`: of members, whose team tells it.
        """
        in_effect = await self._with_budgets(entities)
        owned = [(organization or _place(each), _limits(each)) for each in in_effect]
        return await self._read(
            owned, [each for each in in_effect if isinstance(each, Organization)]
        )

    async def of_key(self, key: Key) -> list[MetLevel]:
        """Return the levels of all scopes that calls of a key meet, the widest first; then those of
        the deployments that may serve them, and of their providers.
        """
        caller = await self._caller_of(key)
        limits = [
            (scope, each if self._policy.enforce else replace(each, shadow=True))
            for scope, each in (
                *scopes_of(caller, self._policy),
                *self._upstreams_of(caller),
            )
        ]
        own = [] if caller.organization is None else [caller.organization]
        (found,) = await self._read([(caller.place, limits)], own, caller)
        return [MetLevel(each, scope_name(caller, each.scope)) for each in found]

    def _upstreams_of(self, caller: Caller) -> Upstream:
        """Return the scopes of the deployments that may serve a caller."""
        if not self._policy.upstreams:
            return ()
        allowed, catalog = caller.models, self._catalog
        found = {
            scope: limits
            for name, model in catalog.models.items()
            if allowed.refused_by(model) is None
            for deployment in catalog.deployments(name)
            for scope, limits in self._policy.upstreams.get(deployment.id, ())
        }
        return tuple(sorted(found.items(), key=lambda each: each[0].kind != ScopeKind.PROVIDER))

    async def _read(
        self,
        owned: Sequence[tuple[str, list[tuple[Scope, LimitSet]]]],
        organizations: Sequence[Organization],
        caller: Caller = Caller(),  # noqa: B008 - frozen
    ) -> list[list[Level]]:
        """Return the levels of limits that each belong to somebody of an organization.

        `organizations`: those among them, which may be counted in parts. `caller`: whose shares of
        limits are told.
        """
        now_us = self._clock.now_us()
        split = {each.id: each.shards for each in organizations if each.shards > 1}
        accounts: defaultdict[str, list[tuple[int, Account]]] = defaultdict(list)
        for number, (organization, limits) in enumerate(owned):
            for scope, each in limits:
                quotas = each.in_force(now_us, tokens=True, money=True)
                quotas = divided(quotas, each, caller.key, caller.team)
                if quotas:
                    account = Account(scope, quotas, each.spend_period(now_us))
                    if scope.kind == ScopeKind.ORGANIZATION and scope.id in split:
                        account = structs.replace(account, parts=split[scope.id])
                    accounts[organization].append((number, account))
        found: list[list[Level]] = [[] for _ in owned]
        for organization, numbered in accounts.items():
            several = [account for _, account in numbered]
            standing = await self._counters.peek(organization, expanded(several, organization))
            balances = folded(several, standing.balances)
            for (number, account), balance in zip(numbered, balances, strict=True):
                found[number] += levels_of(account, balance, standing.now_us)
        return found

    async def _with_budgets(self, entities: Sequence[Limited]) -> list[Limited]:
        """Return the entities with the limits that they have in effect."""
        names = sorted({name for each in entities if (name := _budget_id(each)) is not None})
        stored = await self._registry.get(Budget, names) if names else []
        budgets = {name: entity_of(each) for name, each in zip(names, stored, strict=True)}
        return [
            with_budget(each, budgets[each.budget_id])
            if isinstance(each, BUDGETED) and each.budget_id is not None
            else each
            for each in entities
        ]

    async def _caller_of(self, key: Key) -> Caller:
        """Return a key with all whose limits apply to its calls."""
        user = team = member = organization = employee = None
        if key.user_id is not None:
            user = entity_of((await self._registry.get(User, [key.user_id]))[0])
        if key.team_id is not None:
            team = entity_of((await self._registry.get(Team, [key.team_id]))[0])
        if key.team_id is not None and key.user_id is not None:
            (stored,) = await self._registry.get(Member, [f"{key.team_id}/{key.user_id}"])
            member = find_member_of(team, entity_of(stored), key.user_id)
        name = key.organization if team is None else team.organization
        if name != DEFAULT_ORGANIZATION:
            organization = entity_of((await self._registry.get(Organization, [name]))[0])
            if key.user_id is not None:
                place = f"{name}/{key.user_id}"
                employee = entity_of((await self._registry.get(OrganizationMember, [place]))[0])
        budgeted: list[Any] = await self._with_budgets([key, *filter(None, [organization])])
        return Caller(
            budgeted[0],
            team,
            member,
            user,
            organization=budgeted[1] if organization else None,
            organization_member=employee,
        )


def _limits(entity: Limited) -> list[tuple[Scope, LimitSet]]:
    """Return the limits of an entity, in all and of single models."""
    scope = scope_of(entity)
    found = [(scope, entity.limits)]
    found += [(scope.narrowed(each.model), each.limits) for each in entity.model_limits]
    return found


def levels_of(account: Account, balance: Balance, now_us: int) -> Iterable[Level]:
    """Yield where each limit of an account stands."""
    for number in range(len(account.limits)):
        quota = account.limit(number)
        used, held = balance.used[number], balance.held[number]
        remaining = algorithm_of(quota).remaining(quota, used, held)
        resets_us = quota.period.end_us or None
        if quota.share is not None:
            resets_us = now_us + shared_bucket.reset_ms(quota, used) * 1000
        elif quota.seconds:
            resets_us = now_us + bucket.reset_ms(quota, used) * 1000
        settled, held = settled_and_held(quota, used, held)
        yield Level(account.scope, quota, settled + held, held, remaining, resets_us)


def _budget_id(entity: Limited) -> str | None:
    return entity.budget_id if isinstance(entity, BUDGETED) else None


def _place(entity: Limited) -> str:
    return DEFAULT_ORGANIZATION if isinstance(entity, Member) else entity.place
