"""What was spent on what: the ledger, the proxy's own total, what a call would cost. And which models there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from tollgate.core.access import AllowedModels, Model
from tollgate.core.catalog import Catalog
from tollgate.core.duration import period_at
from tollgate.core.entities import DEFAULT_ORGANIZATION, Account, Deployment, Scope, ScopeKind, Spend, Usage
from tollgate.core.errors import BadRequest
from tollgate.core.people import Key, LimitSet, Member, Team
from tollgate.core.pricing import Price, cost_nanousd
from tollgate.management.callers import Caller, Holder
from tollgate.management.explain import Explanations
from tollgate.ports import Clock, Counters, Ledger, Registry, Settled, entity_of

MOST_RECORDS = 10_000  # LiteLLM's bound too: this is for looking at, not for accounting
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which records of the ledger. Days are whole days of UTC, the last one included."""

    key_id: str | None = None
    user_id: str | None = None
    request_id: str | None = None
    first_day: date | None = None
    last_day: date | None = None
    organization: str = DEFAULT_ORGANIZATION


@dataclass(frozen=True, slots=True)
class DaySum:
    """What was spent on one day, in nano-dollars: in all, by model, by user."""

    day: date
    total: int
    by_model: dict[str, int]
    by_user: dict[str, int]


class Reports:
    """Reads; changes nothing. `proxy` are the limits that the configuration gives the whole proxy."""

    def __init__(
        self,
        registry: Registry,
        counters: Counters,
        ledger: Ledger,
        catalog: Catalog,
        clock: Clock,
        proxy: LimitSet,
    ) -> None:
        self._registry = registry
        self._counters = counters
        self._ledger = ledger
        self.explanations = Explanations(ledger)
        self._clock = clock
        self.catalog = catalog
        self.proxy = proxy

    async def records(self, query: LogQuery) -> list[Settled]:
        """Records of the ledger, newest first, at most MOST_RECORDS of those looked at."""
        since_us = 0 if query.first_day is None else _midnight_us(query.first_day)
        until_us = self._clock.now_us() if query.last_day is None else _midnight_us(query.last_day + _DAY) - 1
        found = await self._ledger.records(query.organization, since_us, until_us, MOST_RECORDS)
        return [each for each in found if _fits(each, query)]

    async def proxy_spend(self) -> Spend:
        """What the whole proxy has spent in its current period."""
        limits = self.proxy
        period = period_at(
            limits.budget_duration, limits.budget_since_us, self._clock.now_us(), limits.calendar_timezone
        )
        account = Account(Scope(ScopeKind.PROXY, "proxy"), period=period)
        (spend,) = await self._counters.spend(DEFAULT_ORGANIZATION, (account,))
        return spend

    def cost(self, model: str, usage: Usage) -> int:
        """What a call of a model would cost, in nano-dollars. Raises BadRequest when nobody knows."""
        deployments = self.catalog.by_name.get(model, ())
        prices = [price for each in deployments if (price := self.catalog.price(each.id)) is not None]
        if not prices:
            known = "has no price" if deployments else "is not a model of this proxy"
            raise BadRequest(f"{model} {known}", "model")
        # Several deployments may serve the name; what admission holds is the dearest.
        return max(cost_nanousd(usage, price) for price in prices)

    async def models(self, caller: Caller) -> list[tuple[Model, Deployment]]:
        """The models that a caller may use, each with its first deployment."""
        models = [model for name in self.catalog.by_name if (model := self.catalog.model(name)) is not None]
        if isinstance(caller, Holder):
            models = (await self._allowed(caller.key, caller)).usable(models)
        return [(model, self.catalog.by_name[model.name][0]) for model in models]

    def deployments(self) -> Sequence[tuple[Deployment, Price | None]]:
        """All deployments, with their prices."""
        return [(each, self.catalog.price(each.id)) for each in self.catalog.by_id.values()]

    async def _allowed(self, key: Key, caller: Holder) -> AllowedModels:
        team = member = None
        if key.team_id is not None:
            (stored,) = await self._registry.get(Team, [key.team_id])
            team = entity_of(stored)
        if key.team_id is not None and key.user_id is not None:
            (found,) = await self._registry.get(Member, [f"{key.team_id}/{key.user_id}"])
            member = entity_of(found)
        return AllowedModels(
            key=key.models,
            team=team.models if team else (),
            user=caller.user.models if caller.user else (),
            member=member.models if member else (),
        )


def by_day(records: Sequence[Settled]) -> list[DaySum]:
    """Records summed up by day, newest first."""
    totals: defaultdict[date, int] = defaultdict(int)
    by_model: defaultdict[date, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    by_user: defaultdict[date, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for each in records:
        day, cost = datetime.fromtimestamp(each.record.admitted_us / 1_000_000, UTC).date(), each.record.cost_nanousd
        totals[day] += cost
        by_model[day][each.record.model] += cost
        if (user := find_payer(each, ScopeKind.USER)) is not None:
            by_user[day][user] += cost
    return [DaySum(day, total, dict(by_model[day]), dict(by_user[day])) for day, total in sorted(totals.items())[::-1]]


def find_payer(settled: Settled, kind: ScopeKind) -> str | None:
    """The id of the entity of a kind that a record was charged to, if there was one."""
    prefix = f"{kind.value}:"
    return next((each.removeprefix(prefix) for each in settled.record.scopes if each.startswith(prefix)), None)


def _fits(settled: Settled, query: LogQuery) -> bool:
    return (
        (query.request_id is None or settled.record.id == query.request_id)
        and (query.key_id is None or find_payer(settled, ScopeKind.KEY) == query.key_id)
        and (query.user_id is None or find_payer(settled, ScopeKind.USER) == query.user_id)
    )


def _midnight_us(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000
