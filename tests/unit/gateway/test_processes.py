"""How parts are run: real processes, and a supervisor that looks more often than usual."""

from __future__ import annotations

import asyncio
import itertools
import signal
import sys
from collections.abc import AsyncIterator

import pytest

from tollgate.gateway import processes
from tollgate.gateway.part import Part
from tollgate.gateway.processes import PartFailed, Processes

SERVES = "import time; print('ready', flush=True); time.sleep(60)"


def part(program: str, **options: object) -> Part:
    return Part("p", (sys.executable, "-c", program), {}, **options)  # type: ignore[arg-type]


class Running:
    """Processes, and what they said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.heard = asyncio.Event()
        self.all: list[Processes] = []

    def of(self, *parts: Part) -> Processes:
        made = Processes([parts], self.say)
        self.all.append(made)
        return made

    def say(self, line: str) -> None:
        self.said.append(line)
        self.heard.set()

    async def until(self, text: str) -> None:
        """Wait until a line holds some text."""
        async with asyncio.timeout(20):
            while not any(text in line for line in self.said):
                self.heard.clear()
                await self.heard.wait()


@pytest.fixture
async def running(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.setattr(processes, "_LOOK_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(processes, "_FIRST_PAUSE_SECONDS", 0.01)
    made = Running()
    yield made
    for each in made.all:
        await each.stop(asyncio.Event())


async def test_a_part_whose_pulse_stands_still_is_named_killed_and_started_again(
    running: Running,
) -> None:
    """It runs, but does nothing any more."""
    await running.of(part(SERVES, pulse=lambda: 7, restarts=True)).start()
    await running.until("again")
    assert running.said[1].startswith("p         hangs  (no sign of life for 0.06 s; killed")
    assert "was killed by SIGKILL; starts again" in running.said[2]


async def test_a_part_whose_pulse_goes_on_is_left_in_peace(running: Running) -> None:
    """However often it is looked at."""
    beats, looked = itertools.count(), asyncio.Event()

    def pulse() -> int:
        beat = next(beats)
        if beat > 3 * processes._LOOKS_IN_VAIN:
            looked.set()
        return beat

    await running.of(part(SERVES, pulse=pulse, restarts=True)).start()
    await asyncio.wait_for(looked.wait(), 20)
    assert running.said == ["p         ready"]


async def test_a_part_that_ends_before_it_serves_is_told_with_its_last_lines(
    running: Running,
) -> None:
    """What it printed says why."""
    program = "import sys; print('no such file', file=sys.stderr); sys.exit(3)"
    with pytest.raises(PartFailed, match=r"p ended with exit code 3\n  no such file"):
        await running.of(part(program, quiet=True)).start()


async def test_the_end_of_a_part_that_is_not_restarted_is_the_end_of_all(running: Running) -> None:
    made = running.of(part("import time; print('ready', flush=True); time.sleep(1)"))
    await made.start()
    assert str(await made.failure()) == "p ended with exit code 0"


async def test_a_program_that_is_not_there_is_named(running: Running) -> None:
    with pytest.raises(PartFailed, match="p cannot be started: /no/program: No such file"):
        await running.of(Part("p", ("/no/program",), {})).start()


async def test_a_part_that_does_not_heed_sigterm_is_killed_after_its_grace(
    running: Running,
) -> None:
    program = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SERVES}"
    made = running.of(part(program, grace_seconds=0.1))
    await made.start()
    await made.stop(asyncio.Event())
    assert str(await made._runs["p"].ended()) == "p was killed by SIGKILL"


async def test_kill_waits_for_nobody(running: Running) -> None:
    made = running.of(part(SERVES))
    await made.start()
    await made.kill()
    assert str(await made._runs["p"].ended()) == "p was killed by SIGKILL"


ANSWERS = (
    "import os, signal\n"
    "signal.signal(signal.SIGHUP, lambda *_: os.write(1, b'{answer}\\n'))\n"
    "print('ready', flush=True)\n"
    "while True: signal.pause()\n"
)


@pytest.mark.parametrize("answer", ["configured", "not configured: no such file"])
async def test_a_part_that_is_told_of_a_change_answers(running: Running, answer: str) -> None:
    """Each time that it is told."""
    told = part(ANSWERS.format(answer=answer))
    found = running.of(told)
    await found.start()
    assert [await found.tell(told, signal.SIGHUP) for _ in range(3)] == [answer] * 3


async def test_a_part_that_ends_instead_of_answering_is_not_waited_for(running: Running) -> None:
    """Its next life reads the change by itself."""
    told = part(ANSWERS.replace("os.write(1, b'{answer}\\n')", "exit(0)"), restarts=True)
    found = running.of(told)
    await found.start()
    assert await found.tell(told, signal.SIGHUP) == ""
    await running.until("again")


async def test_one_more_part_may_start_and_stops_with_the_others(running: Running) -> None:
    """One that does not come up is no part."""
    found = running.of(part(SERVES))
    await found.start()
    more = Part("more", (sys.executable, "-c", SERVES), {})
    await found.start_beside(more, "p")
    assert "more      ready" in running.said
    with pytest.raises(PartFailed, match="broken"):
        await found.start_beside(Part("broken", (sys.executable, "-c", "exit(1)"), {}), "p")
    await found.stop(asyncio.Event())
    assert await found.tell(more, signal.SIGHUP) == ""
