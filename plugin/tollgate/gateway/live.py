"""The configuration file of a running gateway: watched, and taken in without a restart.

A change is refused whole or taken whole. Order: every process learns to settle what comes; Envoy
serves what was and what comes; admission changes; after a while Envoy forgets what was. So no call
meets a part that does not know its model.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tollgate.core.errors import NotYet, SettingsError, TollgateError
from tollgate.gateway.envoy_updates import RunningEnvoy
from tollgate.gateway.part import Part
from tollgate.gateway.processes import PartFailed, Processes
from tollgate.gateway.rendering import AFTER, BETWEEN
from tollgate.settings import Settings, TollgateSettings
from tollgate.settings.included import read_with_sources, uncollected
from tollgate.snapshot import CONFIGURED, NOT_CONFIGURED, Snapshot

LIVE_FIELDS = frozenset(
    {
        "client_left",
        "default_input_cost_per_token",
        "default_limits",
        "default_output_cost_per_token",
        "default_output_tokens",
        "enforce",
        "errors",
        "ietf_headers",
        "limits",
        "max_output_ceiling",
        "pass_client_headers",
        "price_file",
        "proxy_max_parallel_requests",
        "proxy_rpm_limit",
        "proxy_tpm_limit",
        "unknown_paths",
        "unpriced_models",
    }
)
"""The fields of `tollgate:` that may change while the gateway runs; all other sections may."""

_LOOK_EVERY_S = 0.1
_WRITTEN_S = 0.1
# Calls that were admitted before a change have met their route by then. On a removed cluster they
# run on: Envoy drains its connections.
_FORGET_AFTER_S = 5.0
# A change that could not be taken in for the time being is tried again.
_TRY_AGAIN_S = 10.0

Signature = tuple[tuple[str, int, int, int], ...]


@dataclass(slots=True)
class LiveConfiguration:
    """One gateway's configuration.

    `load` validates a file with what the command line says instead. `settings`: what is in force.
    `parts`: the processes that take it in. `reads_added`: the program that writes down the models
    that were added over the API. `envoy`: None where nobody tells it of changes.
    """

    file: Path
    load: Callable[[Path], Settings]
    snapshot: Snapshot
    settings: Settings
    parts: Sequence[Part] = ()
    reads_added: Part | None = None
    envoy: RunningEnvoy | None = None
    _sources: frozenset[Path] = field(default=frozenset())
    _forgetting: asyncio.Task[None] | None = None

    @classmethod
    def begin(
        cls, file: Path, load: Callable[[Path], Settings], settings: Settings, folder: Path
    ) -> LiveConfiguration:
        """Take the snapshot with which the processes start. Raises SettingsError."""
        snapshot = Snapshot(folder)
        document, sources = read_with_sources(file)
        snapshot.propose(document)
        snapshot.accept()
        snapshot.handle(snapshot.added_version())
        return cls(file, load, snapshot, settings, _sources=sources)

    async def follow(
        self, processes: Processes, told: asyncio.Event, say: Callable[[str], None]
    ) -> None:
        """Take in the file whenever it, or one that it includes, has changed or `told` is set, and
        models that are added over the API.

        For ever.
        """
        # What has changed since the start is found at the first look.
        seen: Signature = ()
        self._forget_later(say)
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(told.wait(), _LOOK_EVERY_S)
                found = self._signature()
                if not told.is_set():
                    if found == seen:
                        continue
                    # Somebody may still be writing.
                    await asyncio.sleep(_WRITTEN_S)
                    if self._signature() != found:
                        continue
                told.clear()
                seen = found
                if not await self._change(processes, say):
                    asyncio.get_running_loop().call_later(_TRY_AGAIN_S, told.set)
        finally:
            self._keep_what_was()

    async def take_in_added(self, processes: Processes, say: Callable[[str], None]) -> None:
        """Take in the models that were added over the API, before anybody serves.

        Workers would refuse calls of those that they do not know yet, and an Envoy that runs
        already would drop their clusters and routes. Raises PartFailed.
        """
        if self.reads_added is None:
            return
        await processes.run_to_end(self.reads_added)
        self.snapshot.handle(self.snapshot.added_version())
        if not self.snapshot.added.exists():
            return
        try:
            document, _ = read_with_sources(self.snapshot.in_force)
            self.snapshot.propose(self.snapshot.with_added(document))
            coming = self.load(self.snapshot.coming)
            if self.envoy is not None:
                self.envoy.begin(coming)
        except SettingsError as error:
            self._refuse(error, say)
        else:
            self.snapshot.accept()
            self.settings = coming

    async def start_provider(self, processes: Processes) -> None:
        """Start the built-in provider if a model of the API alone needs it. Raises PartFailed."""
        if self.envoy is not None and self.envoy.provider is not None:
            await self.envoy.provider.start_if_used(self.settings, processes)

    async def _change(self, processes: Processes, say: Callable[[str], None]) -> bool:
        """Return whether that is done with; else what was refused may be taken in later."""
        added = self.snapshot.added_version()
        done = await self._take_or_refuse(processes, say)
        self.snapshot.handle(added)
        return done

    async def _take_or_refuse(self, processes: Processes, say: Callable[[str], None]) -> bool:
        try:
            coming = await self._prepare(processes)
            if coming is None:
                return True
            if self.envoy is not None:
                await self.envoy.show(BETWEEN)
        except (SettingsError, PartFailed) as error:
            self._refuse(error, say)
            # Those that had learned what was to come forget it.
            await self._tell(processes)
            return not isinstance(error, NotYet)
        self.snapshot.accept()
        if faults := await self._tell(processes):
            say("\n".join(faults))
        say(_summary(self.settings, coming, ours=self.envoy is not None))
        self.settings = coming
        self._forget_later(say)
        return True

    def _refuse(self, error: TollgateError, say: Callable[[str], None]) -> None:
        """Keep what is wrong for whoever watches, and say it."""
        refusal = str(error).replace(str(self.snapshot.coming), str(self.file))
        self.snapshot.refuse(refusal)
        say("the changed configuration is refused, and the running one stays:")
        for line in refusal.splitlines():
            say(f"  {line}")

    async def _prepare(self, processes: Processes) -> Settings | None:
        """Let everything know what is to come. None: nothing has changed.

        Raises SettingsError, PartFailed.
        """
        with uncollected():
            document, self._sources = read_with_sources(self.file)
            self.snapshot.propose(self.snapshot.with_added(document))
            if self.snapshot.coming.read_bytes() == self.snapshot.in_force.read_bytes():
                self.snapshot.forget()
                return None
            coming = self.load(self.snapshot.coming)
        _check_lasting(self.settings.tollgate, coming.tollgate)
        # At the same time: both take a large part of what a change takes.
        telling = asyncio.create_task(self._tell(processes))
        try:
            if self.envoy is not None:
                self._keep_what_was()
                await self.envoy.prepare(coming, processes)
        finally:
            faults = await telling
        if faults:
            raise SettingsError("\n".join(faults))
        return coming

    async def _tell(self, processes: Processes) -> list[str]:
        """Tell the processes to take in the snapshot; one line for each that cannot."""
        answers = await asyncio.gather(
            *(processes.tell(part, signal.SIGHUP) for part in self.parts)
        )
        # Who has ended reads the snapshot at its next start.
        return [
            answer.removeprefix(f"{NOT_CONFIGURED}: ")
            for answer in dict.fromkeys(answers)
            if answer not in ("", CONFIGURED)
        ]

    def _forget_later(self, say: Callable[[str], None]) -> None:
        if self.envoy is not None:
            self._forgetting = asyncio.create_task(self._forget(self.envoy, say))

    async def _forget(self, envoy: RunningEnvoy, say: Callable[[str], None]) -> None:
        await asyncio.sleep(_FORGET_AFTER_S)
        try:
            await envoy.show(AFTER)
        except SettingsError as error:
            say(f"Envoy keeps what was removed: {error}")

    def _keep_what_was(self) -> None:
        """Let a later change forget what an earlier one has removed."""
        if self._forgetting is not None:
            self._forgetting.cancel()

    def _signature(self) -> Signature:
        """Tells another value when a file that was read is another, or was written."""
        found = []
        for each in sorted({self.file, self.snapshot.added, *self._sources}):
            with contextlib.suppress(OSError):
                status = each.stat()
                found.append((str(each), status.st_mtime_ns, status.st_size, status.st_ino))
        return tuple(found)


def _check_lasting(now: TollgateSettings, coming: TollgateSettings) -> None:
    """Raise SettingsError with a line for each changed field that is read at the start only."""
    changed = [
        name
        for name in type(now).model_fields
        if name not in LIVE_FIELDS and getattr(now, name) != getattr(coming, name)
    ]
    if changed:
        raise SettingsError(
            "\n".join(
                f"tollgate.{each}: is read at the start only; restart, or leave it as it was"
                for each in changed
            )
        )


def _summary(before: Settings, after: Settings, *, ours: bool) -> str:
    """One line on what has changed. `ours`: Envoy's routes have changed with it."""
    old, new = ({each.id: each for each in settings.deployments} for settings in (before, after))
    counts = {
        "added": len(new.keys() - old.keys()),
        "removed": len(old.keys() - new.keys()),
        "changed": sum(new[each] != old[each] for each in new.keys() & old.keys()),
    }
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    line = "the changed configuration is in force" + (f" (deployments: {told})" if told else "")
    if told and not ours:
        line += "; Envoy's has to follow: tollgate envoy-config"
    return line
