"""/tag/* as LiteLLM's clients call it, and limits of each session on keys and teams."""

from __future__ import annotations

import pytest
from tests.unit.management_fixtures import Api, World, ok

from tollgate.core.entities import Key, LimitSet
from tollgate.core.errors import BadRequest
from tollgate.core.limits.accounts import Scope, ScopeKind
from tollgate.management.spending.guard import LimitGuard


async def test_a_tag_is_registered_changed_shown_and_deleted(api: Api, world: World) -> None:
    """With its spend, which goes with it."""
    made = await ok(api.post("/tag/new", {"name": "nightly", "max_budget": 2, "description": "x"}))
    assert made["message"] == "Tag nightly created successfully"
    assert (made["tag"]["max_budget"], made["tag"]["description"]) == (2.0, "x")
    assert (await api.post("/tag/new", {"name": "nightly"})).status_code == 400
    await world.spend(Scope(ScopeKind.TAG, "nightly"), 30_000)
    changed = await ok(api.post("/tag/update", {"name": "nightly", "rpm_limit": 3}))
    assert (changed["tag"]["rpm_limit"], changed["tag"]["spend"]) == (3, 0.00003)
    shown = await ok(api.post("/tag/info", {"names": ["nightly", "nobody"]}))
    assert list(shown) == ["nightly"]
    assert [each["name"] for each in await ok(api.get("/tag/list"))] == ["nightly"]
    await ok(api.post("/tag/delete", {"name": "nightly"}))
    assert await ok(api.get("/tag/list")) == []
    assert await world.spent(Scope(ScopeKind.TAG, "nightly")) == 0
    assert (await api.post("/tag/delete", {"name": "nightly"})).status_code == 404


async def test_a_tag_takes_the_limits_of_a_budget(api: Api) -> None:
    """Which cannot be deleted meanwhile."""
    await ok(api.post("/budget/new", {"budget_id": "b", "rpm_limit": 1}))
    await ok(api.post("/tag/new", {"name": "t", "budget_id": "b"}))
    answer = await api.post("/budget/delete", {"id": "b"})
    assert (answer.status_code, "tag t" in answer.text) == (409, True)


@pytest.mark.parametrize("noun", ["key", "team"])
async def test_keys_and_teams_limit_each_session(api: Api, noun: str) -> None:
    """Given, shown, and cleared by null."""
    fields = {"max_iterations": 5, "max_budget_per_session": 0.5}
    if noun == "key":
        name = {"key": (await api.made(**fields))["key"]}
        row = await api.info(name["key"])
    else:
        name = {"team_id": "t"}
        await ok(api.post("/team/new", {**name, **fields}))
        row = (await ok(api.get("/team/info", **name)))["team_info"]
    assert (row["max_iterations"], row["max_budget_per_session"]) == (5, 0.5)
    changed = await ok(api.post(f"/{noun}/update", {**name, "max_iterations": None}))
    row = changed.get("data", changed)
    assert (row["max_iterations"], row["max_budget_per_session"]) == (None, 0.5)


def test_limits_of_sessions_need_the_dimension() -> None:
    """Else they would limit nothing, without a word."""
    key = Key("h", "n", session_limits=LimitSet(max_budget_nanousd=1))
    LimitGuard().check(None, key, None)
    with pytest.raises(BadRequest, match=r"tollgate\.dimensions\.session"):
        LimitGuard(sessions=False).check(None, key, None)
