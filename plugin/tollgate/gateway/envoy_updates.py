"""What a running Envoy is told of a changed configuration: by files that it watches, or by gRPC."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from tollgate.core.errors import NotYet, SettingsError
from tollgate.gateway.envoy_program import find_discovery
from tollgate.gateway.exposure import is_local
from tollgate.gateway.part import Part
from tollgate.gateway.processes import Processes
from tollgate.gateway.rendering import AFTER, put, step_file, write_change, write_first
from tollgate.gateway.secret_files import SecretFiles
from tollgate.settings import Settings, TollgateSettings
from tollgate.topology import (
    Address,
    Discovery,
    EnvoyVerdict,
    Topology,
    beside_serve,
    encoded_form,
    verdicts_file,
)

_LOOK_EVERY_S = 0.02
# Names are looked up, and credentials read, before a new cluster serves. One that takes longer
# serves nobody, and does not hold up the others.
_WARM_S = 10.0
_TAKEN_S = 20.0
# Where nobody tells what Envoy has taken: a file takes it milliseconds, a look-up of a name longer.
_UNSEEN_S = 0.4
_ANSWERED_S = 5.0
# `[2026-11-28 13:06:48.721][20921][warning][config] [source/...cc:81] ` before Envoy's own words.
_LOG_PREFIX = re.compile(r"^(\[[^\]]*\] ?)+")


@dataclass(slots=True)
class BuiltInProvider:
    """The built-in provider, which is started when a deployment first needs it."""

    part: Part
    runs: bool

    async def start_if_used(self, settings: Settings, processes: Processes) -> None:
        """Start it beside the admin server if it is needed and does not run.

        Raises PartFailed.
        """
        if settings.uses_mock and not self.runs:
            await processes.start_beside(self.part, "admin")
            self.runs = True


class Unseen:
    """An Envoy that cannot be asked what it has taken."""

    def meet(self, processes: Processes) -> None:
        """Take the processes that run."""

    async def before(self) -> None:
        """Note how things are before files change."""

    def changed(self) -> None:
        """Pass on that files have changed."""

    async def taken(self, version: str) -> None:  # noqa: ARG002 - others know
        """Wait until it has a version: as long as that usually takes."""
        await asyncio.sleep(_UNSEEN_S)


@dataclass(slots=True)
class AdminTells(Unseen):
    """An Envoy whose admin interface tells what it has taken.

    `part`: its process, if it is ours.
    """

    admin: Address
    part: Part | None = None
    _last_line: Callable[[], str] = str
    _rejected: int = 0

    def meet(self, processes: Processes) -> None:
        if (part := self.part) is not None:
            self._last_line = lambda: processes.last_line(part)

    async def before(self) -> None:
        found = await find_discovery(self.admin)
        if found is not None:
            self._rejected = found.rejected

    async def taken(self, version: str) -> None:
        """Wait until Envoy has a version. Raises SettingsError when it refuses it, NotYet when it
        takes too long: a machine may be busy.
        """
        clock = asyncio.get_running_loop().time
        began = clock()
        while clock() - began < _TAKEN_S:
            found = await find_discovery(self.admin)
            if found is None:
                if self.part is None:
                    return  # It does not run: it will start with these files.
            elif found.rejected > self._rejected:
                why = _LOG_PREFIX.sub("", self._last_line()) or "its log says why"
                raise SettingsError(f"Envoy refuses what was made of it: {why}")
            elif version in found.versions and (not found.warming or clock() - began > _WARM_S):
                return
            await asyncio.sleep(_LOOK_EVERY_S)
        raise NotYet(f"Envoy has not taken it in within {_TAKEN_S:g} s")


@dataclass(slots=True)
class WorkersTell(Unseen):
    """Envoys that discover by gRPC: the workers are told of changes, and note what Envoys say."""

    folder: Path
    _processes: Processes | None = None

    def meet(self, processes: Processes) -> None:
        self._processes = processes

    def changed(self) -> None:
        if self._processes is not None:
            self._processes.signal("worker-", signal.SIGUSR1)

    async def taken(self, version: str) -> None:
        """Wait until each Envoy has a version; one that is silent does not hold up the others.

        Envoy takes clusters once they serve: their names are looked up, their keys are there
        (updateClusterCounts() of its cluster manager). Raises SettingsError when one refuses it.
        """
        clock = asyncio.get_running_loop().time
        began, seen = clock(), False
        while clock() - began < (_ANSWERED_S if seen else _UNSEEN_S):
            said = [each for each in self._verdicts() if each.sent == version]
            for each in said:
                if each.refused == version:
                    raise SettingsError(f"Envoy {each.node} refuses it: {each.detail}")
            seen = bool(said)
            if seen and all(each.taken == version for each in said):
                return
            await asyncio.sleep(_LOOK_EVERY_S)

    def _verdicts(self) -> list[EnvoyVerdict]:
        found = []
        for file in self.folder.glob(Path(verdicts_file("", "*")).name):
            pid = int(file.stem.rpartition("-")[2])
            if _runs(pid):
                found += [EnvoyVerdict(*each) for each in json.loads(file.read_bytes())]
        return found


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@dataclass(slots=True)
class RunningEnvoy:
    """An Envoy, and the files from which it learns of changes.

    `environment`: ours, in which credentials are. `told`: who tells what it has taken.
    """

    topology: Topology
    environment: Mapping[str, str]
    secrets: SecretFiles
    told: Unseen
    provider: BuiltInProvider | None = None

    @property
    def ads_folder(self) -> Path | None:
        """Return the folder of what workers pass on; None if Envoy watches files."""
        return Path(self._discovery.folder) if self._discovery.by_ads else None

    def begin(self, settings: Settings) -> None:
        """Write the files with which Envoy starts, or which an Envoy that runs already takes now.

        Raises SettingsError.
        """
        write_first(settings, self._with_secrets(settings))

    async def prepare(self, settings: Settings, processes: Processes) -> None:
        """Write what Envoy is to read, and start what it will call.

        Raises SettingsError, PartFailed.
        """
        self.told.meet(processes)
        await write_change(settings, self._with_secrets(settings))
        if self.provider is not None:
            await self.provider.start_if_used(settings, processes)

    async def show(self, step: str) -> None:
        """Let Envoy take the files of a step, and wait until it has: clusters before the routes
        that name them, and the other way round where they go.

        Raises SettingsError when Envoy refuses one; it goes on with what it had.
        """
        files = [self._discovery.clusters, self._discovery.routes]
        for watched in reversed(files) if step == AFTER else files:
            new = step_file(watched, step)
            version = _version(new)
            if _version(Path(watched)) == version:
                continue
            earlier = self._contents(watched)
            await self.told.before()
            self._put(watched, self._contents(str(new)))
            try:
                await self.told.taken(version)
            except SettingsError:
                self._put(watched, earlier)
                raise
        if step == AFTER:
            (clusters, *_) = self._contents(self._discovery.clusters)
            self.secrets.forget_others(clusters.decode())

    @property
    def _discovery(self) -> Discovery:
        assert self.topology.discovery is not None
        return self.topology.discovery

    def _contents(self, file: str) -> list[bytes]:
        return [Path(each).read_bytes() for each in _forms(file)]

    def _put(self, watched: str, contents: list[bytes]) -> None:
        for each, content in zip(_forms(watched), contents, strict=True):
            put(each, content)
        self.told.changed()

    def _with_secrets(self, settings: Settings) -> Topology:
        """Return where everything is, with the files of these credentials. Raises SettingsError."""
        secrets = self.secrets.write(settings, self.environment)
        return replace(self.topology, discovery=replace(self._discovery, secrets=secrets))


def told_beside_serve(
    settings: Settings, environment: Mapping[str, str], folder: Path
) -> RunningEnvoy | None:
    """Write what `xds: files` or `xds: ads` needs, and return what keeps it current.

    None if Envoy's configuration is printed. `folder`: one of our own. Raises SettingsError.
    """
    ours, topology = settings.tollgate, beside_serve(settings.tollgate)
    if topology.discovery is None:
        return None
    by_ads = topology.discovery.by_ads
    watched = folder / "discovery" if by_ads else Path(topology.discovery.folder)
    told = Unseen() if topology.envoy_admin is None else AdminTells(topology.envoy_admin)
    if by_ads:
        _check_reached(ours)
        topology = replace(topology, discovery=replace(topology.discovery, folder=str(watched)))
        told = WorkersTell(watched)
    try:
        watched.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"tollgate.xds_folder: {watched}: {error.strerror}") from error
    # Envoy may be another user, of the folder's group: in a container, for example.
    secrets = SecretFiles(watched, 0o600 if by_ads else 0o640, aws=not by_ads, watched=not by_ads)
    found = RunningEnvoy(topology, environment, secrets, told)
    found.begin(settings)
    return found


def _check_reached(ours: TollgateSettings) -> None:
    """Raise SettingsError if anybody on a network could discover the providers' keys."""
    where = Address.parse(ours.serve_grpc)
    known = ours.serve_grpc_certificate is not None and ours.serve_grpc_client_ca is not None
    if not (where.path or is_local(where.host) or known):
        raise SettingsError(
            "tollgate.xds: `ads` gives the providers' keys to whoever reaches serve_grpc: set"
            " serve_grpc_client_ca, or serve this host alone"
        )


def _forms(file: str) -> tuple[str, str]:
    """Return a file of JSON, and the same as Envoy takes it."""
    return file, encoded_form(file)


class _Versioned(msgspec.Struct):
    """What a file of resources begins with; the rest is not read."""

    version_info: str


def _version(file: Path) -> str:
    return msgspec.json.decode(file.read_bytes(), type=_Versioned).version_info
