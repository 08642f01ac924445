"""Run `worker`, the process that serves Envoy.

It runs until it is told to stop, finishes what it has begun, and exits.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
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
from tollgate.adapters.valkey.entities.changes import follow
from tollgate.adapters.valkey.entities.directory import CachedDirectory
from tollgate.adapters.valkey.entities.registry import ValkeyRegistry
from tollgate.app.base import Core
from tollgate.app.deciding import Deciding
from tollgate.background import beside
from tollgate.collecting import collect_less
from tollgate.core.envoy_contract import (
    ACCESS_LOG_METHOD,
    CHECK_METHOD,
    DISCOVERY_METHOD,
    PROCESS_METHOD,
)
from tollgate.core.usage.apis.api import Api
from tollgate.heartbeat import keep_beating
from tollgate.settings import Settings
from tollgate.shipped_tables import api_table
from tollgate.snapshot import Snapshot
from tollgate.topology import Address

# Envoy sees at once that its health check's connection has closed. Until then it would reopen the
# access log's stream here, and lose what it sends.
_NOTICED_S = 0.5
_LEAST_MESSAGE_BYTES = 16 * 1024 * 1024
_BESIDE_BODY_BYTES = 1024 * 1024


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
    deciding = Deciding(core, directory)
    apis, logged = api_table(), settings.tollgate.access_log_metadata
    door = AuthorizationOverHttp(deciding.decides, core.meter, apis, logged=logged)
    if not native:
        for count in deciding.token_counts.values():
            count("loads its vocabulary now, not while somebody waits")
    log = AccessLog(core.meter, apis)
    methods = _methods(core, deciding, log, apis)
    ends = [log.end_all]
    if discovery is not None:
        found = _discovered(discovery)
        methods = {**methods, DISCOVERY_METHOD: streaming(found.delta_aggregated_resources)}
        ends.append(found.end_all)
    health = Health({path.split("/")[1] for path in methods}, lambda: telemetry.outage.word)
    server = _server(settings, address, {**methods, **health.methods})
    async with (
        beside(follow(redis_url, directory)),
        beside(core.configuration(deciding.follow).follow(snapshot)),
        beside(telemetry.keep_published()),
        deciding.running(),
        beside(telemetry.outage.watch(core.probe)),
        beside(health.keep_telling()),
    ):
        await core.meet_store()
        await server.start(address)
        await door.start(authz_http)
        collect_less()
        async with beside(keep_beating(beat, lambda: telemetry.outage.word)):
            print("ready", flush=True)
            told, hurry = _signals()
            await told.wait()
        await _leave(door, health, hurry, leaving_s)
        await _stop(door, server, ends, hurry, settings.tollgate.drain_seconds)
        await log.drain()
        await core.meter.drain()
    await core.close()


def _methods(core: Core, deciding: Deciding, log: AccessLog, apis: Mapping[str, Api]) -> Methods:
    """Return Envoy's three services by the paths of their methods."""
    logged = core.settings.tollgate.access_log_metadata
    authorization = Authorization(deciding.decides, core.meter, logged=logged)
    processor = ExternalProcessor(core.meter, apis, deciding.token_counts, logged=logged)
    return {
        CHECK_METHOD: unary(authorization.check),
        PROCESS_METHOD: streaming(processor.process),
        ACCESS_LOG_METHOD: streaming(log.stream_access_logs),
    }


def _discovered(folder: Path) -> DiscoveryService:
    """Return the discovery service; SIGUSR1 tells that its files have changed."""
    loop = asyncio.get_running_loop()
    found = DiscoveryService(folder, loop.call_later)
    loop.add_signal_handler(signal.SIGUSR1, found.changed)
    return found


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
