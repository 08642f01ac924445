"""Report spend from the ledger, the proxy's total, the cost of a call, and the list of models."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from tollgate.core.callers.access import AllowedModels, Model
from tollgate.core.calls.records import scope_ids
from tollgate.core.calls.usage import Usage
from tollgate.core.entities import Key, LimitSet, Member, Team
from tollgate.core.errors import BadRequest, UnknownModel
from tollgate.core.limits.accounts import DEFAULT_ORGANIZATION, Account, Scope, ScopeKind, Spend
from tollgate.core.limits.limit import Limit
from tollgate.core.models.deployment import Deployment
from tollgate.core.models.modes import mode_of
from tollgate.core.models.output_limits import OutputLimits
from tollgate.core.money.billing import cost_nanousd
from tollgate.core.money.pricing import Price
from tollgate.core.requests.catalog import Catalog
from tollgate.core.requests.endpoints import Wire
from tollgate.management.administrators import Caller, Holder
from tollgate.ports import (
    Clock,
    Counters,
    Ledger,
    LedgerPage,
    LedgerQuery,
    Registry,
    Settled,
    entity_of,
)
from tollgate.reporting.replaying import Replayed, replay_ledger

MOST_RECORDS = 10_000  # of one list; sums have no bound


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A deployment and what is known of its model; None if unknown."""

    deployment: Deployment
    price: Price | None
    mode: str
    max_output_tokens: int | None


class Reports:
    """Reads reports and changes nothing.

    `proxy`: limits that the configuration gives the whole proxy. `kept_us`: how long the ledger
    keeps records.
    """

    def __init__(
        self,
        registry: Registry,
        counters: Counters,
        ledger: Ledger,
        catalog: Catalog,
        clock: Clock,
        proxy: LimitSet,
        kept_us: int,
        output_limits: OutputLimits,
    ) -> None:
        self._registry = registry
        self._counters = counters
        self._ledger = ledger
        self._clock = clock
        self._kept_us = kept_us
        self._output_limits = output_limits
        self.catalog = catalog
        self.proxy = proxy

    async def records(
        self, query: LedgerQuery, count: int, cursor: str | None = None
    ) -> LedgerPage:
        """Return records of the ledger, latest first: one part, and the cursor of the next."""
        return await self._ledger.page(query, count, cursor)

    async def replay(self, query: LedgerQuery, limit: Limit, kind: str, since_us: int) -> Replayed:
        """Return what a limit of each scope of a kind would have done to a query's calls."""
        return await replay_ledger(self._ledger, query, limit, kind, since_us)

    async def find_record(self, request_id: str, organization: str | None = None) -> Settled | None:
        """Return the record of a settled request, or None."""
        page = await self._ledger.page(LedgerQuery(organization, request_id=request_id), 1)
        return page.records[0] if page.records else None

    @property
    def complete_from_us(self) -> int:
        """Return the time before which settled records may have been removed."""
        return max(0, self.now_us - self._kept_us)

    @property
    def now_us(self) -> int:
        """Return the time that ages are counted from."""
        return self._clock.now_us()

    @property
    def today(self) -> date:
        """Return the current UTC day."""
        return datetime.fromtimestamp(self.now_us // 1_000_000, UTC).date()

    async def proxy_spend(self) -> Spend:
        """Return what the whole proxy has spent in its current period."""
        period = self.proxy.spend_period(self._clock.now_us())
        account = Account(Scope(ScopeKind.PROXY, "proxy"), period=period)
        (spend,) = await self._counters.spend(DEFAULT_ORGANIZATION, (account,))
        return spend

    def cost(self, model: str, usage: Usage) -> int:
        """Return what a call of a model would cost, in nano-dollars.

        Raises BadRequest if no price is known, or if it is of pictures, which no usage tells.
        """
        known_as = self.catalog.model(model)
        deployments = () if known_as is None else self.catalog.deployments(known_as.name)
        prices = [
            price
            for each in deployments
            if (price := self.catalog.price(each.id, each.model_name)) is not None
        ]
        if not prices:
            known = "has no price" if deployments else "is not a model of this proxy"
            raise BadRequest(f"{model} {known}", "model")
        if any(each.by_picture for each in prices):
            raise BadRequest(f"{model} is priced by the picture, not by what is used", "model")
        # Of several deployments, admission holds the price of the most expensive.
        return max(cost_nanousd(usage, price) for price in prices)

    async def models(
        self, caller: Caller, wire: Wire | None = None
    ) -> list[tuple[Model, Deployment]]:
        """Return the models that a caller may use on a wire's paths (None: any), with their first
        deployments.
        """
        allowed = (
            await self._allowed(caller.key, caller)
            if isinstance(caller, Holder)
            else AllowedModels()
        )
        found = (
            (replace(model, name=name), self.catalog.choose(model.name, wire, draw=0))
            for name, model in self.catalog.listed()
            if allowed.refused_by(model) is None
        )
        return [(model, deployment) for model, deployment in found if deployment is not None]

    async def model(
        self, caller: Caller, name: str, wire: Wire | None = None
    ) -> tuple[Model, Deployment]:
        """Return one model that the caller may use, whether listed or not. Raises UnknownModel."""
        allowed = (
            await self._allowed(caller.key, caller)
            if isinstance(caller, Holder)
            else AllowedModels()
        )
        model = self.catalog.model(name)
        if model is not None and allowed.refused_by(model) is None:
            deployment = self.catalog.choose(model.name, wire, draw=0)
            if deployment is not None:
                return replace(model, name=name), deployment
        raise UnknownModel(name)

    async def known_models(self, caller: Caller) -> list[KnownModel]:
        """Return what is known of each deployment of the models that a caller may use."""
        names = {
            self.catalog.by_id[deployment.id].model_name
            for _, deployment in await self.models(caller)
        }
        return [
            KnownModel(
                each,
                self.catalog.price(each.id, each.model_name),
                each.mode or mode_of(each.model),
                each.max_output_tokens or self._output_limits.find_most(each.model),
            )
            for each in self.catalog.by_id.values()
            if not each.compatible
            if each.model_name in names
        ]

    def provider_of(self, deployment_id: str) -> str:
        """Return the provider of a deployment; of one that is gone, `unknown`."""
        known = self.catalog.by_id.get(deployment_id)
        return "unknown" if known is None else known.provider

    def model_of(self, deployment_id: str) -> str:
        """Return the provider's name for a deployment's model; of one that is gone, its id."""
        known = self.catalog.by_id.get(deployment_id)
        return deployment_id if known is None else known.known_as

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


def find_payer(settled: Settled, kind: ScopeKind) -> str | None:
    """Return the id of the entity of a kind that a record was charged to, or None."""
    return next(iter(scope_ids(settled.record.scopes, kind)), None)
