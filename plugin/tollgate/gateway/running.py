"""Runs a plan: starts its parts, takes in what changes, and ends them in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from tollgate.app.store import meet_store
from tollgate.core.errors import SettingsError
from tollgate.gateway.processes import PartFailed, Processes
from tollgate.gateway.supervisor import Plan


def run(plan: Plan, say: Callable[[str], None]) -> str | None:
    """Run a plan until SIGINT or SIGTERM, its terminal's end, or a failure.

    SIGHUP looks at the configuration file at once, where the plan has one that may change.
    The first signal lets calls under way end, the second cuts them, the third kills everything.
    Returns None when it ended as it was told to, otherwise why it could not go on.
    """
    return asyncio.run(_run(plan, say))


async def _run(plan: Plan, say: Callable[[str], None]) -> str | None:
    told, hurry, at_once = orders = [asyncio.Event() for _ in range(3)]

    def tell() -> None:
        next((each for each in orders if not each.is_set()), at_once).set()

    changed, terminal = asyncio.Event(), _has_terminal()

    def hang_up() -> None:
        if plan.live is None or (terminal and not _has_terminal()):
            tell()
        else:
            changed.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, tell)
    loop.add_signal_handler(signal.SIGHUP, hang_up)
    processes = Processes(plan.stages, say)
    failure: str | None = None
    try:
        met = plan.own_store is None or await _first(meet_store(plan.own_store, say), told)
        if met and await _first(_start(plan, processes, say), told):
            say(plan.ready)
            await _first(_serve(plan, processes, changed, say), told)
    except (PartFailed, SettingsError) as error:
        failure = str(error)
    if told.is_set():
        say("stopping: calls in flight may finish, a second signal cuts them")
    if not await _first(processes.stop(hurry), at_once):
        await processes.kill()
        failure = failure or "killed at once by the third signal, without stopping in order"
    return failure


async def _start(plan: Plan, processes: Processes, say: Callable[[str], None]) -> None:
    """Start the parts, with all models that the store has. Raises PartFailed."""
    live = plan.live
    if live is None:
        await processes.start()
        return
    await processes.start(lambda: live.take_in_added(processes, say))
    await live.start_provider(processes)


def _has_terminal() -> bool:
    """Whether somebody's terminal controls us: when it goes, we are told by SIGHUP."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


async def _serve(
    plan: Plan, processes: Processes, changed: asyncio.Event, say: Callable[[str], None]
) -> None:
    """Take in what changes until a part fails. Raises PartFailed."""
    failing = asyncio.create_task(processes.failure())
    tasks: list[asyncio.Task[Any]] = [failing]
    if plan.live is not None:
        tasks.append(asyncio.create_task(plan.live.follow(processes, changed, say)))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if failing.done():
            raise failing.result()
        tasks[-1].result()
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _first(work: Coroutine[Any, Any, None], event: asyncio.Event) -> bool:
    """Do the work unless the event comes first. True: it was done."""
    task, waiting = asyncio.create_task(work), asyncio.create_task(event.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        task.result()
        return True
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return False
