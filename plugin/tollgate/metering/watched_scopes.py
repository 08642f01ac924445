"""Find what is to be told of the limits of a scope."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tollgate.core.callers.identity import find_derived_key
from tollgate.core.callers.rules import Caller, DimensionValue, Policy, scopes_of
from tollgate.core.entities import (
    Customer,
    Key,
    LimitSet,
    Member,
    Organization,
    Tag,
    Team,
    User,
)
from tollgate.core.limits.accounts import UPSTREAM, Scope, ScopeKind
from tollgate.ports import Directory


@dataclass(frozen=True, slots=True)
class AlertTerms:
    """What the configuration says: limits by policy, at which thousandths of a budget
    (`max_budget`) an alert is told, and whether one is for a budget that will be spent too early.
    """

    policy: Policy
    budgets_at: tuple[int, ...]
    projected: bool = False


@dataclass(frozen=True, slots=True)
class WatchedScope:
    """The limits of a scope, in all or for one model, and who belongs to it."""

    limits: LimitSet
    soft_budget_nanousd: int | None
    caller: Caller


class WatchedScopes:
    """Looks scopes up in the directory, which holds them in memory. `terms` may change.

    The limits are those that admission goes by: what the configuration, a budget or a team gives
    to somebody without limits of their own is told as well.
    """

    def __init__(self, directory: Directory, terms: AlertTerms) -> None:
        self._directory = directory
        self.terms = terms
        self._callers: dict[str, Callable[[str], Awaitable[Caller | None]]] = {
            ScopeKind.PROXY: self._nobody,
            ScopeKind.ORGANIZATION: self._of_organization,
            ScopeKind.ORGANIZATION_MEMBER: self._of_organization_member,
            ScopeKind.TEAM: self._of_team,
            ScopeKind.MEMBER: self._of_member,
            ScopeKind.USER: self._of_user,
            ScopeKind.CUSTOMER: self._of_customer,
            ScopeKind.KEY: self._of_key,
        }

    async def find(self, scope: Scope, key_id: str = "") -> WatchedScope | None:
        """Return the limits of a scope; None: nobody is registered there.

        `key_id`: of a session, whose limits are those that its key and its team give.
        """
        if scope.kind in UPSTREAM:
            return self._find_upstream(scope)
        find_caller = self._callers.get(scope.kind)
        if find_caller is not None:
            caller = await find_caller(scope.id)
        else:
            caller = await self._of_value(scope, key_id)
        if caller is None:
            return None
        place = scope.kind, scope.id, scope.model
        for each, limits in scopes_of(caller, self.terms.policy):
            if (each.kind, each.id, each.model) == place:
                return WatchedScope(limits, _soft_budget(caller, scope), caller)
        return None

    def _find_upstream(self, scope: Scope) -> WatchedScope | None:
        """Return the limits of a deployment or a provider."""
        every = (each for several in self.terms.policy.upstreams.values() for each in several)
        limits = next((limits for served, limits in every if served == scope), None)
        return None if limits is None else WatchedScope(limits, None, Caller())

    async def _nobody(self, _: str) -> Caller:
        return Caller()

    async def _of_organization(self, name: str) -> Caller:
        return Caller(organization=await self._find_organization(name))

    async def _find_organization(self, name: str) -> Organization:
        return await self._directory.find_organization(name) or Organization(name)

    async def _of_organization_member(self, name: str) -> Caller | None:
        organization, _, user_id = name.partition("/")
        found = await self._directory.find_organization_member(organization, user_id)
        if found is None:
            return None
        return Caller(
            organization=await self._find_organization(organization),
            organization_member=found,
            user=await self._directory.find_user(user_id),
        )

    async def _of_team(self, name: str) -> Caller:
        return Caller(team=await self._directory.find_team(name) or Team(name))

    async def _of_member(self, name: str) -> Caller:
        team_id, _, user_id = name.partition("/")
        found = await self._directory.find_member(team_id, user_id)
        return Caller(
            team=await self._directory.find_team(team_id) or Team(team_id),
            member=found or Member(team_id, user_id),
            user=await self._directory.find_user(user_id),
        )

    async def _of_user(self, name: str) -> Caller:
        return Caller(user=await self._directory.find_user(name) or User(name))

    async def _of_customer(self, name: str) -> Caller:
        budget_id, budget = self.terms.policy.customer_budget_id, None
        if budget_id is not None:
            budget = await self._directory.find_budget(budget_id)
        customer = await self._directory.find_customer(name)
        return Caller(customer_id=name, customer=customer, customer_budget=budget)

    async def _of_key(self, name: str) -> Caller | None:
        found = find_derived_key(name) or await self._directory.find_key_of_id(name)
        if found is None:
            return None
        team = user = None
        if found.team_id is not None:
            team = await self._directory.find_team(found.team_id)
        if found.user_id is not None:
            user = await self._directory.find_user(found.user_id)
        return Caller(found, team, user=user)

    async def _of_value(self, scope: Scope, key_id: str) -> Caller | None:
        """Return who is behind a value of a dimension; None: the dimension is declared no more."""
        if scope.kind not in {each.name for each in self.terms.policy.dimensions}:
            return None
        tag = None
        if scope.kind == ScopeKind.TAG:
            tag = await self._directory.find_tag(scope.id)
        caller = (await self._of_key(key_id) if key_id else None) or Caller()
        value = DimensionValue(scope.kind, scope.id, tag)
        return Caller(caller.key, caller.team, user=caller.user, values=(value,))


def _soft_budget(caller: Caller, scope: Scope) -> int | None:
    """Return the soft budget of a scope, which is of all models together."""
    if scope.model is not None:
        return None
    found: Key | Team | Customer | Organization | Tag | None = None
    match scope.kind:
        case ScopeKind.KEY:
            found = caller.key
        case ScopeKind.TEAM:
            found = caller.team
        case ScopeKind.CUSTOMER:
            found = caller.customer
        case ScopeKind.ORGANIZATION:
            found = caller.organization
        case ScopeKind.TAG:
            found = caller.values[0].tag
    return None if found is None else found.soft_budget_nanousd
