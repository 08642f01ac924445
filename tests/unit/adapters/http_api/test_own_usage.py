"""What a key's owner may know of the limits that the key meets."""

from __future__ import annotations

from typing import Any

from tests.unit.management_fixtures import Api, World

from tollgate.adapters.http_api.routes.lookups.own_usage import READS_A_MINUTE
from tollgate.core.limits.accounts import Scope, ScopeKind
from tollgate.management.virtual_keys import as_hash


async def limits_of(api: Api, key: str) -> dict[tuple[str, str], dict[str, Any]]:
    """By scope and meter."""
    answer = await api.get("/v1/usage", by=key)
    assert answer.status_code == 200, answer.text
    return {(each["scope"], each["meter"]): each for each in answer.json()["limits"]}


async def test_a_key_reads_every_limit_that_it_meets(api: Api, world: World) -> None:
    """Its own, its user's, team's and member's, by alias, with what is used and left."""
    await api.post("/team/new", {"team_id": "t", "team_alias": "Research", "max_budget": 10})
    await api.post("/user/new", {"user_id": "u", "rpm_limit": 5, "auto_create_key": False})
    member = {"role": "user", "user_id": "u"}
    await api.post("/team/member_add", {"team_id": "t", "member": member, "max_budget_in_team": 4})
    made = await api.made(
        user_id="u", team_id="t", key_alias="laptop", max_budget=2, budget_duration="1d"
    )
    for kind, name in ((ScopeKind.KEY, as_hash(made["key"])), (ScopeKind.TEAM, "t")):
        period = None
        if kind is ScopeKind.KEY:
            live = await world.management.keys.live_by_alias("laptop")
            period = live.entity.limits.spend_period(world.clock.us)
        await world.spend(Scope(kind, name), 500_000_000, period=period)
    found = await limits_of(api, made["key"])
    assert set(found) == {
        ("proxy", "usd"),
        ("team", "usd"),
        ("member", "usd"),
        ("user", "requests"),
        ("key", "usd"),
    }
    key = found["key", "usd"]
    assert (key["scope_name"], key["window"], key["window_kind"]) == ("laptop", "1d", "period")
    assert (key["amount"], key["used"], key["held"], key["left"]) == (2.0, 0.5, 0.0, 1.5)
    assert key["resets_at"] is not None
    team = found["team", "usd"]
    assert (team["scope_name"], team["left"], team["window_kind"]) == ("Research", 9.5, "forever")
    user = found["user", "requests"]
    assert (user["window"], user["window_kind"], user["left"]) == ("1m", "bucket", 5.0)


async def test_amounts_of_the_whole_proxy_are_no_holders_business(api: Api) -> None:
    """Only the share is told, to all but administrators."""
    proxy = (await limits_of(api, (await api.made())["key"]))["proxy", "usd"]
    assert (proxy["amount"], proxy["used"], proxy["held"], proxy["left"]) == (None,) * 4
    assert proxy["used_share"] == 0.0
    await api.post(
        "/user/new", {"user_id": "boss", "user_role": "proxy_admin", "auto_create_key": False}
    )
    proxy = (await limits_of(api, (await api.made(user_id="boss"))["key"]))["proxy", "usd"]
    assert proxy["amount"] == 10.0


async def test_another_keys_limits_are_not_told(api: Api) -> None:
    """Nor is anybody's secret."""
    await api.made(key_alias="other", rpm_limit=7)
    answer = await api.get("/v1/usage", by=(await api.made(rpm_limit=3))["key"])
    assert "other" not in answer.text
    assert [each["amount"] for each in answer.json()["limits"] if each["scope"] == "key"] == [3.0]


async def test_the_master_key_and_strangers_have_no_usage(api: Api) -> None:
    """Each is told why."""
    assert (await api.get("/v1/usage")).status_code == 400
    assert (await api.get("/v1/usage", by="sk-nobody")).status_code == 401


async def test_a_key_that_reads_too_often_waits(api: Api) -> None:
    """429 with the wait; another key is not concerned."""
    key, other = (await api.made())["key"], (await api.made())["key"]
    for _ in range(READS_A_MINUTE):
        assert (await api.get("/v1/usage", by=key)).status_code == 200
    answer = await api.get("/v1/usage", by=key)
    assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (429, True)
    assert (await api.get("/v1/usage", by=other)).status_code == 200


async def test_a_raise_and_shadow_mode_are_told(api: Api) -> None:
    """What was added, until when; and which limits refuse nothing."""
    entry = {"meter": "requests", "amount": 5, "per": "1m", "mode": "shadow"}
    raised = {"temp_budget_increase": 10, "temp_budget_expiry": "1d"}
    key = (await api.made(max_budget=2, limits=[entry], **raised))["key"]
    found = await limits_of(api, key)
    budget, rate = found["key", "usd"], found["key", "requests"]
    assert (budget["amount"], budget["raised_by"], budget["enforced"]) == (12.0, 10.0, True)
    assert budget["raised_until"] is not None
    assert (rate["enforced"], rate["raised_by"], rate["raised_until"]) == (False, 0.0, None)
