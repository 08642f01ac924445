"""Which limits apply to a request, as charges in the order in which a refusal names them (design: rules of admission, 1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tollgate.core.access import AllowedModels
from tollgate.core.duration import period_at
from tollgate.core.entities import FOREVER, Charge, LimitKind, Scope, ScopeKind
from tollgate.core.people import NO_LIMITS, Customer, Key, LimitSet, Member, ModelLimits, Team, User


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and everybody whose limits apply to them. No key: the master key, which has no limits of its own."""

    key: Key | None = None
    team: Team | None = None
    member: Member | None = None
    user: User | None = None
    customer_id: str | None = None
    customer: Customer | None = None

    @property
    def organization(self) -> str | None:
        """Whose counters the request touches."""
        return self.key.organization if self.key else None

    @property
    def models(self) -> AllowedModels:
        """The lists of models that must all allow what is asked for."""
        return AllowedModels(
            key=self.key.models if self.key else (),
            team=self.team.models if self.team else (),
            user=self.user.models if self.user else (),
            member=self.member.models if self.member else (),
            customer=self.customer.models if self.customer else (),
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits that the configuration gives: to the whole proxy, and to each customer that has none of its own."""

    proxy: LimitSet = NO_LIMITS
    customer: LimitSet = NO_LIMITS

    def has_budget(self, caller: Caller, model: str) -> bool:
        """Whether some budget applies to a caller's calls of a model."""
        return any(limits.max_budget_nanousd is not None for _, limits in _scopes(caller, self, model))


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a request may use. `guessed`: the request names no output limit, so the output is a configured default.
    `checks_budgets` is false for models that cost nothing."""

    input_tokens: int
    output_tokens: int
    cost_nanousd: int
    guessed: bool = False
    checks_budgets: bool = True

    def tokens_within(self, limit: int) -> int:
        """What to hold of a token limit. A lone request meets an untouched bucket and passes, however small the bucket is; and
        a guess takes a quarter of it at most, or else a small limit would serve one call at a time."""
        output = min(self.output_tokens, limit // 4) if self.guessed else self.output_tokens
        return max(1, min(self.input_tokens + output, limit))


def charges(caller: Caller, policy: Policy, model: str, estimate: Estimate, now_us: int) -> tuple[Charge, ...]:
    """Every charge of a request. Those that can refuse come first; after them what is only counted: the spend of each scope."""
    limited: list[Charge] = []
    counted: list[Charge] = []
    for scope, limits in _scopes(caller, policy, model):
        limited += _rates(scope, limits, estimate)
        budget = limits.max_budget_nanousd if estimate.checks_budgets else None
        period = FOREVER
        if limits.budget_duration is not None:
            period = period_at(limits.budget_duration, limits.budget_since_us, now_us, limits.calendar_timezone)
        charge = Charge(LimitKind.BUDGET, scope, budget, estimate.cost_nanousd, period)
        (counted if budget is None else limited).append(charge)
    return (*limited, *counted)


def _rates(scope: Scope, limits: LimitSet, estimate: Estimate) -> Iterator[Charge]:
    if limits.rpm is not None:
        yield Charge(LimitKind.REQUESTS, scope, limits.rpm, 1)
    if limits.tpm is not None:
        yield Charge(LimitKind.TOKENS, scope, limits.tpm, estimate.tokens_within(limits.tpm))
    if limits.parallel is not None:
        yield Charge(LimitKind.PARALLEL, scope, limits.parallel, 1)


def _scopes(caller: Caller, policy: Policy, model: str) -> Iterator[tuple[Scope, LimitSet]]:
    """Every scope that the request belongs to, with its limits. An entity narrowed to the model follows the entity."""
    yield Scope(ScopeKind.PROXY, "proxy"), policy.proxy
    if team := caller.team:
        yield from _entity(ScopeKind.TEAM, team.id, team.limits, team.model_limits, model)
    if member := caller.member:
        yield Scope(ScopeKind.MEMBER, member.id), member.limits
    if user := caller.user:
        yield from _entity(ScopeKind.USER, user.id, user.limits, user.model_limits, model)
    if caller.customer_id is not None:
        if customer := caller.customer:
            limits = customer.limits.or_else(policy.customer)
            yield from _entity(ScopeKind.CUSTOMER, customer.id, limits, customer.model_limits, model)
        else:
            yield Scope(ScopeKind.CUSTOMER, caller.customer_id), policy.customer
    if key := caller.key:
        yield from _entity(ScopeKind.KEY, key.id, key.limits, key.model_limits, model)


def _entity(
    kind: ScopeKind, identity: str, limits: LimitSet, narrowed: tuple[ModelLimits, ...], model: str
) -> Iterator[tuple[Scope, LimitSet]]:
    yield Scope(kind, identity), limits
    for each in narrowed:
        if each.model == model:
            yield Scope(kind, identity, model), each.limits
