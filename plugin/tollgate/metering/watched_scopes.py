"""Find what is to be told of the limits of a scope."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tollgate.core.callers.rules import Caller, Policy
from tollgate.core.entities import (
    NO_LIMITS,
    Customer,
    Key,
    LimitSet,
    ModelLimits,
    Organization,
    Team,
)
from tollgate.core.limits.accounts import Scope, ScopeKind
from tollgate.ports import Directory


@dataclass(frozen=True, slots=True)
class AlertTerms:
    """What the configuration says: limits by policy, and at which thousandths of a budget
    (`max_budget`) an alert is told.
    """

    policy: Policy
    budgets_at: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WatchedScope:
    """The limits of a scope, in all or for one model, and who belongs to it."""

    limits: LimitSet
    soft_budget_nanousd: int | None
    caller: Caller


class WatchedScopes:
    """Looks scopes up in the directory, which holds them in memory. `terms` may change."""

    def __init__(self, directory: Directory, terms: AlertTerms) -> None:
        self._directory = directory
        self.terms = terms
        self._finders: dict[str, Callable[[Scope], Awaitable[WatchedScope | None]]] = {
            ScopeKind.PROXY: self._proxy,
            ScopeKind.ORGANIZATION: self._organization,
            ScopeKind.TEAM: self._team,
            ScopeKind.MEMBER: self._member,
            ScopeKind.USER: self._user,
            ScopeKind.CUSTOMER: self._customer,
            ScopeKind.KEY: self._key,
            ScopeKind.PROVIDER: self._upstream,
            ScopeKind.DEPLOYMENT: self._upstream,
        }

    async def find(self, scope: Scope) -> WatchedScope | None:
        """Return the limits of a scope; None: nobody is registered there."""
        finder = self._finders.get(scope.kind)
        return None if finder is None else await finder(scope)

    async def _proxy(self, _: Scope) -> WatchedScope | None:
        return WatchedScope(self.terms.policy.proxy, None, Caller())

    async def _upstream(self, scope: Scope) -> WatchedScope | None:
        """Return the limits of a deployment or a provider."""
        every = (each for several in self.terms.policy.upstreams.values() for each in several)
        limits = next((limits for served, limits in every if served == scope), None)
        return None if limits is None else WatchedScope(limits, None, Caller())

    async def _organization(self, scope: Scope) -> WatchedScope | None:
        found = await self._directory.find_organization(scope.id)
        if found is None:
            return None
        limits = _limits_of(scope, found.limits, found.model_limits)
        return WatchedScope(limits, _soft(scope, found), Caller(organization=found))

    async def _team(self, scope: Scope) -> WatchedScope | None:
        found = await self._directory.find_team(scope.id)
        if found is None:
            return None
        limits = _limits_of(scope, found.limits, found.model_limits)
        return WatchedScope(limits, _soft(scope, found), Caller(team=found))

    async def _member(self, scope: Scope) -> WatchedScope | None:
        team_id, _, user_id = scope.id.partition("/")
        found = await self._directory.find_member(team_id, user_id)
        if found is None or scope.model is not None:
            return None
        team = await self._directory.find_team(team_id)
        user = await self._directory.find_user(user_id)
        return WatchedScope(found.limits, None, Caller(team=team, member=found, user=user))

    async def _user(self, scope: Scope) -> WatchedScope | None:
        found = await self._directory.find_user(scope.id)
        if found is None:
            return None
        limits = _limits_of(scope, found.limits, found.model_limits)
        return WatchedScope(limits, None, Caller(user=found))

    async def _customer(self, scope: Scope) -> WatchedScope | None:
        found = await self._directory.find_customer(scope.id)
        if found is None:
            return WatchedScope(self.terms.policy.customer, None, Caller(customer_id=scope.id))
        own = found.limits.or_else(self.terms.policy.customer)
        limits = _limits_of(scope, own, found.model_limits)
        caller = Caller(customer_id=scope.id, customer=found)
        return WatchedScope(limits, _soft(scope, found), caller)

    async def _key(self, scope: Scope) -> WatchedScope | None:
        found = await self._directory.find_key(scope.id)
        if found is None:
            return None
        team = user = None
        if found.team_id is not None:
            team = await self._directory.find_team(found.team_id)
        if found.user_id is not None:
            user = await self._directory.find_user(found.user_id)
        limits = _limits_of(scope, found.limits, found.model_limits)
        return WatchedScope(limits, _soft(scope, found), Caller(found, team, user=user))


def _limits_of(scope: Scope, limits: LimitSet, narrowed: tuple[ModelLimits, ...]) -> LimitSet:
    """Return an entity's limits, or those for the model that the scope is narrowed to."""
    if scope.model is None:
        return limits
    return next((each.limits for each in narrowed if each.model == scope.model), NO_LIMITS)


def _soft(scope: Scope, entity: Key | Team | Customer | Organization) -> int | None:
    """Return the soft budget of an entity, which is of all models together."""
    return entity.soft_budget_nanousd if scope.model is None else None
