"""Refused requests over the API, on the command line, and in the console."""

from __future__ import annotations

import pytest
from tests.unit.management_fixtures import Api, World, error_of

from tollgate.commands.reports.explain import why_refused
from tollgate.core.calls.records import request_id
from tollgate.core.calls.refusal_records import LimitHit, RefusalRecord
from tollgate.management.virtual_keys import as_hash

HIT = LimitHit(
    scope="key",
    scope_id="h",
    scope_name="laptop",
    meter="usd",
    amount=5_000_000_000,
    used=5_250_000_000,
    asked=1,
    until_us=1_800_000_060_000_000,
)


def refused(world: World, number: int, *scopes: str, age_s: int = 0) -> RefusalRecord:
    at_us = world.clock.us - age_s * 1_000_000
    record = RefusalRecord(
        id=request_id(at_us, number),
        organization="default",
        refused_us=at_us,
        status=401,
        reason="key_budget",
        message="The budget of laptop is spent",
        key_name="laptop",
        scopes=scopes,
        model="gpt-4o",
        times=3,
        input_tokens=10,
        output_tokens=20,
        cost_nanousd=30,
        hit=HIT,
    )
    world.refusals.records.append(record)
    return record


async def test_refusals_are_listed_with_the_limit_that_refused(api: Api, world: World) -> None:
    """Dollars as dollars, times as ISO 8601."""
    record = refused(world, 1, "key:h", "team:t", "customer:c")
    (row,) = (await api.get("/refusals")).json()
    assert row["request_id"] == record.id
    assert (row["key_name"], row["api_key"], row["team_id"]) == ("laptop", "h", "t")
    assert (row["customer_id"], row["user_id"], row["times"]) == ("c", None, 3)
    assert (row["limit"]["amount"], row["limit"]["used"]) == (5.0, 5.25)
    assert row["limit"]["until"] == "2027-01-15T08:01:00+00:00"
    assert row["limit"]["arithmetic"] == "used $5.25 > $5.00: nothing is left"
    assert row["estimate"] == {"input_tokens": 10, "output_tokens": 20, "spend": 3e-08}


async def test_a_key_of_refusals_is_named_by_alias_secret_or_hash(api: Api, world: World) -> None:
    """The same key each time."""
    made = await api.made(key_alias="laptop")
    key_hash = as_hash(made["key"])
    refused(world, 1, f"key:{key_hash}")
    refused(world, 2, "key:another")
    for name in ("laptop", made["key"], key_hash):
        (row,) = (await api.get("/refusals", key=name)).json()
        assert row["api_key"] == key_hash


@pytest.mark.parametrize(
    ("since", "found"),
    [
        ("90s", [1]),
        ("1h", [2, 1]),
        ("2027-01-15T07:59:00", [1]),
        ("2027-01-15T09:00+02:00", [2, 1]),
    ],
)
async def test_since_is_an_age_or_a_time(
    api: Api, world: World, since: str, found: list[int]
) -> None:
    """A time without a zone is of UTC."""
    ids = {refused(world, number, age_s=age_s).id: number for number, age_s in ((1, 30), (2, 1800))}
    rows = (await api.get("/refusals", since=since)).json()
    assert sorted((ids[row["request_id"]] for row in rows), reverse=True) == found


@pytest.mark.parametrize(
    ("until", "found"), [("2027-01-15", 1), ("2027-01-14", 0), ("2027-01-15T00:00", 0), ("1h", 0)]
)
async def test_until_a_day_includes_that_day(
    api: Api, world: World, until: str, found: int
) -> None:
    """A time is as it says."""
    refused(world, 1)
    assert len((await api.get("/refusals", until=until)).json()) == found


async def test_since_that_is_neither_is_refused_by_name(api: Api) -> None:
    """400, saying what would be right."""
    answer = await api.get("/refusals", since="yesterday-ish")
    assert (answer.status_code, error_of(answer)["param"]) == (400, "since")


async def test_the_ledgers_path_lists_refusals_too(api: Api, world: World) -> None:
    """As records of nothing used, whether or not both dates are named."""
    refused(world, 1, "key:h")
    for query in ({}, {"start_date": "2027-01-15", "end_date": "2027-01-15"}):
        (row,) = (await api.get("/spend/logs", status="refused", **query)).json()
        assert (row["api_key"], row["usage"], row["spend"], row["status"]) == (
            ("h", "refused", 0.0, 401)
        )


async def test_a_refusal_is_explained_by_its_id(api: Api, world: World) -> None:
    """On the same path as a charge."""
    record = refused(world, 1, "key:h")
    answer = (await api.get("/spend/explain", request_id=record.id)).json()
    assert (answer["refused"], answer["request_id"]) == (True, record.id)
    shown = "\n".join(why_refused(answer))
    for part in ("key laptop", "3 times", "used $5.25 > $5.00", "2027-01-15T08:01:00", "10 tokens"):
        assert part in shown


async def test_an_id_that_nobody_recorded_is_not_found(api: Api) -> None:
    """404, in words that say what is not recorded."""
    answer = await api.get("/spend/explain", request_id="0" * 28)
    assert answer.status_code == 404
    assert "refused" in error_of(answer)["message"]


async def test_pages_of_refusals_follow_each_other(api: Api, world: World) -> None:
    """By the cursor in the header."""
    records = [refused(world, number) for number in range(3)]
    found, cursor = [], None
    while True:
        query = {} if cursor is None else {"cursor": cursor}
        answer = await api.get("/refusals", limit=2, **query)
        found += [row["request_id"] for row in answer.json()]
        if (cursor := answer.headers.get("x-tollgate-next-cursor")) is None:
            break
    assert found == [each.id for each in reversed(records)]


async def test_refusals_are_for_administrators(api: Api) -> None:
    """Not for any key."""
    made = await api.made()
    assert (await api.get("/refusals", by=made["key"])).status_code in (401, 403)
