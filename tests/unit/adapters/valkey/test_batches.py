"""Which calls leave for the store together."""

from __future__ import annotations

import asyncio
import struct

import pytest
from tests.make import TEAM, parallel, requests, tokens

from tollgate.adapters.valkey.counters.batches import (
    MOST_CALLS,
    MOST_NUMBERS,
    QUIET_TURNS,
    Answer,
    Batch,
    Batches,
)
from tollgate.adapters.valkey.counters.keyed import Keyed
from tollgate.core.limits.accounts import Scope, ScopeKind

PROXY = Scope(ScopeKind.PROXY, "proxy")
_NOBODY = Keyed.of("default", ())


class Store:
    """A store that answers when it is told to: the runs that came, by how many calls each had."""

    def __init__(self) -> None:
        self.runs: list[int] = []
        self.batches = Batches(self._send, Answer)

    def call(self, count: int = 1, organization: str = "default") -> None:
        for _ in range(count):
            self.batches.of(organization).add(_NOBODY)

    def answer(self, organization: str = "default") -> None:
        self.batches.returned(organization)

    def _send(self, organization: str, batch: Batch[Answer]) -> None:
        self.runs.append(batch.size)


@pytest.fixture
async def store() -> Store:
    return Store()


async def turns(count: int) -> None:
    """Let the loop turn so often."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_call_alone_leaves_at_the_end_of_its_turn(store: Store) -> None:
    for expected in ([1], [1, 1], [1, 1, 1]):
        store.call()
        await turns(1)
        assert store.runs == expected
        store.answer()


async def test_calls_of_one_turn_leave_together(store: Store) -> None:
    store.call(3)
    await turns(1 + QUIET_TURNS)
    assert store.runs == [3]


async def test_calls_gather_while_a_run_is_at_the_store_and_follow_it(store: Store) -> None:
    store.call()
    await turns(1)
    for _ in range(5):
        store.call()
        await turns(3)
    assert store.runs == [1]
    store.answer()
    await turns(1 + QUIET_TURNS)
    assert store.runs == [1, 5]


async def test_what_comes_up_turn_after_turn_leaves_together_once_a_few_turns_bring_nothing(
    store: Store,
) -> None:
    store.call(2)
    for _ in range(5):
        await turns(1)
        store.call()
    assert store.runs == []
    await turns(1 + QUIET_TURNS)
    assert store.runs == [7]


@pytest.mark.parametrize("clients", range(1, 13))
async def test_clients_who_wait_for_their_answers_all_get_them_however_many_they_are(
    store: Store, clients: int
) -> None:
    """No number of clients is left waiting for calls that nobody is there to make."""
    store.call(clients)
    for run in range(1, 20):
        await turns(1 + QUIET_TURNS)
        assert len(store.runs) == run
        store.answer()
        store.call(clients)
    assert store.runs == [clients] * 19


async def test_a_full_batch_waits_for_nobody_and_what_is_beyond_it_for_the_store(
    store: Store,
) -> None:
    store.call(MOST_CALLS + 2)
    assert store.runs == [MOST_CALLS]
    await turns(5)
    assert store.runs == [MOST_CALLS]
    store.answer()
    await turns(1 + QUIET_TURNS)
    assert store.runs == [MOST_CALLS, 2]


async def test_organizations_do_not_wait_for_each_other(store: Store) -> None:
    store.call()
    await turns(1)
    store.call(organization="other")
    await turns(1)
    assert store.runs == [1, 1]


async def test_a_batch_names_each_key_of_its_callers_once_and_nobody_elses() -> None:
    """Callers that share a scope share its number; the next batch of the first caller knows nothing
    of the second.
    """
    first = Keyed.of("default", (requests(5, PROXY), parallel(1)))
    second = Keyed.of("default", (requests(5, PROXY), parallel(1, TEAM)))
    together, alone = Batch(Answer), Batch(Answer)
    for keyed in (first, second, first):
        together.add(keyed)
    alone.add(first)
    assert (len(together.keys()), together.scope_count) == (5, 3)
    assert (alone.keys(), alone.scope_count) == ((*together.keys()[:2], together.keys()[3]), 2)
    # Of each caller's accounts, scope and slots by number.
    _, names, *_ = together.arguments()
    assert struct.unpack("<8H", names) == (1, 0, 2, 1, 1, 0, 3, 2)


async def test_each_call_says_where_its_caller_stands_among_limits_and_names() -> None:
    """Limits of all callers come in one string, and so do names; a caller comes once."""
    first = Keyed.of("default", (requests(5, PROXY), parallel(1)))
    second = Keyed.of("default", (tokens(5, PROXY),))
    batch = Batch(Answer)
    for keyed, numbers in ((first, (7,)), (second, (8, 9)), (first, (6,))):
        batch.add(keyed, *numbers, texts=("id",))
    limits, _, calls, *texts = batch.arguments()
    assert limits == first.limits + second.limits
    behind = len(first.limits) // 8 + 1
    assert struct.unpack("<10d", calls) == (1, 1, 7, behind, 5, 8, 9, 1, 1, 6)
    assert texts == ["id"] * 3


async def test_a_batch_whose_callers_have_many_limits_is_full_early(store: Store) -> None:
    """The script's stack takes the limits of all its callers at once, and has a bound."""
    callers = [
        tuple(tokens(5, Scope(ScopeKind.KEY, f"k{caller}-{n}")) for n in range(100))
        for caller in range(9)
    ]
    numbers = len(Keyed.of("default", callers[0]).limits) // 8
    for accounts in callers:
        store.batches.of("default").add(Keyed.of("default", accounts))
    most = -(-MOST_NUMBERS // numbers)
    assert store.runs == [most]
    await turns(5)
    store.answer()
    await turns(1 + QUIET_TURNS)
    assert store.runs == [most, len(callers) - most]
