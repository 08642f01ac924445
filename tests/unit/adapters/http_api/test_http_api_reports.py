"""Spend and models over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.management_fixtures import Api, World, error_of, ok

from tollgate.core.callers.authentication import hash_of
from tollgate.core.entities import Key
from tollgate.core.limits.accounts import Scope, ScopeKind
from tollgate.ports import Write

PROXY = Scope(ScopeKind.PROXY, "proxy")


@pytest.mark.parametrize("path", ["/spend/keys", "/spend/users", "/spend/logs", "/global/spend"])
async def test_an_ordinary_key_reads_no_spend(api: Api, path: str) -> None:
    """What others spend is the administrators' to see."""
    made = await api.made()
    assert (await api.get(path, by=made["key"])).status_code == 401


async def test_keys_and_users_are_listed_by_what_they_spent(api: Api, world: World) -> None:
    """The greatest first."""
    low, high = await api.made(), await api.made()
    for user in ("low", "high"):
        await api.post("/user/new", {"user_id": user, "auto_create_key": False})
    await world.spend(Scope(ScopeKind.KEY, hash_of(high["key"])), 5)
    await world.spend(Scope(ScopeKind.USER, "high"), 5)
    assert [each["token"] for each in await ok(api.get("/spend/keys"))] == [
        hash_of(high["key"]),
        hash_of(low["key"]),
    ]
    assert [each["user_id"] for each in await ok(api.get("/spend/users"))] == ["high", "low"]
    assert [each["user_id"] for each in await ok(api.get("/spend/users", user_id="low"))] == ["low"]


async def test_the_ledger_is_shown_newest_first(api: Api, world: World) -> None:
    """A record tells who paid how much for what."""
    made = await api.made()
    await world.spend(Scope(ScopeKind.KEY, hash_of(made["key"])), 72_000)
    await world.spend(Scope(ScopeKind.USER, "u"), 1_000)
    logs = await ok(api.get("/spend/logs"))
    assert [(each["request_id"], each["spend"]) for each in logs] == [
        ("call-2", 1e-06),
        ("call-1", 7.2e-05),
    ]
    assert (logs[1]["api_key"], logs[1]["user"], logs[0]["user"]) == (hash_of(made["key"]), "", "u")
    assert logs[1]["startTime"] == "2027-01-15T08:00:00+00:00"


async def test_the_ledger_is_asked_by_key_user_and_request(api: Api, world: World) -> None:
    """A key by its secret; a deleted one still by its hash."""
    made = await api.made()
    await world.spend(Scope(ScopeKind.KEY, hash_of(made["key"])), 1)
    await world.spend(Scope(ScopeKind.USER, "u"), 1)
    by_secret = await ok(api.get("/spend/logs", api_key=made["key"]))
    await api.post("/key/delete", {"keys": [made["key"]]})
    queries = (
        {"api_key": hash_of(made["key"])},
        {"user_id": "u"},
        {"request_id": "call-2"},
        {"user_id": "nobody"},
    )
    found = [by_secret, *[await ok(api.get("/spend/logs", **query)) for query in queries]]
    assert [[each["request_id"] for each in each_found] for each_found in found] == [
        ["call-1"],
        ["call-1"],
        ["call-2"],
        ["call-2"],
        [],
    ]


@pytest.mark.parametrize(
    ("scope", "path", "body"),
    [
        (Scope(ScopeKind.USER, "u"), "/user/delete", {"user_ids": ["u"]}),
        (Scope(ScopeKind.TEAM, "t"), "/team/delete", {"team_ids": ["t"]}),
        (Scope(ScopeKind.CUSTOMER, "c"), "/customer/delete", {"user_ids": ["c"]}),
        (
            Scope(ScopeKind.KEY, hash_of("sk-0123456789abcdef")),
            "/key/delete",
            {"keys": ["sk-0123456789abcdef"]},
        ),
    ],
)
async def test_deleting_an_entity_loses_nothing_of_its_ledger(
    api: Api, world: World, scope: Scope, path: str, body: dict[str, Any]
) -> None:
    """Its records and the days' sums stay as they were."""
    await ok(api.post("/user/new", {"user_id": "u", "auto_create_key": False}))
    await ok(api.post("/team/new", {"team_id": "t"}))
    await ok(api.post("/customer/new", {"user_id": "c"}))
    await api.made(key="sk-0123456789abcdef", user_id="u", team_id="t")
    await world.spend(scope, 72_000)
    query = {"start_date": "2027-01-15", "end_date": "2027-01-15"}
    before = [await ok(api.get("/spend/logs")), await ok(api.get("/spend/logs", **query))]
    await ok(api.post(path, body))
    assert [await ok(api.get("/spend/logs")), await ok(api.get("/spend/logs", **query))] == before
    assert before[0][0]["spend"] == 0.000072


async def test_the_ledger_is_summed_by_day(api: Api, world: World) -> None:
    """With both dates; the last day is included, other days are not."""
    await world.spend(Scope(ScopeKind.USER, "u"), 500_000_000)
    world.clock.us += 86_400_000_000
    await world.spend(Scope(ScopeKind.USER, "u"), 250_000_000, model="o")
    await world.spend(Scope(ScopeKind.USER, "v"), 250_000_000, model="o")
    days = await ok(api.get("/spend/logs", start_date="2027-01-15", end_date="2027-01-16"))
    assert days == [
        {
            "startTime": "2027-01-16",
            "spend": 0.5,
            "models": {"o": 0.5},
            "users": {"u": 0.25, "v": 0.25},
        },
        {"startTime": "2027-01-15", "spend": 0.5, "models": {"gpt-4o": 0.5}, "users": {"u": 0.5}},
    ]
    assert await ok(api.get("/spend/logs", start_date="2027-01-17", end_date="2027-01-17")) == []
    rows = await ok(
        api.get("/spend/logs", start_date="2027-01-15", end_date="2027-01-15", summarize=False)
    )
    assert [each["request_id"] for each in rows] == ["call-1"]


@pytest.mark.parametrize(
    "day", ["yesterday", "9999-12-31", "0001-01-01", "1969-12-31", "2027-02-30", ""]
)
@pytest.mark.parametrize("name", ["start_date", "end_date"])
async def test_a_day_that_is_none_is_refused(api: Api, name: str, day: str) -> None:
    """400, naming the parameter."""
    answer = await api.get("/spend/logs", **{name: day})
    assert (answer.status_code, error_of(answer)["param"]) == (400, name)


async def test_a_list_that_is_cut_says_where_it_goes_on(api: Api, world: World) -> None:
    """Each record is on one page; the last page names no other."""
    for number in range(5):
        await world.spend(Scope(ScopeKind.USER, "u"), number)
    cursor, found = None, []
    for _ in range(3):
        query = {"limit": 2, "user_id": "u", **({} if cursor is None else {"cursor": cursor})}
        answer = await api.get("/spend/logs", **query)
        found += [each["request_id"] for each in answer.json()]
        cursor = answer.headers.get("x-tollgate-next-cursor")
    assert (cursor, found) == (None, [f"call-{number}" for number in (5, 4, 3, 2, 1)])


RAW = {"summarize": False}
ALL = ["call-3", "call-2", "call-1"]


async def test_every_filter_holds(api: Api, world: World) -> None:
    """Alone and together; what is unknown finds nothing."""
    made = await api.made(key_alias="mine")
    await world.spend(Scope(ScopeKind.KEY, hash_of(made["key"])), 1)
    await world.spend(Scope(ScopeKind.TEAM, "t"), 2, model="o")
    await world.spend(Scope(ScopeKind.CUSTOMER, "c"), 3)
    wanted: list[tuple[dict[str, Any], list[str]]] = [
        ({"team_id": "t"}, ["call-2"]),
        ({"end_user": "c"}, ["call-3"]),
        ({"customer_id": "c"}, ["call-3"]),
        ({"customer_id": "c", "team_id": "t"}, []),
        ({"model": "o"}, ["call-2"]),
        ({"model": "o", "team_id": "t"}, ["call-2"]),
        ({"status": "failure"}, []),
        ({"status": "200", "limit": 1}, ["call-3"]),
        ({"status": "success", "limit": 2}, ["call-3", "call-2"]),
        ({"organization_id": "default", "model": "o"}, ["call-2"]),
        ({"api_key": made["key"]}, ["call-1"]),
        ({"end_user": ""}, []),
        ({"key_alias": "mine"}, ["call-1"]),
        ({"key_alias": "mine", "team_id": "t"}, []),
        ({"key_alias": "nobodys"}, []),
        ({"status_filter": "success", "team_id": "t"}, ["call-2"]),
        ({"model_id": "nothing"}, []),
        ({"min_spend": "0.000000002"}, ["call-3", "call-2"]),
        ({"min_spend": "2.5e-9"}, ["call-3"]),
        ({"max_spend": "0.0000000019"}, ["call-1"]),
        ({"min_spend": 2e-9, "max_spend": 2e-9}, ["call-2"]),
        ({"start_date": "2027-01-15 00:00:00", "end_date": "2027-01-15 23:59:59", **RAW}, ALL),
        ({"start_date": "2027-01-15T23:00:00-08:00"}, []),
        ({"end_date": "2027-01-14T23:59:59Z"}, []),
    ]
    found = [
        [each["request_id"] for each in await ok(api.get("/spend/logs", **query))]
        for query, _ in wanted
    ]
    assert found == [expected for _, expected in wanted]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 10_001},
        {"limit": "x"},
        {"status": "odd"},
        {"status": 99},
        {"status_filter": "odd"},
        {"status_filter": "success", "status": 200},
        {"min_spend": -1},
        {"max_spend": "nan"},
        {"model_id": "d", "status": "refused"},
        {"min_spend": 1, "status": "refused"},
        {"summarize": "perhaps"},
    ],
)
async def test_a_filter_that_makes_no_sense_is_refused(api: Api, query: dict[str, Any]) -> None:
    """400, naming the parameter."""
    answer = await api.get("/spend/logs", **query)
    assert (answer.status_code, error_of(answer)["param"].split(".")[0]) == (400, next(iter(query)))


async def test_sums_have_no_pages(api: Api) -> None:
    """They are of all records, so a bound would be a lie."""
    answer = await api.get("/spend/logs", start_date="2027-01-15", end_date="2027-01-15", limit=1)
    assert answer.status_code == 400


async def test_sums_are_of_all_records_to_the_nano_dollar(api: Api, world: World) -> None:
    """Of more than are read at once."""
    for _ in range(2_100):
        await world.spend(Scope(ScopeKind.USER, "u"), 3)
    (day,) = await ok(api.get("/spend/logs", start_date="2027-01-15", end_date="2027-01-15"))
    assert (day["spend"], day["users"]) == (6.3e-06, {"u": 6.3e-06})


async def test_days_whose_records_may_be_gone_are_told(api: Api) -> None:
    """Records are kept for some days; a range that begins before them is not whole, and says so."""
    long_ago = await api.get("/spend/logs", start_date="2026-01-01", end_date="2027-01-15")
    assert long_ago.headers["x-tollgate-complete-from"] == "2026-12-16T08:00:00+00:00"
    recent = await api.get("/spend/logs", start_date="2027-01-01", end_date="2027-01-15")
    assert "x-tollgate-complete-from" not in recent.headers


async def test_rankings_are_of_all_and_can_be_paged(api: Api, world: World) -> None:
    """However many there are: the oldest may be the first."""
    for number in range(1_003):
        key = Key(f"{number:064x}", f"sk-...{number}", created_us=number)
        await world.registry.write(Write(None, key))
    await world.spend(Scope(ScopeKind.KEY, f"{0:064x}"), 9)
    await world.spend(Scope(ScopeKind.KEY, f"{700:064x}"), 5)
    first = await api.get("/spend/keys", limit=1)
    second = await api.get("/spend/keys", limit=1, page=2)
    assert [each.json()[0]["token"] for each in (first, second)] == [f"{0:064x}", f"{700:064x}"]
    assert first.headers["x-tollgate-total-count"] == "1003"
    assert len(await ok(api.get("/spend/keys"))) == 1003
    assert await ok(api.get("/spend/keys", page=3, limit=1000)) == []


async def test_the_proxys_spend_is_told_with_its_budget(api: Api, world: World) -> None:
    """litellm_settings.max_budget."""
    await world.spend(PROXY, 500_000_000)
    assert await ok(api.get("/global/spend")) == {"spend": 0.5, "max_budget": 10.0}


async def test_sums_need_no_history(api: Api, world: World) -> None:
    """Without one they are of what the store's ledger has."""
    await world.spend(Scope(ScopeKind.TEAM, "t"), 72_000)
    (row,) = await ok(api.get("/spend/sums", group_by="team"))
    assert (row["group"], row["requests"], row["nanousd"]) == ("t", 1, 72_000)
    assert (await api.get("/spend/sums", group_by="colour")).status_code == 400
