"""The port `ValueBook` over memory, one Valkey and a cluster: how many values are told apart."""

from __future__ import annotations

import asyncio

import pytest
from tests.fakes import FixedClock, MemoryValues
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.adapters.valkey.counters.value_book import ValkeyValueBook
from tollgate.adapters.valkey.keys import values_key
from tollgate.ports.value_ports import ValueBook

# Each begins on a store that is empty.
pytestmark = pytest.mark.usefixtures("store")

MINUTE_US = 60_000_000


@pytest.fixture(params=["memory", "valkey", "cluster"])
def book(request: pytest.FixtureRequest) -> ValueBook:
    if request.param == "memory":
        return MemoryValues(FixedClock())
    name = "pipe" if request.param == "valkey" else "cluster_pipe"
    return ValkeyValueBook(request.getfixturevalue(name))


async def test_new_values_are_remembered_up_to_the_bound(book: ValueBook) -> None:
    """Known ones stay known; dimensions have each its own."""
    remembered = [await book.remember("tag", each, 2, MINUTE_US) for each in "abcab"]
    assert remembered == [True, True, False, True, True]
    assert await book.remember("session", "c", 2, MINUTE_US)
    assert await book.remember("tag", "c", 3, MINUTE_US)


async def test_a_bound_that_was_lowered_forgets_nobody(book: ValueBook) -> None:
    """Those who are known are served; nobody new is."""
    assert all([await book.remember("tag", each, 3, MINUTE_US) for each in "abc"])
    assert [await book.remember("tag", each, 1, MINUTE_US) for each in "abcd"] == [
        *(True, True, True),
        False,
    ]


async def test_many_at_once_do_not_exceed_the_bound(book: ValueBook) -> None:
    """Whichever workers ask."""
    asked = (book.remember("tag", str(number), 10, MINUTE_US) for number in range(100))
    assert sum(await asyncio.gather(*asked)) == 10


async def test_what_is_not_used_is_forgotten_and_leaves_room(pipe: Pipe, store: Valkey) -> None:
    """At its end, whether it has been removed or not; the last one takes the set with it."""
    book = ValkeyValueBook(pipe)
    for number in range(300):
        assert await book.remember("tag", str(number), 300, 1_000)
    await asyncio.sleep(0.05)
    assert await store.exists(values_key("tag")) == 0
    for number in range(300):
        assert await book.remember("tag", str(number), 300, 20_000 if number else MINUTE_US)
    await asyncio.sleep(0.1)
    assert await book.remember("tag", "new", 2, MINUTE_US)
    assert not await book.remember("tag", "newer", 2, MINUTE_US)
    assert 0 < await store.zcard(values_key("tag")) < 300
