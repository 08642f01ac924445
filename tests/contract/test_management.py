"""Management over a real Valkey: concurrent writers, and what a restart keeps."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from redis.asyncio import Redis
from tests.fakes import FixedClock

from tollgate.adapters.valkey.counters import ValkeyCounters
from tollgate.adapters.valkey.pipe import Pipe
from tollgate.adapters.valkey.registry import ValkeyRegistry
from tollgate.adapters.valkey.spend_book import ValkeySpendBook
from tollgate.core.people import Key, MemberRole, Team
from tollgate.management import Management
from tollgate.management.keys import KeyQuery
from tollgate.management.members import NewMember


@pytest.fixture
def management(store: Redis, pipe: Pipe) -> Management:
    """The use cases over the store."""
    counters = ValkeyCounters(store, pipe, 60_000_000, 60_000_000)
    return Management.of(ValkeyRegistry(store), counters, ValkeySpendBook(store), FixedClock(), None)


async def test_writers_at_once_never_lose_each_others_change(management: Management) -> None:
    """Ten add a model each to one key; all ten are there."""
    made = await management.keys.create(lambda key, _: key)

    def add(model: str) -> object:
        def change(key: Key, _: int) -> Key:
            return replace(key, models=(*key.models, model))

        return management.keys.update(made.secret, change)

    await asyncio.gather(*(add(f"m{number}") for number in range(10)))  # type: ignore[call-overload]
    live = await management.keys.find(made.secret)
    assert sorted(live.entity.models) == sorted(f"m{number}" for number in range(10))


async def test_one_stranger_in_two_teams_at_once_becomes_one_user(management: Management) -> None:
    """Both memberships are made, and the user once."""
    for team in ("a", "b"):
        await management.teams.create(Team(team), lambda team, _: team)
    new = [NewMember(MemberRole.USER, email="u@x.com")]
    await asyncio.gather(*(management.teams.members.add(team, new, lambda member, _: member) for team in ("a", "b")))
    (user,) = await management.users.entities.all()
    assert sorted(await management.users.team_ids(user.id)) == ["a", "b"]


async def test_spend_is_corrected_and_kept(management: Management) -> None:
    """A key made with spend shows it, and so does the next process."""
    made = await management.keys.create(lambda key, _: key, spend_nanousd=7)
    assert (await management.keys.find(made.secret)).spend.used_nanousd == 7


async def test_a_page_is_a_part_of_the_whole(management: Management) -> None:
    """So many of them, and how many there are in all."""
    await asyncio.gather(*(management.keys.create(lambda key, _: replace(key, user_id="u")) for _ in range(40)))
    await asyncio.gather(*(management.keys.create(lambda key, _: replace(key, user_id="u")) for _ in range(40)))
    page = await management.keys.page(KeyQuery(user_id="u"), 10, 25)
    assert (len(page.entities), page.total) == (25, 80)
