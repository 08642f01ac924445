"""Which accounts a request is charged to, in the order in which a refusal names them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from msgspec import Struct, structs

from tollgate.core.callers.access import AllowedModels, covers
from tollgate.core.callers.dimensions import UNBOUNDED_CUSTOMERS, Dimension
from tollgate.core.callers.inherit import with_budget
from tollgate.core.callers.scopes import KINDS_OF, Limited, scope_from
from tollgate.core.callers.share_names import divided
from tollgate.core.entities import (
    NO_LIMITS,
    Budget,
    Customer,
    Key,
    LimitSet,
    Member,
    Organization,
    OrganizationMember,
    Tag,
    Team,
    User,
)
from tollgate.core.limits.accounts import (
    DEFAULT_ORGANIZATION,
    MAX_EXACT,
    Account,
    Accounts,
    Scope,
    ScopeKind,
    accounts_bytes,
)
from tollgate.core.limits.limit import Forever, Recurring, window_us
from tollgate.core.limits.limit_parts import in_part, number_of, organization_in
from tollgate.core.memo import Bounded

PROXY = Scope(ScopeKind.PROXY, "proxy")

LEAST_REMEMBERED_US = 30 * 86_400_000_000
"""How long the store keeps an idle customer whom nobody registered, at least: thirty days."""

FOR_EVER_US = 100 * 365 * 86_400_000_000
"""How long somebody is kept whose limits count for ever."""


class DimensionValue(Struct, frozen=True):
    """A value of a dimension that a request tells; `tag`: as somebody registered it."""

    dimension: str
    id: str
    tag: Tag | None = None


class Caller(Struct, frozen=True):
    """Who asks, and everybody whose limits apply to them.

    No key: the master key, which has no limits of its own. `unregistered`: scopes of a verified
    identity that are those of nobody registered, so that the store forgets them when they are idle.
    `customer_budget`: the one that the configuration gives to customers.
    """

    key: Key | None = None
    team: Team | None = None
    member: Member | None = None
    user: User | None = None
    customer_id: str | None = None
    customer: Customer | None = None
    organization: Organization | None = None
    organization_member: OrganizationMember | None = None
    values: tuple[DimensionValue, ...] = ()
    unregistered: frozenset[ScopeKind] = frozenset()
    customer_budget: Budget | None = None

    @property
    def place(self) -> str:
        """The organization in whose place the key's counters, holds and ledger are."""
        return self.key.place if self.key else DEFAULT_ORGANIZATION

    @property
    def models(self) -> AllowedModels:
        """The lists of models that must all allow what is asked for."""
        return AllowedModels(
            key=self.key.models if self.key else (),
            team=self.team.models if self.team else (),
            user=self.user.models if self.user else (),
            member=self.member.models if self.member else (),
            customer=self.customer.models if self.customer else (),
            organization=self.organization.models if self.organization else (),
            tags=tuple(each.tag.models for each in self.values if each.tag is not None),
        )


Upstream = tuple[tuple[Scope, LimitSet], ...]
"""The scopes that a call belongs to because of what serves it, with their limits."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits that the configuration gives: to the whole proxy, to each customer that has none of
    its own, and to values of dimensions. Without `enforce` all limits of all scopes are in shadow
    mode. `defaults`: limits of each entity of a kind of scope that has none of that meter and
    window. `upstreams`: by a deployment's id, its own limits and those of its provider; deployments
    without any are left out. `customers`: the headers that name them, and how many that nobody
    registered are told apart. `customer_budget_id`: the budget of each customer that has no
    limits of its own.
    """

    proxy: LimitSet = NO_LIMITS
    customer: LimitSet = NO_LIMITS
    dimensions: tuple[Dimension, ...] = ()
    enforce: bool = True
    defaults: Mapping[str, LimitSet] = field(default_factory=dict)
    upstreams: Mapping[str, Upstream] = field(default_factory=dict)
    customers: Dimension = UNBOUNDED_CUSTOMERS
    customer_budget_id: str | None = None

    def has_budget(self, caller: Caller, model: str) -> bool:
        """Whether some budget applies to a caller's calls of a model."""
        return any(limits.has_budget for _, limits in scopes_of(caller, self, model))


def accounts(
    caller: Caller,
    policy: Policy,
    model: str,
    now_us: int,
    *,
    tokens: bool,
    money: bool,
    deployment: str = "",
) -> Accounts:
    """Every account of a caller's calls of a model.

    Those that can refuse come first, the caller's before the deployment's; after them what is only
    counted.

    `tokens`, `money`: whether the calls use any; what they do not use does not limit them.
    `deployment`: the id of the one that serves them, if it is known.
    """
    found = [
        _account(scope, limits, policy, now_us, tokens, money)
        for scope, limits in scopes_of(caller, policy, model)
    ]
    for scope, limits in policy.upstreams.get(deployment, ()):
        whole = _account(scope, limits, policy, now_us, tokens, money)
        quotas = divided(whole.limits, limits, caller.key, caller.team)
        found.append(structs.replace(whole, limits=quotas))
    organization = caller.organization
    if organization is not None and organization.shards > 1:
        found = [
            _in_part(each, organization, caller.place)
            if each.scope.kind == ScopeKind.ORGANIZATION
            else each
            for each in found
        ]
    if caller.customer_id is not None and caller.customer is None:
        given = [policy.customer]
        if (budget := caller.customer_budget) is not None:
            given += [budget.limits, *(each.limits for each in budget.model_limits)]
        found = [
            _forgotten(each, *given) if each.scope.kind == ScopeKind.CUSTOMER else each
            for each in found
        ]
    if caller.unregistered:
        found = [
            _forgotten(each, policy.defaults.get(each.scope.kind, NO_LIMITS))
            if each.scope.kind in caller.unregistered
            else each
            for each in found
        ]
    if caller.values:
        found = [_remembered(each, caller, policy) for each in found]
    return (
        *(each for each in found if each.limited),
        *(each for each in found if not each.limited),
    )


class KnownAccounts:
    """Accounts by caller, as long as they hold: building them costs more than all else of a
    decision, and who asks once asks again.

    Callers do not change: one of whom anything was changed is another object, so they are told
    apart by identity. There are as many as there is room for.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._known: Bounded[tuple[int, str, str, bool, bool], _Known] = Bounded()

    def find(
        self,
        caller: Caller,
        model: str,
        now_us: int,
        *,
        tokens: bool,
        money: bool,
        deployment: str = "",
    ) -> Accounts:
        """As `accounts`: the same object while nothing has changed."""
        if deployment not in self._policy.upstreams:
            deployment = ""
        name = (id(caller), model, deployment, tokens, money)
        known = self._known.get(name)
        if known is not None and known.since_us <= now_us < known.until_us:
            return known.accounts
        found = accounts(
            caller,
            self._policy,
            model,
            now_us,
            tokens=tokens,
            money=money,
            deployment=deployment,
        )
        periods = [
            period
            for each in found
            for period in (each.period, *[quota.period for quota in each.limits])
            if period.end_us
        ]
        since_us = max((each.start_us for each in periods), default=0)
        raises = [quota.raised_until_us for each in found for quota in each.limits if quota.raised]
        until_us = min((*[each.end_us for each in periods], *raises), default=MAX_EXACT)
        # The caller is kept with them, so that nobody else gets its identity.
        self._known.put(name, _Known(caller, since_us, until_us, found), accounts_bytes(found))
        return found


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    since_us: int
    until_us: int
    accounts: Accounts


def _forgotten(account: Account, *limits: LimitSet) -> Account:
    """Return the account of somebody whom nobody registered, to be forgotten when idle, if no limit
    counts for ever.
    """
    if not any(each.limited for each in limits):
        return structs.replace(account, passing=True)
    longest_us = max(map(remembered_us, limits))
    if longest_us == FOR_EVER_US:
        return account
    return structs.replace(account, remember_ms=longest_us // 1000)


def remembered_us(limits: LimitSet) -> int:
    """Return how long the store keeps somebody idle whom nobody registered, by their limits."""
    windows = [each.window for each in limits.limits]
    if limits.max_budget_nanousd is not None:
        duration = limits.budget_duration
        windows.append(Forever() if duration is None else Recurring(duration))
    if any(isinstance(each, Forever) for each in windows):
        return FOR_EVER_US
    return max([LEAST_REMEMBERED_US, *map(window_us, windows)])


def _in_part(account: Account, organization: Organization, place: str) -> Account:
    """Return the account of an organization in the part of a caller's place.

    Of a caller from elsewhere, as a team that came from another organization, it is the first.
    """
    number = number_of(place) if organization_in(place) == organization.id else 0
    if number >= organization.shards:
        number = 0
    return in_part(account, organization.id, number, organization.shards, place)


def _account(
    scope: Scope, limits: LimitSet, policy: Policy, now_us: int, tokens: bool, money: bool
) -> Account:
    if not policy.enforce:
        limits = replace(limits, shadow=True)
    quotas = limits.in_force(now_us, tokens=tokens, money=money)
    return Account(scope, quotas, limits.spend_period(now_us))


def scopes_of(
    caller: Caller, policy: Policy, model: str | None = None
) -> Iterator[tuple[Scope, LimitSet]]:
    """Yield every scope that a request for a model belongs to, with its limits.

    An entity narrowed to the model follows the entity; without a model, to each that it names.
    """
    yield PROXY, policy.proxy
    defaults, place = policy.defaults, caller.place
    if defaults:
        caller = _with_defaults(caller, defaults)
    if organization := caller.organization:
        yield from _narrowed(
            scope_from(organization, organization.place, place), organization, model
        )
    if employee := caller.organization_member:
        yield from _narrowed(scope_from(employee, employee.place, place), employee, model)
    if team := caller.team:
        yield from _narrowed(scope_from(team, team.place, place), team, model)
    if member := caller.member:
        team_place = place if team is None else team.place
        yield from _narrowed(scope_from(member, team_place, place), member, model)
    if user := caller.user:
        yield from _narrowed(Scope(ScopeKind.USER, user.id), user, model)
    if caller.customer_id is not None:
        yield from _of_customer(caller.customer_id, caller, policy, model)
    for value in caller.values:
        yield from _of_value(value, caller, policy, model)
    if key := caller.key:
        yield from _narrowed(Scope(ScopeKind.KEY, key.id), key, model)


def _with_defaults(caller: Caller, defaults: Mapping[str, LimitSet]) -> Caller:
    """Return a caller whose entities have the default limits where they have none of their own.

    A key's user and member whom nobody registered have them as well.
    """
    key, user, member = caller.key, caller.user, caller.member
    if key is not None and key.user_id is not None:
        if user is None and ScopeKind.USER in defaults:
            user = User(key.user_id)
        if member is None and key.team_id is not None and ScopeKind.MEMBER in defaults:
            member = Member(key.team_id, key.user_id)
    return structs.replace(
        caller,
        key=_or_default(key, defaults),
        user=_or_default(user, defaults),
        member=_or_default(member, defaults),
        team=_or_default(caller.team, defaults),
        organization=_or_default(caller.organization, defaults),
        organization_member=_or_default(caller.organization_member, defaults),
    )


L = TypeVar("L", Key, User, Member, Team, Organization, OrganizationMember)


def _or_default(entity: L | None, defaults: Mapping[str, LimitSet]) -> L | None:
    if entity is None or (default := defaults.get(KINDS_OF[type(entity)])) is None:
        return entity
    return replace(entity, limits=entity.limits.or_else(default))


def _of_value(
    value: DimensionValue, caller: Caller, policy: Policy, model: str | None
) -> Iterator[tuple[Scope, LimitSet]]:
    """Yield the scopes of a dimension's value: its own limits come before the dimension's, and a
    session's before those are its key's and its team's.
    """
    dimension = _dimension(value, policy)
    tag = value.tag or Tag(value.id)
    limits, narrowed = tag.limits, tag.model_limits
    if value.dimension == ScopeKind.SESSION:
        for entity in (caller.key, caller.team):
            limits = limits if entity is None else limits.or_else(entity.session_limits)
    own = {each.model for each in narrowed}
    narrowed += tuple(each for each in dimension.model_limits if each.model not in own)
    in_effect = replace(tag, limits=limits.or_else(dimension.limits), model_limits=narrowed)
    yield from _narrowed(Scope(value.dimension, value.id), in_effect, model)


def _dimension(value: DimensionValue, policy: Policy) -> Dimension:
    return next(each for each in policy.dimensions if each.name == value.dimension)


def _remembered(account: Account, caller: Caller, policy: Policy) -> Account:
    """Return the account, forgotten when idle if it is of a value that nobody registered."""
    for value in caller.values:
        if account.scope.kind == value.dimension and account.scope.id == value.id:
            if value.tag is None:
                remember_us = _dimension(value, policy).remember_us
                return structs.replace(account, remember_ms=remember_us // 1000)
            break
    return account


def _of_customer(
    customer_id: str, caller: Caller, policy: Policy, model: str | None
) -> Iterator[tuple[Scope, LimitSet]]:
    scope, customer = Scope(ScopeKind.CUSTOMER, customer_id), caller.customer
    if caller.customer_budget is not None:
        customer = with_budget(customer or Customer(customer_id), caller.customer_budget)
    if customer is None:
        yield scope, policy.customer
    else:
        in_effect = replace(customer, limits=customer.limits.or_else(policy.customer))
        yield from _narrowed(scope, in_effect, model)


def _narrowed(scope: Scope, entity: Limited, model: str | None) -> Iterator[tuple[Scope, LimitSet]]:
    yield scope, entity.limits
    for each in entity.model_limits:
        if model is None or each.model == model or covers(each.model, model):
            yield scope.narrowed(each.model), each.limits
