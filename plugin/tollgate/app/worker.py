"""Run `worker`, the process that serves Envoy.

It runs until it is told to stop, finishes what it has begun, and exits.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tollgate import telemetry
from tollgate.adapters.envoy.access_log import AccessLog
from tollgate.adapters.envoy.authz_grpc import Authorization
from tollgate.adapters.envoy.authz_http import AuthorizationOverHttp
from tollgate.adapters.envoy.discovery import DiscoveryService
from tollgate.adapters.envoy.ext_proc import ExternalProcessor
from tollgate.adapters.envoy.grpc import serving
from tollgate.adapters.envoy.grpc.call import (
    Limits,
    Methods,
    Server,
    streaming,
    unary,
)
from tollgate.adapters.envoy.grpc.health import Health
from tollgate.adapters.envoy.grpc.tls import TlsFiles
from tollgate.adapters.sound import TaggedSound
from tollgate.adapters.tokenizer import token_counters
from tollgate.adapters.valkey.alerts.alert_book import ValkeyAlertBook
from tollgate.adapters.valkey.counters.value_book import ValkeyValueBook
from tollgate.adapters.valkey.entities.changes import follow
from tollgate.adapters.valkey.entities.directory import CachedDirectory
from tollgate.adapters.valkey.entities.registry import ValkeyRegistry
from tollgate.adapters.valkey.refusals.refusal_book import ValkeyRefusalBook
from tollgate.admission.admission import Admissions
from tollgate.admission.current import CurrentAdmissions, Decides
from tollgate.admission.refusal_notes import RefusalNotes
from tollgate.app.alerting import alert_terms
from tollgate.app.base import DAY_US, Core, new_id, terms
from tollgate.app.watching.cooling_down import CoolingDown
from tollgate.app.watching.measuring import Measuring
from tollgate.app.watching.tracing import call_spans, exported
from tollgate.background import beside
from tollgate.core.envoy_contract import (
    ACCESS_LOG_METHOD,
    CHECK_METHOD,
    DISCOVERY_METHOD,
    PROCESS_METHOD,
)
from tollgate.core.requests.catalog import Catalog
from tollgate.heartbeat import keep_beating
from tollgate.metering.alert_watch import AlertWatch
from tollgate.reporting.measuring.traced_admissions import TracedAdmissions
from tollgate.settings import Settings
from tollgate.shipped_tables import api_table
from tollgate.snapshot import Snapshot
from tollgate.topology import Address

# Envoy sees at once that its health check's connection has closed. Until then it would reopen the
# access log's stream here, and lose what it sends.
_NOTICED_S = 0.5
_LEAST_MESSAGE_BYTES = 16 * 1024 * 1024
_BESIDE_BODY_BYTES = 1024 * 1024
# Net new objects that trigger a collection; Python's default is 700.
_COLLECT_AFTER = 20_000


async def serve_worker(
    settings: Settings,
    redis_url: str,
    beat: Path,
    address: str,
    authz_http: str,
    *,
    native: bool,
    leaving_s: float = 0,
    snapshot: Snapshot | None = None,
    discovery: Path | None = None,
) -> None:
    """Envoy's three services on one address, and ext_authz over HTTP on another, until told to
    stop.

    Both serve in both modes; `native`: which one to expect. `leaving_s`: how long to serve on once
    told to stop, while health checks fail already, so that Envoys ask others. `beat`: the file for
    our signs of life. `snapshot`: where a changed configuration comes from.
    `discovery`: the folder of what Envoys discover over gRPC, if they do.
    """
    core = Core.of(settings, redis_url)
    allow = settings.tollgate.on_store_error == "allow"
    directory = CachedDirectory(ValkeyRegistry(core.client), stale_while_down=allow)
    measuring = Measuring.of_worker(core)
    refusal_book = ValkeyRefusalBook(core.pipe, settings.tollgate.ledger_days * DAY_US)
    refusal_notes = RefusalNotes(refusal_book, core.clock, measuring.refused)
    cooling_down = CoolingDown(core)
    admissions_by = _admissions_maker(core, directory, refusal_notes, cooling_down)
    admissions = CurrentAdmissions(admissions_by(settings, core.priced.catalog))
    apis, spans = api_table(), call_spans(core)
    decides: Decides = admissions
    if spans is not None:
        decides = TracedAdmissions(admissions, spans, core.clock)
    logged = settings.tollgate.access_log_metadata
    door = AuthorizationOverHttp(decides, core.meter, apis, logged=logged)
    counts = dict(token_counters(settings.deployments)) if settings.tollgate.tokenizer else {}

    alert_watch = _alert_watch(core, directory)

    def admit_by(settings: Settings, catalog: Catalog) -> None:
        if alert_watch is not None and (terms_now := alert_terms(settings)) is not None:
            alert_watch.reconfigure(terms_now)
        if settings.tollgate.tokenizer:
            counts.update(token_counters(settings.deployments))
        admissions.replace(admissions_by(settings, catalog))

    if not native:
        for count in counts.values():
            count("loads its vocabulary now, not while somebody waits")
    log = AccessLog(core.meter, apis)
    methods: Methods = {
        CHECK_METHOD: unary(Authorization(decides, core.meter, logged=logged).check),
        PROCESS_METHOD: streaming(
            ExternalProcessor(core.meter, apis, counts, logged=logged).process
        ),
        ACCESS_LOG_METHOD: streaming(log.stream_access_logs),
    }
    ends = [log.end_all]
    if discovery is not None:
        found = _discovered(discovery)
        methods = {**methods, DISCOVERY_METHOD: streaming(found.delta_aggregated_resources)}
        ends.append(found.end_all)
    health = Health({path.split("/")[1] for path in methods}, lambda: telemetry.outage.word)
    server = _server(settings, address, {**methods, **health.methods})
    async with (
        beside(follow(redis_url, directory)),
        beside(core.configuration(admit_by).follow(snapshot)),
        beside(telemetry.keep_published()),
        beside(refusal_notes.keep_written()),
        measuring.running(),
        exported(spans),
        beside(cooling_down.keep_shared()),
        beside(_keep_watching(alert_watch)),
        beside(telemetry.outage.watch(core.probe)),
        beside(health.keep_telling()),
    ):
        await core.meet_store()
        await server.start(address)
        await door.start(authz_http)
        _collect_less()
        async with beside(keep_beating(beat, lambda: telemetry.outage.word)):
            print("ready", flush=True)
            told, hurry = _signals()
            await told.wait()
        await _leave(door, health, hurry, leaving_s)
        await _stop(door, server, ends, hurry, settings.tollgate.drain_seconds)
        await log.drain()
        await core.meter.drain()
    await core.close()


def _discovered(folder: Path) -> DiscoveryService:
    """Return the discovery service; SIGUSR1 tells that its files have changed."""
    found = DiscoveryService(folder)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, found.changed)
    return found


def _admissions_maker(
    core: Core,
    directory: CachedDirectory,
    refusal_notes: RefusalNotes,
    cooling_down: CoolingDown,
) -> Callable[[Settings, Catalog], Admissions]:
    """Return what makes admission by some settings."""
    sound = TaggedSound()

    def admissions_by(settings: Settings, catalog: Catalog) -> Admissions:
        return Admissions(
            directory,
            core.counters,
            catalog,
            terms(settings),
            core.clock,
            new_id,
            core.estimates,
            core.meter.undo,
            core.hold_waits,
            sound,
            refusal_notes,
            ValkeyValueBook(core.pipe),
            cooling_down.by(settings),
        )

    return admissions_by


async def _leave(
    door: AuthorizationOverHttp, health: Health, hurry: asyncio.Event, leaving_s: float
) -> None:
    """Serve on while health checks fail, so that Envoys ask others, or until somebody hurries."""
    health.drain()
    door.leaving = True
    with suppress(TimeoutError):
        await asyncio.wait_for(hurry.wait(), leaving_s)


async def _stop(
    door: AuthorizationOverHttp,
    server: Server,
    ends: Sequence[Callable[[], None]],
    hurry: asyncio.Event,
    drain_s: float,
) -> None:
    """Let calls under way end, for some seconds or until somebody hurries.

    `ends`: what ends streams that have no end of their own.
    """
    stopping = asyncio.gather(door.stop(drain_s), server.stop(drain_s))
    await asyncio.wait((stopping,), timeout=_NOTICED_S)
    for end in ends:
        end()
    async with beside(_cut(hurry, door, server)):
        await stopping


def _alert_watch(core: Core, directory: CachedDirectory) -> AlertWatch | None:
    """Return what watches limits; None: nobody is to be told of any."""
    told = alert_terms(core.settings)
    if told is None:
        return None
    book = ValkeyAlertBook(core.pipe)
    watch = AlertWatch(directory, core.counters, book, core.clock, told, new_id)
    core.meter.also_on_settled(lambda call, _: watch.settled(call))
    return watch


async def _keep_watching(watch: AlertWatch | None) -> None:
    if watch is not None:
        await watch.keep_watching()


def _server(settings: Settings, address: str, methods: Methods) -> Server:
    """Return the server that speaks gRPC on an address."""
    ours = settings.tollgate
    # Room for fields beside a request's body, and for pieces of a reply whatever the largest
    # request is.
    most_bytes = max(ours.max_request_bytes, _LEAST_MESSAGE_BYTES) + _BESIDE_BODY_BYTES
    tls = None
    on_network = not Address.parse(address).path
    if on_network and ours.serve_grpc_certificate is not None and ours.serve_grpc_key is not None:
        tls = TlsFiles(ours.serve_grpc_certificate, ours.serve_grpc_key, ours.serve_grpc_client_ca)
    return serving.server(
        ours.grpc_server, address, methods, Limits(most_bytes, ours.grpc_max_streams), tls
    )


def _signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Return what the first SIGTERM or SIGINT sets, and what the next one does."""
    told, hurry = asyncio.Event(), asyncio.Event()

    def tell() -> None:
        (hurry if told.is_set() else told).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, tell)
    return told, hurry


async def _cut(hurry: asyncio.Event, door: AuthorizationOverHttp, server: Server) -> None:
    """Cut the calls under way once somebody hurries."""
    await hurry.wait()
    await asyncio.gather(door.stop(0), server.stop(0))


def _collect_less() -> None:
    """Freeze start-up objects and raise the threshold of the cyclic collector.

    The default threshold cost 8 % of a worker's CPU. Most objects are freed by reference counts,
    and requests leave few cycles behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
