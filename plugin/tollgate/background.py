"""Work that runs in tasks of its own, beside whoever started it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """Tasks that belong to one object, from their start to their end.

    Each is referenced until it ends: the event loop holds its tasks weakly, so a task that nobody
    else refers to may be collected unfinished
    (https://docs.python.org/3/library/asyncio-task.html#asyncio.create_task). Cancelling whoever
    started a task does not cancel the task. Work handles its own errors: one that it lets out
    reaches only those who await the task.
    """

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run work in a task, and return the task for those who wait for its result."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def running(self) -> tuple[asyncio.Task[Any], ...]:
        """Return the tasks that have not ended."""
        return tuple(self._tasks)

    async def drain(self, timeout_s: float | None = None) -> None:
        """Wait until no task runs, or at most `timeout_s` seconds.

        Tasks that start meanwhile are waited for too. What still runs afterwards goes on.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        except TimeoutError:
            pass


@asynccontextmanager
async def beside(coroutine: Coroutine[None, None, Any]) -> AsyncIterator[None]:
    """Run a coroutine beside the block, and cancel it at the end of the block."""
    task = asyncio.create_task(coroutine)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
