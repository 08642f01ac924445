"""Run `admin`, the process that serves people.

It runs until it is told to stop, finishes what it has begun, and exits.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

from tollgate import __version__, telemetry
from tollgate.adapters.http_api.application import create_api
from tollgate.adapters.http_api.console.console_app import create_console
from tollgate.adapters.http_api.console.sessions import Sessions
from tollgate.adapters.valkey.cluster.of_store import spend_book_of
from tollgate.adapters.valkey.counters.ledger import ValkeyLedger
from tollgate.adapters.valkey.counters.ledger_stream import ValkeyLedgerStream
from tollgate.adapters.valkey.entities.audit_stream import ValkeyAuditLog
from tollgate.adapters.valkey.entities.registry import ValkeyRegistry
from tollgate.adapters.valkey.refusals.refusal_log import ValkeyRefusalLog
from tollgate.app.added.entry_checks import EntryChecks, added_models_passed_on
from tollgate.app.added.put_in_force import PutInForce
from tollgate.app.base import DAY_US, Core, terms
from tollgate.app.creating import creation_of
from tollgate.app.diagnosis_facts import DiagnosisFacts
from tollgate.app.watching.alerting import keep_telling
from tollgate.app.watching.evictions import watch_evictions
from tollgate.app.watching.measuring import Measuring, fullest_limits_collector
from tollgate.app.watching.tracing import call_spans, exported
from tollgate.background import beside
from tollgate.core.errors import StoreUnavailable
from tollgate.core.limits.accounts import ScopeKind
from tollgate.core.requests.catalog import Catalog
from tollgate.heartbeat import keep_beating, why_nobody_serves
from tollgate.management import Management
from tollgate.management.spending.guard import LimitGuard
from tollgate.metering.metering import Metering
from tollgate.ports import Ledger
from tollgate.ports.event_ports import RefusalHistory
from tollgate.ports.history_ports import History
from tollgate.reporting.full_ledger import FullLedger
from tollgate.reporting.levels import Levels
from tollgate.reporting.measuring.fullest_limits import FullLimit
from tollgate.reporting.refused import Refusals
from tollgate.reporting.reports import Reports
from tollgate.reporting.usage_sums import UsageSums
from tollgate.settings import Settings
from tollgate.snapshot import Snapshot
from tollgate.topology import Address

if TYPE_CHECKING:
    from sqlalchemy import Engine

_REAP_EVERY_S = 5.0
_FOR_EVER_US = 2**62


async def serve_admin(
    settings: Settings,
    redis_url: str,
    beat: Path,
    beats: Path,
    address: str,
    snapshot: Snapshot | None = None,
    history: str | None = None,
) -> None:
    """The management API on one address, and the reaper of leases, until told to stop.

    `beat`: the file for our signs of life; `beats`: the folder of the workers'. `snapshot`: where
    a changed configuration comes from. `history`: the URL of the history's database.
    """
    core = Core.of(settings, redis_url)
    services = _Services(core, snapshot, history, _kept_us(settings, history))
    watched = GatewayHealth(core, beats, snapshot)
    api, console = _applications(services, settings, watched, redis_url)
    measuring = Measuring.of_admin(core)

    def manage_by(settings: Settings, catalog: Catalog) -> None:
        for state in (api.state, console.state):
            state.management = services.management(settings, catalog)
            state.reports = services.reports(settings, catalog)
            state.levels = services.levels(settings, catalog)
        # Another master key signs everybody out.
        console.state.sessions = _sessions(settings)

    # Envoy writes the date; with uvicorn's own, default headers would be rebuilt every second.
    config = uvicorn.Config(
        api,
        **_bind(address),
        log_level="warning",
        access_log=False,
        date_header=False,
        lifespan="off",
    )
    server = _Server(config, console.state.told_to_stop)
    async with (
        beside(reap(core.meter)),
        beside(keep_telling(settings, core.client)),
        beside(complete_search(services.registry)),
        beside(core.configuration(manage_by).follow(snapshot)),
        beside(telemetry.keep_published()),
        measuring.running(),
        exported(call_spans(core)),
        beside(telemetry.outage.watch(core.probe)),
        beside(watch_evictions(core.pipe)),
        beside(keep_beating(beat, lambda: telemetry.outage.word)),
    ):
        await core.meet_store()
        models = api.state.management.added_models
        async with added_models_passed_on(models, redis_url, snapshot):
            with metrics_served(settings):
                await server.serve()
        await core.meter.drain()
    await core.close()


class _Services:
    """The use cases that people are served with, over one store and one history.

    `kept_us`: how long single records are kept.
    """

    def __init__(
        self, core: Core, snapshot: Snapshot | None, history: str | None, kept_us: int
    ) -> None:
        self.core = core
        self._snapshot = snapshot
        self._serving = None if snapshot is None else PutInForce(snapshot)
        self._kept_us = kept_us
        self.registry = ValkeyRegistry(core.client)
        self._book = spend_book_of(core.client, core.pipe)
        stream = ValkeyLedgerStream(core.client)
        opened = None if history is None else HistoryDatabase(history)
        find = None if opened is None else opened.history
        self.usage_sums = UsageSums(stream, core.clock, find)
        self.refusals = Refusals(
            ValkeyRefusalLog(core.client), core.clock, None if opened is None else opened.refusals
        )
        self.audit_log = ValkeyAuditLog(core.client)
        self._ledger: Ledger = ValkeyLedger(core.client)
        if find is not None:
            self._ledger = FullLedger(self._ledger, stream, find)

    def management(self, settings: Settings, catalog: Catalog) -> Management:
        """Return management by some settings."""
        guard = LimitGuard(
            catalog,
            settings.tollgate.longest_wait_ms,
            sessions=ScopeKind.SESSION in settings.tollgate.dimensions,
        )
        return Management.of(
            self.registry,
            self.core.counters,
            self._book,
            self.core.clock,
            settings.master_key,
            guard,
            creation=creation_of(settings),
            check=lambda: None if self._snapshot is None else EntryChecks(settings),
            serving=self._serving,
        )

    def reports(self, settings: Settings, catalog: Catalog) -> Reports:
        """Return reports by some settings."""
        agreed = terms(settings)
        return Reports(
            self.registry,
            self.core.counters,
            self._ledger,
            catalog,
            self.core.clock,
            agreed.policy.proxy,
            self._kept_us,
            agreed.output_limits,
        )

    def levels(self, settings: Settings, catalog: Catalog) -> Levels:
        """Return levels of limits by some settings."""
        policy = terms(settings).policy
        return Levels(self.registry, self.core.counters, self.core.clock, policy, catalog)


def _applications(
    services: _Services, settings: Settings, watched: GatewayHealth, redis_url: str
) -> tuple[FastAPI, FastAPI]:
    """Return the management API, and the console that it serves beside itself."""
    catalog = services.core.priced.catalog
    management = services.management(settings, catalog)
    reports, levels = services.reports(settings, catalog), services.levels(settings, catalog)
    console = create_console(
        management,
        reports,
        services.refusals,
        services.usage_sums,
        levels,
        services.audit_log,
        watched,
        _sessions(settings),
    )
    api = create_api(
        management,
        version=__version__,
        watched=watched,
        reported=reports,
        refused=services.refusals,
        usage_sums=services.usage_sums,
        levels=levels,
        metrics_open=settings.tollgate.metrics.open,
        audit_log=services.audit_log,
        console=console,
        diagnosed=DiagnosisFacts(
            settings, redis_url, services.core.pipe, partial(_all_processes, settings)
        ),
    )
    return api, console


def _sessions(settings: Settings) -> Sessions:
    only = settings.administrators_console
    return Sessions.of(settings.master_key, administrators_only=only)


def _kept_us(settings: Settings, history: str | None) -> int:
    """Return how long single records are kept."""
    if history is None:
        return settings.tollgate.ledger_days * DAY_US
    return settings.tollgate.history_kept_us or _FOR_EVER_US


class HistoryDatabase:
    """The history, which is opened when a report first needs it: its libraries take memory."""

    def __init__(self, url: str) -> None:
        self._url = url

    @cached_property
    def _engine(self) -> Engine:
        from tollgate.adapters.history.database import open_database

        return open_database(self._url)

    def history(self) -> History:
        """Return settled calls."""
        from tollgate.adapters.history.history import SqlHistory

        return SqlHistory(self._engine)

    def refusals(self) -> RefusalHistory:
        """Return refused calls."""
        from tollgate.adapters.history.refusal_history import SqlRefusals

        return SqlRefusals(self._engine)


class GatewayHealth:
    """What /health and /metrics report on: the store, the workers by their signs of life, and the
    counts of all processes.
    """

    def __init__(self, core: Core, beats: Path, snapshot: Snapshot | None) -> None:
        self._core = core
        self._beats = beats
        self._snapshot = snapshot

    async def write_to_store(self) -> None:
        await self._core.probe()

    def why_nobody_decides(self) -> str | None:
        return why_nobody_serves(self._beats)

    def refused_change(self) -> list[str]:
        return [] if self._snapshot is None else self._snapshot.refused_faults()

    def nearest_limits(self) -> list[FullLimit] | None:
        collector = fullest_limits_collector(self._core.settings)
        return None if collector is None else collector.nearest()

    def metrics(self) -> bytes:
        return generate_latest(_all_processes(self._core.settings))


def _all_processes(settings: Settings) -> CollectorRegistry:
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    if (collector := fullest_limits_collector(settings)) is not None:
        registry.register(collector)
    return registry


@contextmanager
def metrics_served(settings: Settings) -> Iterator[None]:
    """Serve metrics without a key where the configuration says, in a thread of prometheus-client;
    by default nowhere.
    """
    address = settings.tollgate.metrics.address
    if address is None:
        yield
        return
    host, _, port = address.rpartition(":")
    server, thread = start_http_server(int(port), host.strip("[]"), _all_processes(settings))
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(uvicorn.Server):
    """Uvicorn, printing `ready` as our other processes do.

    It stops by itself on SIGTERM and SIGINT.
    """

    def __init__(self, config: uvicorn.Config, told_to_stop: asyncio.Event) -> None:
        super().__init__(config)
        self._told_to_stop = told_to_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started:
            print("ready", flush=True)

    async def main_loop(self) -> None:
        """Wait until told to stop; uvicorn's own loop would poll ten times a second."""
        await self._told_to_stop.wait()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._loop.call_soon_threadsafe(self._told_to_stop.set)


def _bind(address: str) -> dict[str, Any]:
    """Return uvicorn's options for `unix:/path` or `host:port`."""
    where = Address.parse(address)
    return {"uds": where.path} if where.path else {"host": where.host, "port": where.port}


async def complete_search(registry: ValkeyRegistry) -> None:
    """Make keys that an older version wrote be found by a part of their alias."""
    while True:
        try:
            await registry.complete_search()
            return
        except StoreUnavailable as error:
            telemetry.store_failed("search", error)
        await asyncio.sleep(_REAP_EVERY_S)


async def reap(meter: Metering) -> None:
    """Charge expired leases, forever."""
    while True:
        try:
            await meter.settle_expired()
        except StoreUnavailable as error:
            telemetry.store_failed("expired", error)
        await asyncio.sleep(_REAP_EVERY_S)
