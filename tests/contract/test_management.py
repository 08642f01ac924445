"""Management over a real Valkey: concurrent writers, and what a restart keeps."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.fakes import FixedClock
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.cluster.of_store import counters_of, spend_book_of
from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.adapters.valkey.entities.registry import ValkeyRegistry
from tollgate.core.entities import Key, MemberRole, Team
from tollgate.management import Management
from tollgate.management.members import NewMember
from tollgate.management.virtual_keys import KeyQuery


@pytest.fixture
def management(store: Valkey, pipe: Pipe) -> Management:
    """The use cases over the store."""
    counters = counters_of(store, pipe, 60_000_000, 60_000_000)
    return Management.of(
        ValkeyRegistry(store), counters, spend_book_of(store, pipe), FixedClock(), None
    )


async def test_writers_at_once_never_lose_each_others_change(management: Management) -> None:
    """Ten add a model each to one key; all ten are there."""
    made = await management.keys.create(lambda key, _: key)

    def add(model: str) -> object:
        def change(key: Key, _: int) -> Key:
            return replace(key, models=(*key.models, model))

        return management.keys.update(made.secret, change)

    await asyncio.gather(*(add(f"m{number}") for number in range(10)))  # type: ignore[call-overload]
    live = await management.keys.live_by_name(made.secret)
    assert sorted(live.entity.models) == sorted(f"m{number}" for number in range(10))


async def test_one_stranger_in_two_teams_at_once_becomes_one_user(management: Management) -> None:
    """Both memberships are made, and the user once."""
    for team in ("a", "b"):
        await management.teams.create(Team(team), lambda team, _: team)
    new = [NewMember(MemberRole.USER, email="u@x.com")]
    await asyncio.gather(
        *(management.teams.members.add(team, new, lambda member, _: member) for team in ("a", "b"))
    )
    (user,) = await management.users.entities.all()
    assert sorted(await management.users.team_ids(user.id)) == ["a", "b"]


async def test_spend_is_corrected_and_kept(management: Management) -> None:
    """A key made with spend shows it, and so does the next process."""
    made = await management.keys.create(lambda key, _: key, spend_nanousd=7)
    assert (await management.keys.live_by_name(made.secret)).spend.used_nanousd == 7


async def test_a_page_is_a_part_of_the_whole(management: Management) -> None:
    """So many of them, and how many there are in all."""
    await asyncio.gather(
        *(management.keys.create(lambda key, _: replace(key, user_id="u")) for _ in range(40))
    )
    await asyncio.gather(
        *(management.keys.create(lambda key, _: replace(key, user_id="u")) for _ in range(40))
    )
    page = await management.keys.page(KeyQuery(user_id="u"), 10, 25)
    assert (len(page.entities), page.total) == (25, 80)


async def test_teams_with_the_same_strangers_are_all_made_at_once(management: Management) -> None:
    """Thirty teams name two users whom nobody made, by id or by e-mail: every team is made, each
    user once.
    """
    new = [NewMember(MemberRole.USER, user_id="u"), NewMember(MemberRole.ADMIN, email="e@x.com")]
    made = await asyncio.gather(
        *(
            management.teams.create_with(Team(f"t{number}"), lambda team, _: team, new)
            for number in range(30)
        )
    )
    assert len({live.entity.id for live, _ in made}) == 30
    users = await management.users.entities.all()
    assert sorted(user.email or user.id for user in users) == ["e@x.com", "u"]
    assert [len(await management.users.team_ids(user.id)) for user in users] == [30, 30]


async def test_one_team_is_made_once_whoever_names_it_at_once(management: Management) -> None:
    """Thirty keys of a team that nobody made are all made; so is the team, once; and it is there to
    be limited.
    """

    def of_team(key: Key, _: int) -> Key:
        return replace(key, team_id="paymants")

    made = await asyncio.gather(*(management.keys.create(of_team) for _ in range(30)))
    assert len({each.secret for each in made}) == 30
    (team,) = await management.teams.entities.all()
    assert (team.id, team.implied) == ("paymants", True)


async def test_thirty_changes_of_one_key_at_once_all_happen(management: Management) -> None:
    """However often each loses the race."""
    made = await management.keys.create(lambda key, _: key)

    async def add(model: str) -> None:
        await management.keys.update(
            made.secret, lambda key, _: replace(key, models=(*key.models, model))
        )

    await asyncio.gather(*(add(f"m{number}") for number in range(30)))
    assert len((await management.keys.live_by_name(made.secret)).entity.models) == 30
