"""What is recorded of refused requests."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest
from prometheus_client import REGISTRY
from tests.desk import SECRET, Desk, admission, chat, hashed, refusal
from tests.make import DOLLAR, limit_set

from tollgate.admission.refusal_notes import MOST_A_SECOND, MOST_WAITING
from tollgate.core.calls.refusal_records import RefusalRecord
from tollgate.core.entities import Member, Team, User
from tollgate.core.errors import StoreUnavailable
from tollgate.counting import publish_counts

KEY = hashed(SECRET)


async def test_a_refusal_by_a_limit_is_recorded_with_where_the_limit_stood() -> None:
    """Who, which limit, what was used and asked for, and until when; the reply has its id."""
    desk = Desk()
    desk.key(alias="laptop", limits=limit_set(rpm=2))
    for _ in range(2):
        admission(await desk.ask())
    _, body, headers = refusal(await desk.ask())
    (record,) = await desk.recorded()
    assert record.id == headers["x-tollgate-request-id"]
    assert (record.status, record.reason) == (429, "key_requests")
    assert (record.key_name, record.model, record.times) == ("laptop", "gpt-4o", 1)
    assert record.message == body["error"]["message"]
    assert record.scopes == (f"key:{KEY}", "proxy:proxy")
    assert record.output_tokens > 0
    hit = record.hit
    assert hit is not None
    assert (hit.scope, hit.scope_id, hit.scope_name) == ("key", KEY, "laptop")
    assert (hit.meter, hit.window, hit.amount, hit.used, hit.held, hit.asked) == (
        ("requests", "1m", 2, 2, 0, 1)
    )
    assert hit.until_us == desk.clock.us + 30_000_000


async def test_a_spent_budget_is_recorded_without_an_end_where_it_has_none() -> None:
    """In nano-dollars."""
    desk = Desk()
    desk.key(limits=limit_set(max_budget_nanousd=0))
    refusal(await desk.ask())
    (record,) = await desk.recorded()
    assert record.hit is not None
    assert (record.hit.meter, record.hit.amount, record.hit.until_us) == ("usd", 0, None)


async def test_what_calls_in_flight_hold_is_told_apart_from_what_is_used() -> None:
    """A budget that only holds have reached."""
    desk = Desk()
    desk.key(limits=limit_set(max_budget_nanousd=1))
    admission(await desk.ask())
    refusal(await desk.ask())
    (record,) = await desk.recorded()
    assert record.hit is not None
    assert (record.hit.used, record.hit.held, record.hit.only_held) == (0, 1, True)


async def test_other_refusals_are_recorded_with_whom_the_key_belongs_to() -> None:
    """Its team, the member, and the user."""
    desk = Desk()
    desk.people.teams["t"], desk.people.users["u"] = Team("t"), User("u")
    desk.people.members["t/u"] = Member("t", "u")
    desk.key(team_id="t", user_id="u", models=("fast",))
    refusal(await desk.ask())
    (record,) = await desk.recorded()
    assert (record.status, record.reason) == (403, "key_model_access_denied")
    assert record.scopes == ("team:t", "member:t/u", "user:u", f"key:{KEY}")
    assert record.hit is None


async def test_who_has_no_known_key_is_recorded_without_a_name() -> None:
    """Nothing of the secret is kept."""
    desk = Desk()
    refusal(await desk.ask(secret="sk-not-one-of-ours"))
    (record,) = await desk.recorded()
    assert (record.key_name, record.scopes, record.reason) == ("", (), "invalid_api_key")
    assert "sk-not" not in repr(record)


async def test_a_refusal_of_the_head_alone_is_recorded() -> None:
    """Of long bodies, which Envoy announces first."""
    desk = Desk()
    desk.key(limits=limit_set(rpm=0))
    assert await desk.ask_head() is not None
    (record,) = await desk.recorded()
    assert record.hit is not None
    assert record.hit.amount == 0


async def test_a_flood_of_one_key_becomes_a_few_records_and_one_that_counts_the_rest() -> None:
    """All of them are counted, and another key's refusals stand on their own."""
    desk = Desk()
    desk.key(limits=limit_set(rpm=0))
    for _ in range(200):
        refusal(await desk.ask())
    refusal(await desk.ask(secret="sk-another"))
    records = await desk.recorded()
    assert sorted(each.times for each in records) == [*[1] * (MOST_A_SECOND + 1), 195]


async def test_the_next_second_is_recorded_anew() -> None:
    """The rest of the first one is counted then."""
    desk = Desk()
    desk.key(limits=limit_set(rpm=0))
    for _ in range(2):
        for _ in range(7):
            refusal(await desk.ask())
        desk.clock.us += 1_000_000
    records = await desk.recorded()
    assert sum(each.times for each in records) == 14
    assert len(records) == 2 * (MOST_A_SECOND + 1)


async def test_refusals_that_do_not_fit_into_memory_are_dropped_and_counted() -> None:
    """A store that is slow keeps nobody waiting."""
    desk = Desk()
    for number in range(MOST_WAITING + 50):
        desk.clock.us += 1_000_000
        refusal(await desk.ask(chat(model=f"m{number}")))
    assert len(await desk.recorded()) == MOST_WAITING


async def test_a_store_that_is_down_loses_refusals_and_nothing_else() -> None:
    """The reply is as always, and recording goes on afterwards."""
    desk = Desk()
    desk.key(limits=limit_set(max_budget_nanousd=0 * DOLLAR))
    works = desk.refusals.add

    async def fails(records: Sequence[RefusalRecord]) -> None:
        raise StoreUnavailable("down")

    desk.refusals.add = fails  # type: ignore[method-assign]
    refusal(await desk.ask())
    assert await desk.recorded() == []
    desk.refusals.add = works  # type: ignore[method-assign]
    refusal(await desk.ask())
    assert len(await desk.recorded()) == 1


async def test_refusals_that_the_last_write_has_no_time_for_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker that stops does not wait for a store that does not answer."""
    monkeypatch.setattr("tollgate.admission.refusal_notes._LAST_WRITE_S", 0)
    desk = Desk()
    desk.key(limits=limit_set(rpm=0))

    async def hangs(records: Sequence[RefusalRecord]) -> None:
        await asyncio.Event().wait()

    desk.refusals.add = hangs  # type: ignore[method-assign]
    for _ in range(200):
        refusal(await desk.ask())
    dropped = partial(REGISTRY.get_sample_value, "tollgate_refusals_dropped_total")
    publish_counts()
    before = dropped() or 0
    await desk.recorded()
    publish_counts()
    assert (dropped() or 0) - before == 200
