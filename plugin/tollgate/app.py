"""The only file that constructs: settings -> store -> use cases -> doors. `worker` serves Envoy, `admin` serves people; both run
until they are told to stop, finish what they have begun, and leave.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import grpc.aio
import typer
import uvicorn
import uvloop
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from redis.asyncio import Redis

from tollgate import __version__, telemetry
from tollgate import settings as configuration
from tollgate.adapters.envoy.access_log import AccessLog
from tollgate.adapters.envoy.authz_grpc import Authorization
from tollgate.adapters.envoy.authz_http import AuthorizationOverHttp
from tollgate.adapters.envoy.ext_proc import ExternalProcessor
from tollgate.adapters.http_api.api import create_api
from tollgate.adapters.prices import PriceBook, keep_current, price_of_file
from tollgate.adapters.tokenizer import token_counters
from tollgate.adapters.valkey.changes import follow
from tollgate.adapters.valkey.client import connect
from tollgate.adapters.valkey.counters import ValkeyCounters
from tollgate.adapters.valkey.directory import CachedDirectory
from tollgate.adapters.valkey.ledger import ValkeyLedger
from tollgate.adapters.valkey.pipe import Pipe
from tollgate.adapters.valkey.registry import ValkeyRegistry
from tollgate.adapters.valkey.spend_book import ValkeySpendBook
from tollgate.admission import Admissions, Terms
from tollgate.api_table import api_table
from tollgate.core.catalog import Catalog
from tollgate.core.errors import StoreUnavailable, TollgateError
from tollgate.core.estimate import InputEstimates
from tollgate.core.ledger import request_id
from tollgate.core.money import nanousd_of
from tollgate.core.people import LimitSet
from tollgate.core.pricing import Price
from tollgate.core.rules import Policy
from tollgate.management import Management
from tollgate.management.reports import Reports
from tollgate.metering import Meter
from tollgate.pb.access_log_pb2_grpc import add_AccessLogServiceServicer_to_server
from tollgate.pb.ext_authz_pb2_grpc import add_AuthorizationServicer_to_server
from tollgate.pb.ext_proc_pb2_grpc import add_ExternalProcessorServicer_to_server
from tollgate.settings import Settings

_DAY_US = 86_400_000_000
_DRAIN_S = 10.0
_REAP_EVERY_S = 5.0
# So many more objects made than freed; Python's own number is 700.
_COLLECT_AFTER = 20_000
# Bodies and pieces of replies are bounded by Envoy's own limits; gRPC's default of 4 MiB would cut them short.
_GRPC_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 1),
]

app = typer.Typer(help="The processes that `tollgate up` and `tollgate serve` start.", add_completion=False)


class SystemClock:
    """The port `Clock` by the machine's clock."""

    def now_us(self) -> int:
        return time.time_ns() // 1000


def new_id() -> str:
    """An id for a reservation."""
    return request_id(time.time_ns() // 1000, secrets.randbits(64))


@dataclass(frozen=True, slots=True)
class Core:
    """What both processes are built on."""

    settings: Settings
    client: Redis
    pipe: Pipe
    counters: ValkeyCounters
    catalog: Catalog
    meter: Meter
    estimates: InputEstimates
    clock: SystemClock
    prices: PriceBook

    @classmethod
    def of(cls, settings: Settings, redis_url: str) -> Core:
        """Store, prices and the use case that both need."""
        ours = settings.tollgate
        timeout_s = ours.store_timeout_ms / 1000
        client, pipe = connect(redis_url, timeout_s), Pipe(redis_url, timeout_s)
        counters = ValkeyCounters(client, pipe, ours.lease_seconds * 1_000_000, ours.ledger_days * _DAY_US)
        book = PriceBook(settings.deployments, settings.prices, ours.price_file)
        catalog = Catalog.of(settings.deployments, book.at(datetime.now(UTC)))
        estimates = InputEstimates()
        fallback = default_price(settings) if ours.unpriced_models == "default_price" else None
        meter = Meter(counters, catalog, fallback, estimates, ietf=ours.ietf_headers)
        return cls(settings, client, pipe, counters, catalog, meter, estimates, SystemClock(), book)

    async def close(self) -> None:
        """End the connections to the store."""
        await self.pipe.aclose()
        await self.client.aclose()


def default_price(settings: Settings) -> Price:
    """What an unpriced model costs under `unpriced_models: default_price`."""
    ours = settings.tollgate
    return price_of_file(ours.default_input_cost_per_token, ours.default_output_cost_per_token, "default")


def terms(settings: Settings) -> Terms:
    """The configuration's word on admission."""
    limits, ours = settings.litellm, settings.tollgate
    return Terms(
        master_hash=None if settings.master_key is None else sha256(settings.master_key.encode()).hexdigest(),
        policy=Policy(
            proxy=LimitSet(
                rpm=ours.proxy_rpm_limit,
                tpm=ours.proxy_tpm_limit,
                parallel=ours.proxy_max_parallel_requests,
                max_budget_nanousd=_nanousd(limits.max_budget),
                budget_duration=limits.budget_duration,
            ),
            customer=LimitSet(max_budget_nanousd=_nanousd(limits.max_end_user_budget)),
        ),
        default_output_tokens=ours.default_output_tokens,
        unpriced_models=ours.unpriced_models,
        default_price=default_price(settings),
        on_store_error=ours.on_store_error,
        errors=ours.errors,
        unknown_paths=ours.unknown_paths,
        ietf_headers=ours.ietf_headers,
    )


async def serve_worker(settings: Settings, redis_url: str, address: str, authz_http: str) -> None:
    """Envoy's three services on one address, and ext_authz over HTTP on another, until told to stop."""
    core = Core.of(settings, redis_url)
    allow = settings.tollgate.on_store_error == "allow"
    directory = CachedDirectory(ValkeyRegistry(core.client), stale_while_down=allow)
    admissions = Admissions(directory, core.counters, core.catalog, terms(settings), core.clock, new_id, core.estimates)
    apis = api_table()
    door = AuthorizationOverHttp(admissions, core.meter, apis)
    server = grpc.aio.server(options=_GRPC_OPTIONS)
    add_AuthorizationServicer_to_server(Authorization(admissions, core.meter), server)
    processor = ExternalProcessor(core.meter, apis, token_counters(settings.deployments))
    add_ExternalProcessorServicer_to_server(processor, server)
    add_AccessLogServiceServicer_to_server(AccessLog(core.meter, apis), server)
    server.add_insecure_port(address)
    async with (
        _beside(follow(core.client, directory)),
        _beside(keep_current(core.catalog, core.prices)),
        _beside(telemetry.keep_published()),
    ):
        await server.start()
        await door.start(authz_http)
        _collect_less()
        print("ready", flush=True)
        await _told_to_stop()
        await asyncio.gather(door.stop(_DRAIN_S), server.stop(_DRAIN_S))
        await core.meter.drain()
    await core.close()


async def serve_admin(settings: Settings, redis_url: str, address: str) -> None:
    """The management API on one address, and the reaper of leases, until told to stop."""
    core = Core.of(settings, redis_url)
    registry, book = ValkeyRegistry(core.client), ValkeySpendBook(core.client)
    management = Management.of(registry, core.counters, book, core.clock, settings.master_key)
    policy = terms(settings).policy
    reports = Reports(registry, core.counters, ValkeyLedger(core.client), core.catalog, core.clock, policy.proxy)
    api = create_api(management, version=__version__, metrics=metrics, reported=reports)
    server = _Server(uvicorn.Config(api, **_bind(address), log_level="warning", access_log=False, lifespan="off"))
    async with (
        _beside(reap(core.meter)),
        _beside(keep_current(core.catalog, core.prices)),
        _beside(telemetry.keep_published()),
    ):
        await server.serve()
        await core.meter.drain()
    await core.close()


def _collect_less() -> None:
    """What is there when requests begin stays for ever, and requests leave few cycles behind: looking for them as often as Python does
    took 8 % of a worker's time. Most objects are freed without it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)


def metrics() -> bytes:
    """The metrics of all workers, as Prometheus reads them."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


class _Server(uvicorn.Server):
    """Uvicorn, which says `ready` as our other parts do. It stops by itself on SIGTERM and SIGINT."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print("ready", flush=True)


def _bind(address: str) -> dict[str, Any]:
    """Uvicorn's options for `unix:/path` or `host:port`."""
    if address.startswith("unix:"):
        return {"uds": address.removeprefix("unix:")}
    host, _, port = address.rpartition(":")
    return {"host": host.strip("[]"), "port": int(port)}


async def reap(meter: Meter) -> None:
    """Charge what leases left behind, for ever."""
    while True:
        try:
            await meter.settle_expired()
        except StoreUnavailable:
            telemetry.store_failed("expired")
        await asyncio.sleep(_REAP_EVERY_S)


def _nanousd(dollars: Decimal | None) -> int | None:
    return None if dollars is None else nanousd_of(dollars)


@asynccontextmanager
async def _beside(coroutine: Coroutine[None, None, Any]) -> AsyncIterator[None]:
    """Run something beside the block, and end it with the block."""
    task = asyncio.create_task(coroutine)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _told_to_stop() -> None:
    """Wait for SIGTERM or SIGINT."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()


def _run(serve: Callable[[Settings], Coroutine[None, None, None]], config: Path) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        uvloop.run(serve(configuration.load(config)))
    except TollgateError as error:
        raise SystemExit(str(error)) from error


Config = Annotated[Path, typer.Option("--config", help="the configuration file")]
StoreUrl = Annotated[str, typer.Option("--redis", help="the store's URL")]


@app.callback()
def main() -> None:
    """A part of a gateway; `tollgate up` starts all of them."""


@app.command("worker")
def worker(
    config: Config,
    redis: StoreUrl,
    grpc_address: Annotated[str, typer.Option("--grpc", help="where to serve Envoy: unix:/path or host:port")],
    authz_http: Annotated[str, typer.Option(help="where to serve ext_authz over HTTP: likewise")],
) -> None:
    """Serve ext_authz, ext_proc and the access log."""
    _run(lambda settings: serve_worker(settings, redis, grpc_address, authz_http), config)


@app.command("admin")
def admin(
    config: Config,
    redis: StoreUrl,
    http_address: Annotated[str, typer.Option("--http", help="where to serve: unix:/path or host:port")],
) -> None:
    """Serve the management API, and settle what expired leases left behind."""
    _run(lambda settings: serve_admin(settings, redis, http_address), config)


if __name__ == "__main__":
    app()
