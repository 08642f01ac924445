"""Work beside whoever started it."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from tollgate.background import Background


async def test_a_task_that_nobody_else_refers_to_runs_to_its_end() -> None:
    """A task, what it waits for and its frame refer to each other alone: without us they go."""
    background, waited_for, ended = Background(), [], []

    async def work() -> None:
        event = asyncio.Event()
        waited_for.append(weakref.ref(event))
        await event.wait()
        ended.append(True)

    background.start(work())
    await asyncio.sleep(0)
    gc.collect()
    assert len(background) == 1
    event = waited_for[0]()
    assert event is not None
    event.set()
    await background.drain()
    assert (ended, len(background)) == ([True], 0)


async def test_draining_waits_for_what_starts_meanwhile() -> None:
    background, ended = Background(), []

    async def second() -> None:
        await asyncio.sleep(0)
        ended.append("second")

    async def first() -> None:
        await asyncio.sleep(0)
        background.start(second())
        ended.append("first")

    background.start(first())
    await background.drain()
    assert ended == ["first", "second"]


async def test_draining_gives_up_after_its_time_and_lets_the_rest_go_on() -> None:
    background, may_end, ended = Background(), asyncio.Event(), []

    async def work() -> None:
        await may_end.wait()
        ended.append(True)

    background.start(work())
    await background.drain(0.01)
    assert (len(background), ended) == (1, [])
    may_end.set()
    await background.drain()
    assert ended == [True]


async def test_a_cancelled_starter_does_not_take_its_work_along() -> None:
    background, may_end, ended = Background(), asyncio.Event(), []

    async def work() -> str:
        await may_end.wait()
        ended.append(True)
        return "result"

    async def starter() -> None:
        background.start(work())
        await asyncio.Event().wait()

    starting = asyncio.create_task(starter())
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    may_end.set()
    await background.drain()
    assert ended == [True]


async def test_a_result_and_an_error_reach_those_who_wait_for_the_task() -> None:
    background = Background()

    async def fails() -> None:
        raise ValueError("as the test says")

    async def works() -> int:
        return 7

    assert await background.start(works()) == 7
    with pytest.raises(ValueError, match="as the test says"):
        await background.start(fails())
    assert len(background) == 0
