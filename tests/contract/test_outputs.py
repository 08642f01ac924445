"""The port `OutputBook` over memory and a real Valkey: what deployments' replies had lately."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.connection.opening import open_pipe
from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.adapters.valkey.counters.outputs import PUBLISHED_AFTER_S, SharedOutputs
from tollgate.adapters.valkey.keys import OUTPUTS
from tollgate.core.requests.estimate import Lately
from tollgate.metering.unseen import OwnOutputs
from tollgate.ports import OutputBook

# Each begins on a store that is empty.
pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture(params=["memory", "valkey"])
async def book(request: pytest.FixtureRequest, pipe: Pipe) -> AsyncIterator[OutputBook]:
    if request.param == "memory":
        yield OwnOutputs()
        return
    shared = SharedOutputs(pipe)
    yield shared
    await shared.close()


async def test_nothing_is_known_before_a_reply(book: OutputBook) -> None:
    """Of no deployment."""
    assert await book.lately("d") is None


async def test_the_mean_of_what_replies_had(book: OutputBook) -> None:
    """Of each deployment its own."""
    for output_tokens, hidden_tokens in ((100, 40), (300, 60)):
        book.learn("d", output_tokens, hidden_tokens)
    book.learn("other", 7, 0)
    assert await book.lately("d") == Lately(200, 50)
    assert await book.lately("other") == Lately(7, 0)


async def test_workers_know_what_others_have_learned(pipe: Pipe) -> None:
    """A moment later; one that starts later goes on from there."""
    one, other = SharedOutputs(pipe), SharedOutputs(pipe)
    one.learn("d", 800, 0)
    await asyncio.sleep(3 * PUBLISHED_AFTER_S)
    assert await other.lately("d") == Lately(800, 0)
    late = SharedOutputs(pipe)
    await late.begin()
    late.learn("d", 400, 0)
    assert late.own("d") == Lately(600, 0)
    await late.close()
    assert await other.lately("d") == Lately(600, 0)


async def test_another_versions_entry_is_passed_over(store: Valkey, pipe: Pipe) -> None:
    """It is written anew with the next reply."""
    await store.hset(OUTPUTS, "d", "no number")  # type: ignore[misc]
    book = SharedOutputs(pipe)
    await book.begin()
    assert await book.lately("d") is None


async def test_while_the_store_is_down_a_worker_knows_what_it_has_seen() -> None:
    """And settles by that."""
    book = SharedOutputs(open_pipe("redis://127.0.0.1:1/0", 0.1))
    book.learn("d", 9, 1)
    await asyncio.sleep(3 * PUBLISHED_AFTER_S)
    assert await book.lately("d") == Lately(9, 1)
