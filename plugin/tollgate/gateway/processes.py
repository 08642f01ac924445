"""Run programs as parts of one whole: start in order, wait until ready, restart or fail, stop in
order.

No part is known by name here; supervisor.py defines them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tollgate import logs
from tollgate.app.forks.orphans import die_with_parent
from tollgate.core.errors import TollgateError
from tollgate.gateway.forking import Forking
from tollgate.gateway.part import Part

ANSWERS = ("configured", "not configured")
"""How lines begin with which a part answers that it was told of a changed configuration."""

_START_SECONDS = 30.0
_PROBE_SECONDS = 0.05
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0
# A part that ran this long before it died is restarted after the shortest pause.
_STABLE_SECONDS = 30.0
# A part that gives no sign of life at this many checks in a row hangs. Checks are counted instead
# of seconds, because a machine that was suspended must not count as a hang.
_LOOK_EVERY_SECONDS = 1.0
_LOOKS_IN_VAIN = 6
# A part takes in a configuration within a second.
_ANSWER_SECONDS = 30.0
# Envoy says why it aborts some thirty lines before the last one.
_KEPT_LINES = 40
_LONGEST_LINE_BYTES = 1 << 20


class Program(Protocol):
    """What runs a part: a child process, or a fork."""

    stdout: asyncio.StreamReader | None
    stderr: asyncio.StreamReader | None

    @property
    def returncode(self) -> int | None:
        """Return the exit code; None while it runs."""

    async def wait(self) -> int:
        """Wait for its end, and return its exit code."""
        ...

    def send_signal(self, signal: int, /) -> None:
        """Send a signal."""


class PartFailed(TollgateError):
    """A part did not start, or has ended. The message is a sentence plus its last output."""


@dataclass(slots=True)
class _Run:
    """One run of a part."""

    part: Part
    process: Program
    said_ready: asyncio.Event = field(default_factory=asyncio.Event)
    answers: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES))
    readers: list[asyncio.Task[None]] = field(default_factory=list)

    async def ended(self) -> PartFailed:
        """Wait for the end and return how it came about."""
        code = await self.process.wait()
        # Its children may hold the pipes open.
        await asyncio.wait(self.readers, timeout=1)
        how = (
            f"was killed by {signal.Signals(-code).name}"
            if code < 0
            else f"ended with exit code {code}"
        )
        return PartFailed(
            "\n".join([f"{self.part.name} {how}", *(f"  {line}" for line in self.lines)])
        )


class Processes:
    """Parts in stages: those of one stage start and stop together, and rest on earlier stages."""

    def __init__(self, stages: Sequence[Sequence[Part]], say: Callable[[str], None]) -> None:
        self._stages = [list(stage) for stage in stages]
        self._say = say
        self._runs: dict[str, _Run] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._forking = Forking(_LONGEST_LINE_BYTES)
        self._failure: asyncio.Future[PartFailed] = asyncio.get_running_loop().create_future()

    async def start(self, prepare: Callable[[], Awaitable[None]] | None = None) -> None:
        """Start stage by stage. `prepare` is awaited between the first stage and the others.

        Raises PartFailed if a part does not become ready; stop() must still be called.
        """
        if first := next((part for stage in self._stages for part in stage if part.forked), None):
            # It imports while earlier stages start.
            await self._forking.begin(first.environment)
        for number, stage in enumerate(self._stages):
            if number == 1 and prepare is not None:
                await prepare()
            runs = [await self._spawn(part) for part in stage]
            for run in runs:
                await self._until_ready(run)
                self._say(_line(run.part, "ready", run.part.note))
        self._keepers = [
            asyncio.create_task(self._keep(part)) for stage in self._stages for part in stage
        ]

    async def start_beside(self, part: Part, other: str) -> None:
        """Start one more part while the others run; it stops in the stage of the other part.

        Raises PartFailed when it does not come up; then it is no part.
        """
        run = await self._spawn(part)
        try:
            await self._until_ready(run)
        except PartFailed:
            _signal(run, signal.SIGKILL)
            del self._runs[part.name]
            raise
        self._say(_line(part, "ready", part.note))
        next(stage for stage in self._stages if any(each.name == other for each in stage)).append(
            part
        )
        self._keepers.append(asyncio.create_task(self._keep(part)))

    async def run_to_end(self, part: Part) -> None:
        """Run a program that ends by itself. Raises PartFailed unless it succeeds."""
        run = await self._spawn(part)
        if await run.process.wait() != 0:
            raise await run.ended()

    def last_line(self, part: Part) -> str:
        """Return what a quiet part has printed last."""
        lines = self._runs[part.name].lines
        return lines[-1] if lines else ""

    async def tell(self, part: Part, number: signal.Signals) -> str:
        """Send a signal to a part that serves, and return the line with which it answers.

        Empty: it has ended, or it does not answer.
        """
        run = self._runs[part.name]
        ended = asyncio.create_task(run.process.wait())
        answered = asyncio.create_task(_answer(run, number))
        try:
            await asyncio.wait(
                (answered, ended), timeout=_ANSWER_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            return answered.result() if answered.done() else ""
        finally:
            await _cancel((answered, ended))

    def signal(self, beginning: str, number: signal.Signals) -> None:
        """Send a signal to the parts whose names begin so; none of them answers."""
        for name, run in self._runs.items():
            if name.startswith(beginning):
                _signal(run, number)

    async def failure(self) -> PartFailed:
        """Wait until a part that is not restarted has ended."""
        return await asyncio.shield(self._failure)

    async def stop(self, hurry: asyncio.Event) -> None:
        """Stop the last stage first; each part gets its grace period, then SIGKILL.

        `hurry` ends draining.
        """
        await _cancel(self._keepers)
        for stage in reversed(self._stages):
            running = [run for part in stage if (run := self._runs.get(part.name)) is not None]
            await asyncio.gather(*(_stop(run, hurry) for run in running))
        await self._forking.end()

    async def kill(self) -> None:
        """Kill everything immediately."""
        await _cancel(self._keepers)
        for run in self._runs.values():
            _signal(run, signal.SIGKILL)
        for run in self._runs.values():
            await run.process.wait()
        await self._forking.end()

    async def _spawn(self, part: Part) -> _Run:
        try:
            process = await self._started(part)
        except OSError as error:
            raise PartFailed(
                f"{part.name} cannot be started: {part.argv[0]}: {error.strerror}"
            ) from error
        run = _Run(part, process)
        self._runs[part.name] = run
        streams = [stream for stream in (process.stdout, process.stderr) if stream is not None]
        run.readers = [asyncio.create_task(_read(run, stream)) for stream in streams]
        return run

    async def _started(self, part: Part) -> Program:
        """Start a part's program. Raises OSError."""
        if part.forked:
            return await self._forking.fork(part.argv, part.environment, part.orphaned)
        parent = os.getpid()
        return await asyncio.create_subprocess_exec(
            *part.argv,
            env=dict(part.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            limit=_LONGEST_LINE_BYTES,
            pass_fds=part.keep_open,
            # Ctrl-C reaches the whole process group of the terminal, but the order of stopping is
            # ours.
            start_new_session=True,
            preexec_fn=lambda: die_with_parent(parent, part.orphaned),
        )

    async def _until_ready(self, run: _Run) -> None:
        """Wait until the part is ready. Raises PartFailed if it ends or takes too long."""
        ready = asyncio.create_task(_ready(run))
        ended = asyncio.create_task(run.process.wait())
        try:
            await asyncio.wait(
                (ready, ended), timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if ended.done():
                raise await run.ended()
            if not ready.done():
                raise PartFailed(
                    f"{run.part.name} did not become ready within {_START_SECONDS:.0f} seconds"
                )
        finally:
            await _cancel((ready, ended))

    async def _keep(self, part: Part) -> None:
        """Watch one part for as long as we run."""
        pause = _FIRST_PAUSE_SECONDS
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            failure = await self._end_of(self._runs[part.name])
            if not part.restarts:
                if not self._failure.done():
                    self._failure.set_result(failure)
                return
            pause = _FIRST_PAUSE_SECONDS if clock() - began > _STABLE_SECONDS else pause
            self._say(
                _line(part, "ended", f"{str(failure).splitlines()[0]}; starts again in {pause:g} s")
            )
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            with contextlib.suppress(PartFailed):
                run = await self._spawn(part)
                await self._until_ready(run)
                self._say(_line(part, "ready", "again"))

    async def _end_of(self, run: _Run) -> PartFailed:
        """Wait until a part has ended, by itself or because it hung and was killed."""
        watching = asyncio.create_task(self._kill_when_it_hangs(run))
        try:
            return await run.ended()
        finally:
            await _cancel((watching,))

    async def _kill_when_it_hangs(self, run: _Run) -> None:
        pulse, in_vain = run.part.pulse, 0
        if pulse is None:
            return
        last = pulse()
        while in_vain < _LOOKS_IN_VAIN:
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            felt = pulse()
            in_vain = in_vain + 1 if felt == last else 0
            last = felt
        self._say(
            _line(
                run.part,
                "hangs",
                f"no sign of life for {in_vain * _LOOK_EVERY_SECONDS:g} s; killed",
            )
        )
        _signal(run, signal.SIGKILL)


def _line(part: Part, state: str, note: str) -> str:
    return f"{part.name:<9} {state}" + (f"  ({note})" if note else "")


async def _answer(run: _Run, number: signal.Signals) -> str:
    await run.said_ready.wait()
    while not run.answers.empty():
        run.answers.get_nowait()
    _signal(run, number)
    return await run.answers.get()


async def _ready(run: _Run) -> None:
    probe = run.part.probe
    if probe is None:
        await run.said_ready.wait()
        return
    while not await probe():  # noqa: ASYNC110 - another program's state sends us no event
        await asyncio.sleep(_PROBE_SECONDS)


async def _read(run: _Run, stream: asyncio.StreamReader) -> None:
    """Read what the part prints until it closes the pipe, since a full pipe would block it."""
    while True:
        try:
            raw = await stream.readline()
        except ValueError:
            continue  # A line beyond the limit; the reader has dropped it.
        if not raw:
            return
        line = raw.decode(errors="replace").rstrip()
        if line.startswith("ready") and stream is run.process.stdout:
            run.said_ready.set()
            continue
        if line.startswith(ANSWERS) and stream is run.process.stdout:
            run.answers.put_nowait(line)
            continue
        if run.part.quiet:
            run.lines.append(line)
        else:
            logs.relay(run.part.name, line)


async def _stop(run: _Run, hurry: asyncio.Event) -> None:
    if run.process.returncode is None and run.part.drain is not None:
        await run.part.drain(hurry)
    _signal(run, signal.SIGTERM)
    ended = asyncio.create_task(run.process.wait())
    hurrying = asyncio.create_task(_hurry(run, hurry))
    await asyncio.wait((ended,), timeout=run.part.grace_seconds)
    await _cancel((hurrying,))
    if not ended.done():
        _signal(run, signal.SIGKILL)
    await ended
    await asyncio.wait(run.readers, timeout=1)


async def _hurry(run: _Run, hurry: asyncio.Event) -> None:
    if run.part.hurried is not None:
        await hurry.wait()
        _signal(run, run.part.hurried)


def _signal(run: _Run, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        run.process.send_signal(number)


async def _cancel(
    tasks: Sequence[asyncio.Task[None] | asyncio.Task[int] | asyncio.Task[str]],
) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
