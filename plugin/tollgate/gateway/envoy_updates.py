"""What a running Envoy is told of a changed configuration, by files that it watches (xDS)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tollgate.core.errors import SettingsError
from tollgate.gateway.envoy_program import find_discovery
from tollgate.gateway.processes import Part, Processes
from tollgate.gateway.rendering import AFTER, put, step_file, write_change, write_first
from tollgate.gateway.secret_files import SecretFiles
from tollgate.settings import Settings
from tollgate.topology import Address, Discovery, Topology, beside_serve

_LOOK_EVERY_S = 0.02
# Names are looked up, and credentials read, before a new cluster serves. One that takes longer
# serves nobody, and does not hold up the others.
_WARM_S = 10.0
_TAKEN_S = 20.0
# Where nobody tells what Envoy has taken: a file takes it milliseconds, a look-up of a name longer.
_UNSEEN_S = 0.4


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


@dataclass(slots=True)
class RunningEnvoy:
    """An Envoy, and the files from which it learns of changes.

    `environment`: ours, in which credentials are. `admin`: Envoy's admin interface, which tells
    what it has taken; None if it cannot be asked. `part`: Envoy's process, if it is ours.
    """

    topology: Topology
    environment: Mapping[str, str]
    secrets: SecretFiles
    admin: Address | None
    part: Part | None = None
    provider: BuiltInProvider | None = None
    _last_line: Callable[[], str] = str

    def begin(self, settings: Settings) -> None:
        """Write the files with which Envoy starts, or which an Envoy that runs already takes now.

        Raises SettingsError.
        """
        write_first(settings, self._with_secrets(settings))

    async def prepare(self, settings: Settings, processes: Processes) -> None:
        """Write what Envoy is to read, and start what it will call.

        Raises SettingsError, PartFailed.
        """
        if (part := self.part) is not None:
            self._last_line = lambda: processes.last_line(part)
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
            before, after = _text(watched), _text(step_file(watched, step))
            version = json.loads(after)["version_info"]
            if json.loads(before)["version_info"] == version:
                continue
            found = None if self.admin is None else await find_discovery(self.admin)
            put(watched, after)
            try:
                await self._taken(version, 0 if found is None else found.rejected)
            except SettingsError:
                put(watched, before)
                raise
        if step == AFTER:
            self.secrets.forget_others(_text(self._discovery.clusters))

    @property
    def _discovery(self) -> Discovery:
        assert self.topology.discovery is not None
        return self.topology.discovery

    def _with_secrets(self, settings: Settings) -> Topology:
        """Return where everything is, with the files of these credentials. Raises SettingsError."""
        secrets = self.secrets.write(settings, self.environment)
        return replace(self.topology, discovery=replace(self._discovery, secrets=secrets))

    async def _taken(self, version: str, rejected: int) -> None:
        """Wait until Envoy has a version. Raises SettingsError when it refuses it, or is silent."""
        if self.admin is None:
            await asyncio.sleep(_UNSEEN_S)
            return
        clock = asyncio.get_running_loop().time
        began = clock()
        while clock() - began < _TAKEN_S:
            found = await find_discovery(self.admin)
            if found is None:
                if self.part is None:
                    return  # It does not run: it will start with these files.
            elif found.rejected > rejected:
                raise SettingsError(f"Envoy refuses what was made of it: {self._detail()}")
            elif version in found.versions and (not found.warming or clock() - began > _WARM_S):
                return
            await asyncio.sleep(_LOOK_EVERY_S)
        raise SettingsError("Envoy does not take it in")

    def _detail(self) -> str:
        return self._last_line() or "its log says why"


def told_by_files(settings: Settings, environment: Mapping[str, str]) -> RunningEnvoy | None:
    """Write the files of `xds: files`, and return what keeps them current.

    None if Envoy's configuration is printed. Raises SettingsError.
    """
    topology = beside_serve(settings.tollgate)
    if topology.discovery is None:
        return None
    folder = Path(topology.discovery.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"tollgate.xds_folder: {folder}: {error.strerror}") from error
    # Envoy may be another user, of the folder's group: in a container, for example.
    found = RunningEnvoy(topology, environment, SecretFiles(folder, 0o640), topology.envoy_admin)
    found.begin(settings)
    return found


def _text(file: str | Path) -> str:
    return Path(file).read_text(encoding="utf-8")
