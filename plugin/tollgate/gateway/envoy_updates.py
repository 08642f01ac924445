"""What a running Envoy is told of a changed configuration, by files that it watches (xDS)."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tollgate.core.errors import SettingsError
from tollgate.gateway.envoy_program import Discovering, discovering
from tollgate.gateway.processes import Part, Processes
from tollgate.gateway.rendering import AFTER, step_file, write_change
from tollgate.settings import Credential, Settings
from tollgate.topology import Address, Topology

_LOOK_EVERY_S = 0.02
# Names are looked up, and credentials read, before a new cluster serves. One that takes longer
# serves nobody, and does not hold up the others.
_WARM_S = 10.0
_TAKEN_S = 20.0
_SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"


@dataclass(slots=True)
class RunningEnvoy:
    """Envoy as it was started, and what it has been told since.

    `environment`: ours, in which credentials are. `mock`: the built-in
    provider, which is started when a deployment first needs it.
    """

    topology: Topology
    admin: Address
    part: Part
    environment: Mapping[str, str]
    mock: Part
    mock_runs: bool
    _secret_files: dict[tuple[str, str], str] = field(default_factory=dict)
    _lines: Processes | None = None

    async def prepare(self, settings: Settings, processes: Processes) -> None:
        """Write what Envoy is to read, and start what it will call.

        Raises SettingsError, PartFailed.
        """
        self._lines = processes
        discovery = self.topology.discovery
        assert discovery is not None
        secrets = self._secrets(settings, Path(discovery.folder))
        topology = replace(self.topology, discovery=replace(discovery, secrets=secrets))
        await write_change(settings, topology)
        if settings.uses_mock and not self.mock_runs:
            await processes.start_beside(self.mock, "admin")
            self.mock_runs = True

    async def show(self, step: str) -> None:
        """Let Envoy take the files of a step, and wait until it has: clusters before the routes
        that name them, and the other way round where they go.

        Raises SettingsError when Envoy refuses one; it goes on with what it had.
        """
        discovery = self.topology.discovery
        assert discovery is not None
        files = [discovery.clusters, discovery.routes]
        for watched in reversed(files) if step == AFTER else files:
            before, after = _text(watched), _text(step_file(watched, step))
            version = json.loads(after)["version_info"]
            if json.loads(before)["version_info"] == version:
                continue
            rejected = (await discovering(self.admin)).rejected
            _put(watched, after)
            try:
                await self._taken(version, rejected)
            except SettingsError:
                _put(watched, before)
                raise

    async def _taken(self, version: str, rejected: int) -> None:
        """Wait until Envoy has a version. Raises SettingsError when it refuses it, or is silent."""
        clock = asyncio.get_running_loop().time
        began = clock()
        while clock() - began < _TAKEN_S:
            found: Discovering = await discovering(self.admin)
            if found.rejected > rejected:
                said = "" if self._lines is None else self._lines.last_line(self.part)
                raise SettingsError(f"Envoy refuses what was made of it: {said}")
            if version in found.versions and (not found.warming or clock() - began > _WARM_S):
                return
            await asyncio.sleep(_LOOK_EVERY_S)
        raise SettingsError("Envoy does not take it in")

    def _secrets(self, settings: Settings, folder: Path) -> dict[str, str]:
        """Write credentials that Envoy's environment does not hold, each to a file of its own, and
        return their files. A file's content never changes: calls in flight may need it.

        Raises SettingsError for those that nobody has set.
        """
        if missing := settings.missing_variables(self.environment):
            raise SettingsError("\n".join(missing))
        found = {}
        for name, credential in settings.credentials.items():
            value = credential.value or self.environment[credential.variable]
            if self.part.environment.get(credential.variable) == value:
                continue
            if name == credential.variable:
                raise SettingsError(
                    f"{name}: Envoy reads its own AWS credentials at its start only: restart"
                )
            file = self._secret_files.get((credential.variable, value))
            if file is None:
                file = str(folder / f"secret-{len(self._secret_files)}.json")
                _write_secret(Path(file), credential, value)
                self._secret_files[credential.variable, value] = file
            found[credential.variable] = file
        return found


def _text(file: str | Path) -> str:
    return Path(file).read_text(encoding="utf-8")


def _put(watched: str, text: str) -> None:
    """Let a file have another text at once: Envoy looks when one is moved to its place."""
    new = Path(f"{watched}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(watched)


def _write_secret(file: Path, credential: Credential, value: str) -> None:
    text = value
    if not credential.aws:
        secret = {
            "name": credential.variable,
            "generic_secret": {"secret": {"inline_string": value}},
        }
        text = json.dumps({"resources": [{"@type": _SECRET, **secret}]})
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(text)
