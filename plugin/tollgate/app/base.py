"""Build what both processes need: the store, the prices, and settlement."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from random import Random

from valkey.asyncio import Valkey

from tollgate import telemetry
from tollgate.adapters.prices import price_of_file
from tollgate.adapters.valkey.cluster.of_store import counters_of
from tollgate.adapters.valkey.connection.client import connect
from tollgate.adapters.valkey.connection.clock import StoreClock
from tollgate.adapters.valkey.connection.opening import open_pipe
from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.adapters.valkey.connection.probe import probe
from tollgate.adapters.valkey.counters.counters import ValkeyCounters
from tollgate.adapters.valkey.counters.outputs import SharedOutputs
from tollgate.admission.admission import Terms
from tollgate.admission.hold_waits import HoldWaits
from tollgate.app.configuration import Configuration, Priced
from tollgate.core.callers.rules import Policy
from tollgate.core.calls.records import request_id
from tollgate.core.entities import NO_LIMITS, LimitSet
from tollgate.core.errors import StoreUnavailable
from tollgate.core.limits.accounts import ScopeKind
from tollgate.core.money.dollars import nanousd_of
from tollgate.core.money.pricing import Price
from tollgate.core.requests.catalog import Catalog
from tollgate.core.requests.estimate import InputEstimates
from tollgate.metering.metering import Metering
from tollgate.metering.unseen import UnseenOutput
from tollgate.settings import Settings
from tollgate.settings.entries.default_limits import default_limits_of
from tollgate.settings.entries.dimension_settings import bounded_customers, dimensions_of
from tollgate.shipped_tables import output_limits

DAY_US = 86_400_000_000


# Ids must be unique, not secret: asking the kernel for each would be a system call. The seed comes
# from the kernel, once more in each fork.
_random = Random()
os.register_at_fork(after_in_child=_random.seed)


def new_id() -> str:
    """Return an id for a reservation."""
    return request_id(time.time_ns() // 1000, _random.getrandbits(64))


@dataclass(frozen=True, slots=True)
class Core:
    """What both processes are built on. `settings`, `priced`: those of the start."""

    settings: Settings
    client: Valkey
    pipe: Pipe
    counters: ValkeyCounters
    priced: Priced
    meter: Metering
    estimates: InputEstimates
    clock: StoreClock
    hold_waits: HoldWaits
    outputs: SharedOutputs

    @classmethod
    def of(cls, settings: Settings, redis_url: str) -> Core:
        """Build store, prices and the use case that both need."""
        ours = settings.tollgate
        timeout_s = ours.store_timeout_ms / 1000
        client, pipe = connect(redis_url, timeout_s), open_pipe(redis_url, timeout_s)
        clock = StoreClock()
        counters = counters_of(
            client, pipe, ours.lease_seconds * 1_000_000, ours.ledger_days * DAY_US, clock=clock
        )
        priced = Priced.by(settings)
        estimates = InputEstimates()
        hold_waits = HoldWaits(
            counters, ours.hold_wait_ms / 1000, ours.longest_wait_ms / 1000, ours.most_waiting
        )
        outputs = SharedOutputs(pipe)
        meter = Metering(
            counters,
            priced.catalog,
            fallback_price(settings),
            estimates,
            ietf=ours.ietf_headers,
            on_settled=hold_waits.settled,
            unseen=UnseenOutput(outputs, ours.default_output_tokens, ours.client_left),
            output_limits=output_limits(ours.max_output_ceiling),
        )
        return cls(
            settings,
            client,
            pipe,
            counters,
            priced,
            meter,
            estimates,
            clock,
            hold_waits,
            outputs,
        )

    def configuration(self, admit_by: Callable[[Settings, Catalog], None]) -> Configuration:
        """The configuration, which may change. `admit_by` puts another one in force."""

        def settle_by(settings: Settings, catalog: Catalog) -> None:
            ours = settings.tollgate
            unseen = UnseenOutput(self.outputs, ours.default_output_tokens, ours.client_left)
            self.meter.reconfigure(
                catalog,
                fallback_price(settings),
                unseen,
                output_limits(ours.max_output_ceiling),
                ietf=ours.ietf_headers,
            )

        return Configuration(self.settings, self.priced, admit_by, settle_by)

    async def probe(self) -> None:
        """Write to the store and take its time. Raises StoreUnavailable."""
        self.clock.learn(await probe(self.pipe))

    async def meet_store(self) -> None:
        """Find out whether it serves, and what time it is there, before anybody asks.

        Counters that an older version wrote are carried over.
        """
        try:
            await self.probe()
            await self.counters.meet_store()
        except StoreUnavailable as error:
            telemetry.store_failed("probe", error)

    async def close(self) -> None:
        """Close the connections to the store."""
        await self.outputs.close()
        await self.pipe.aclose()
        await self.client.aclose()


def default_price(settings: Settings) -> Price:
    """Return the price of an unpriced model under `unpriced_models: default_price`."""
    ours = settings.tollgate
    return price_of_file(
        ours.default_input_cost_per_token, ours.default_output_cost_per_token, "default"
    )


def fallback_price(settings: Settings) -> Price | None:
    """What a call of an unpriced model is charged by; None: nothing."""
    fallback = settings.tollgate.unpriced_models == "default_price"
    return default_price(settings) if fallback else None


def terms(settings: Settings) -> Terms:
    """Return what the configuration says about admission."""
    limits, ours = settings.litellm, settings.tollgate
    defaults = default_limits_of(ours.default_limits)
    customers = LimitSet(max_budget_nanousd=_nanousd(limits.max_end_user_budget)).or_else(
        defaults.pop(ScopeKind.CUSTOMER, NO_LIMITS)
    )
    return Terms(
        max_request_bytes=ours.max_request_bytes,
        master_hash=None
        if settings.master_key is None
        else sha256(settings.master_key.encode()).hexdigest(),
        policy=Policy(
            proxy=_proxy_limits(settings),
            customer=customers,
            dimensions=dimensions_of(ours.dimensions),
            customers=bounded_customers(ours.dimensions, customers),
            enforce=ours.enforce,
            defaults=defaults,
            upstreams=settings.upstreams,
            customer_budget_id=limits.max_end_user_budget_id,
        ),
        default_output_tokens=ours.default_output_tokens,
        unpriced_models=ours.unpriced_models,
        default_price=default_price(settings),
        on_store_error=ours.on_store_error,
        errors=ours.errors,
        unknown_paths=ours.unknown_paths,
        ietf_headers=ours.ietf_headers,
        output_limits=output_limits(ours.max_output_ceiling),
        fallbacks=settings.fallbacks,
        context_fallbacks=settings.context_fallbacks,
        identity=None if ours.identity is None else ours.identity.rules(),
    )


def _proxy_limits(settings: Settings) -> LimitSet:
    """Return the limits of all calls together; one that is said twice counts once."""
    page = settings.litellm
    limits = {limit.counter: limit for limit, _ in settings.tollgate.limits_of_all()}
    return LimitSet(tuple(limits.values()), _nanousd(page.max_budget), page.budget_duration)


def _nanousd(dollars: Decimal | None) -> int | None:
    return None if dollars is None else nanousd_of(dollars)
