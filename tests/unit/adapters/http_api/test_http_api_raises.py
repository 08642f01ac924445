"""Raises for a time, and how limits are enforced, over the management API."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.management_fixtures import MASTER, Api, World, error_of

from tollgate.adapters.http_api.wire.parts.types import printed_time

DAY_US = 86_400_000_000
ENTRIES = [
    {
        "meter": "tokens",
        "amount": 9,
        "per": "1h",
        "mode": "shadow",
        "max_wait_ms": 50,
    },
    {"meter": "output_tokens", "amount": 9, "per": "1h", "strict": True},
    {
        "meter": "usd",
        "amount": 5.0,
        "per": "1d",
        "rollover": {"cap": 2.5},
        "on_exceeded": {"throttle": "10%"},
    },
    {"meter": "usd", "amount": 1.0, "model": "gpt-4o", "on_exceeded": {"model": "fast"}},
]


async def test_a_budget_is_raised_for_a_day(api: Api, world: World) -> None:
    """LiteLLM's two fields; the budget itself stays what it is."""
    key = (await api.made(max_budget=5))["key"]
    raised = {"temp_budget_increase": 10, "temp_budget_expiry": "1d"}
    await api.post("/key/update", {"key": key, **raised})
    row = await api.info(key)
    assert (row["max_budget"], row["temp_budget_increase"]) == (5.0, 10.0)
    assert row["temp_budget_expiry"] == printed_time(world.clock.us + DAY_US)
    told = {name: row[name] for name in raised}
    await api.post("/key/update", {"key": key, **told})
    assert (await api.info(key))["temp_budget_expiry"] == row["temp_budget_expiry"]
    await api.post("/key/update", {"key": key, "temp_budget_increase": 0})
    assert (await api.info(key))["temp_budget_increase"] is None


@pytest.mark.parametrize(
    ("expiry", "printed"),
    [
        ("2028-01-15", "2028-01-15T00:00:00+00:00"),
        ("2028-01-15T10:00:00Z", "2028-01-15T10:00:00+00:00"),
        ("2028-01-15T10:00:00+02:00", "2028-01-15T08:00:00+00:00"),
    ],
)
async def test_a_raise_may_name_the_moment_of_its_end(api: Api, expiry: str, printed: str) -> None:
    """A date begins at midnight, in UTC unless it says otherwise."""
    made = await api.made(max_budget=5, temp_budget_increase=1, temp_budget_expiry=expiry)
    assert (await api.info(made["key"]))["temp_budget_expiry"] == printed


async def test_a_raise_for_periods_ends_with_the_last_of_them(api: Api, world: World) -> None:
    """Of the budget, and of any limit that has periods; the open one is the first."""
    begun_us = world.clock.us
    key = (await api.made(max_budget=5, budget_duration="1d"))["key"]
    world.clock.us += DAY_US // 2
    entry = {"meter": "tokens", "amount": 5, "per": "1mo", "temp_increase": 2, "temp_periods": 1}
    fields = {"temp_budget_increase": 1, "temp_budget_periods": 2, "limits": [entry]}
    await api.post("/key/update", {"key": key, **fields})
    row = await api.info(key)
    assert row["temp_budget_expiry"] == printed_time(begun_us + 2 * DAY_US)
    assert row["limits"][0]["temp_increase"] == 2
    assert row["limits"][0]["temp_expiry"] > row["temp_budget_expiry"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"temp_budget_increase": 1}, "temp_budget_expiry"),
        ({"temp_budget_expiry": "1d"}, "temp_budget_increase"),
        (
            {"temp_budget_increase": 1, "temp_budget_expiry": "1d", "temp_budget_periods": 1},
            "one of",
        ),
        ({"temp_budget_increase": 1, "temp_budget_expiry": "soon"}, "such as 1d"),
        ({"temp_budget_increase": 1, "temp_budget_periods": 1}, "without periods"),
        ({"temp_budget_increase": -1, "temp_budget_expiry": "1d"}, "non-negative"),
    ],
)
async def test_a_raise_says_for_how_long(api: Api, fields: dict[str, Any], said: str) -> None:
    """One that would never end is a change of the budget."""
    answer = await api.post("/key/generate", {"max_budget": 1, **fields})
    assert answer.status_code == 400
    assert said in error_of(answer)["message"]


async def test_every_noun_can_be_raised(api: Api) -> None:
    """Members, whose limits are in a table of their own, too."""
    raised = {"max_budget": 1, "temp_budget_increase": 2, "temp_budget_expiry": "1d"}
    await api.post("/user/new", {"user_id": "u", "auto_create_key": False, **raised})
    await api.post("/team/new", {"team_id": "t", **raised})
    await api.post("/customer/new", {"user_id": "c", **raised})
    await api.post("/budget/new", {"budget_id": "b", **raised})
    member = {"team_id": "t", "member": {"role": "user", "user_id": "u"}}
    await api.post("/team/member_add", {**member, **raised})
    team = (await api.get("/team/info", team_id="t")).json()
    rows = [
        (await api.get("/user/info", user_id="u")).json()["user_info"],
        team["team_info"],
        team["team_memberships"][0]["litellm_budget_table"],
        (await api.get("/customer/info", end_user_id="c")).json(),
    ]
    assert [each["temp_budget_increase"] for each in rows] == [2.0] * 4


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/key/update", {"key": "sk-0123456789abcdef"}),
        ("/user/update", {"user_id": "boss"}),
        ("/team/update", {"team_id": "t"}),
        ("/team/member_update", {"team_id": "t", "user_id": "boss"}),
    ],
)
async def test_nobody_raises_their_own_limits(api: Api, path: str, named: dict[str, str]) -> None:
    """Not an administrator either, by their own key: neither the key nor whom it belongs to."""
    await api.post(
        "/user/new", {"user_id": "boss", "user_role": "proxy_admin", "auto_create_key": False}
    )
    await api.post(
        "/team/new", {"team_id": "t", "members_with_roles": [{"role": "admin", "user_id": "boss"}]}
    )
    await api.made(key="sk-0123456789abcdef", user_id="boss", team_id="t", max_budget=1)
    await api.made(key="sk-another-one-of-boss", max_budget=1)
    raised = {"temp_budget_increase": 2, "temp_budget_expiry": "1d"}
    own = await api.post(path, {**named, **raised}, by="sk-0123456789abcdef")
    assert own.status_code == 403
    assert "Nobody raises their own" in error_of(own)["message"]
    other = {"key": "sk-another-one-of-boss", **raised}
    assert (await api.post("/key/update", other, by="sk-0123456789abcdef")).status_code == 200
    assert (await api.post(path, {**named, **raised}, by=MASTER)).status_code == 200


async def test_how_a_limit_is_enforced_is_printed_as_it_was_given(api: Api) -> None:
    """And can be sent back."""
    made = await api.made(limits=ENTRIES, shadow=True)
    row = await api.info(made["key"])
    assert (row["limits"], row["shadow"]) == (ENTRIES, True)
    await api.post("/key/update", {"key": made["key"], "limits": row["limits"], "shadow": False})
    row = await api.info(made["key"])
    assert (row["limits"], row["shadow"]) == (ENTRIES, False)


async def test_a_limit_with_a_field_of_its_own_keeps_how_it_is_enforced(api: Api) -> None:
    """A new amount in the field changes the amount; a list without it enforces it plainly."""
    entry = {"meter": "requests", "amount": 3, "per": "1m", "mode": "shadow"}
    key = (await api.made(limits=[entry]))["key"]
    await api.post("/key/update", {"key": key, "rpm_limit": 4})
    row = await api.info(key)
    assert (row["rpm_limit"], row["limits"]) == (4, [{**entry, "amount": 4}])
    told = {"rpm_limit": row["rpm_limit"], "limits": row["limits"]}
    assert (await api.post("/key/update", {"key": key, **told})).status_code == 200
    await api.post("/key/update", {"key": key, "limits": []})
    row = await api.info(key)
    assert (row["rpm_limit"], row["limits"]) == (4, [])
