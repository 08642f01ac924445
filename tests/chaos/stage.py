"""What a scenario plays on: a provider that counts, a whole gateway, perhaps a store of its own;
each can be killed and started again.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.chaos.tally import Tally
from tests.chaos.traffic import CLIENTS, MODEL, Call, Traffic
from tests.load.errors import BenchFailed
from tests.load.proc import Group, embedded_store_url, family
from tests.load.programs import Tick
from tests.load.systems import MASTER, System, free_port, running, said_ready, tollgate
from tests.many_servers import Cluster, cluster
from valkey import Valkey
from valkey.exceptions import ValkeyError

from tollgate.gateway.supervisor import Programs

LEASE_S = 5
"""The shortest that the settings allow: how long a call that everybody forgot stays held."""
INPUT_NANOUSD, OUTPUT_NANOUSD = 2_500, 10_000
"""The price of a token."""
_NANOUSD = 1_000_000_000
_GONE_S = 30.0
_POLL_S = 0.05


class Stage:
    """`start_` methods may be called again after a kill.

    What is left running is ended with `resources`.
    """

    def __init__(self, resources: ExitStack, folder: Path, mode: str, tick: Tick) -> None:
        self.folder = folder
        self.mode = mode
        self.tally = Tally(folder / "tally")
        self.tick = tick
        self._resources = resources
        self._provider_port = free_port()
        self._gateway: System | None = None
        self._options: tuple[str, ...] = ()
        self._traffics: list[Traffic] = []
        self.provider_pid = self.store_pid = 0
        self.cluster: Cluster | None = None
        self._own_store_url: str | None = None

    @property
    def gateway(self) -> System:
        """The gateway that runs, or ran last."""
        assert self._gateway is not None
        return self._gateway

    @property
    def store_url(self) -> str:
        """Where the gateway keeps everything."""
        if self.cluster is not None:
            return self.cluster.url
        if self._own_store_url is not None:
            return self._own_store_url
        return embedded_store_url(self.gateway.groups())

    def pids(self, group: Group) -> tuple[int, ...]:
        """The gateway's processes of one kind."""
        return self.gateway.groups().get(group, ())

    def start_provider(self) -> None:
        """At the same port each time."""
        argv = (
            sys.executable,
            "-m",
            "tests.chaos.provider",
            "--port",
            str(self._provider_port),
            "--tally",
            str(self.folder / "tally"),
        )
        self.provider_pid, _ = self._resources.enter_context(
            running(argv, self.folder / "provider.log", said_ready)
        )

    def start_store(self) -> None:
        """A store of the scenario's own, on the same file each time, which is written at once and
        safe from a loss of power after a second.
        """
        self.store_pid, url = self._resources.enter_context(_store(self.folder))
        self._own_store_url = url
        self._options = ("--redis-url", url)

    def start_cluster(self) -> None:
        """Three primaries with a replica each, on files of their own."""
        self.cluster = self._resources.enter_context(cluster(self.folder / "cluster", replicas=1))
        self._options = ("--redis-url", self.cluster.url)

    def start_gateway(self) -> None:
        """On the same state each time; the clients are told where it is."""
        file = self.folder / "tollgate.yaml"
        file.write_text(_configuration(self._provider_port), encoding="utf-8")
        self._gateway = self._resources.enter_context(
            tollgate(self.folder, file, self.mode, *self._options)
        )
        for each in self._traffics:
            each.url = self._gateway.url

    @contextmanager
    def traffic(
        self, key: str, draw: Callable[[int], Call], *, clients: int = CLIENTS, first: int = 0
    ) -> Iterator[Traffic]:
        """Clients that call until the end; their calls are numbered from `first` on."""
        traffic = Traffic(self.gateway.url, key, draw, self.tick, clients=clients, first=first)
        self._traffics.append(traffic)
        with traffic:
            yield traffic

    def wait(self, seconds: float) -> None:
        """Let things stay as they are for a while."""
        deadline_s = time.monotonic() + seconds
        while time.monotonic() < deadline_s:
            self.tick()
            time.sleep(_POLL_S)

    def end_of_gateway(self, end: Callable[[], None]) -> None:
        """Do what ends the gateway, and wait until nothing of it runs any more."""
        pids = family(self.gateway.pid)
        end()
        deadline_s = time.monotonic() + _GONE_S
        while any(_runs(pid) for pid in pids):
            if time.monotonic() > deadline_s:
                raise BenchFailed("the gateway was to end, and did not")
            self.tick()
            time.sleep(_POLL_S)


def kill(*pids: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Send all of them a signal."""
    for pid in pids:
        os.kill(pid, number)


def _runs(pid: int) -> bool:
    """Whether a process is there, and is no zombie that waits for us to ask how it ended."""
    with suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(
            encoding="utf-8", errors="replace"
        )
    return False


def _configuration(provider_port: int) -> str:
    """The gateway's file: one model, whose price is ours."""
    parameters = {
        "model": "openai/made-up",
        "api_base": f"http://127.0.0.1:{provider_port}/v1",
        "api_key": "provider-key",
        "input_cost_per_token": INPUT_NANOUSD / _NANOUSD,
        "output_cost_per_token": OUTPUT_NANOUSD / _NANOUSD,
    }
    # JSON is YAML. Two workers: one can die and leave the other.
    return json.dumps(
        {
            "model_list": [{"model_name": MODEL, "litellm_params": parameters}],
            "general_settings": {"master_key": MASTER},
            "tollgate": {"workers": 2, "lease_seconds": LEASE_S},
        }
    )


@contextmanager
def _store(folder: Path) -> Iterator[tuple[int, str]]:
    socket = folder / "store.sock"
    options = {
        "port": "0", "unixsocket": str(socket), "dir": str(folder), "save": "", "appendonly": "yes",
        "appendfsync": "everysec",
        "loglevel": "warning",
    }  # fmt: skip
    argv = (
        *Programs().valkey,
        *(word for name, value in options.items() for word in (f"--{name}", value)),
    )
    url = f"unix://{socket}"

    def probe(_log: str) -> str | None:
        with suppress(ValkeyError), Valkey.from_url(url) as store:
            return url if store.ping() else None
        return None

    with running(argv, folder / "store.log", probe) as found:
        yield found
