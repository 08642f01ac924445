"""What a key's owner may know of the limits that the key meets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.unit.management_fixtures import Api, World

from tollgate.adapters.http_api.routes.lookups.own_usage import READS_A_MINUTE
from tollgate.commands.reports.explain import met_limits
from tollgate.core.callers.rules import Policy
from tollgate.core.entities import LimitSet, Team
from tollgate.core.limits.accounts import Meter, Scope, ScopeKind
from tollgate.core.limits.limit import Bucket, Limit, described
from tollgate.core.limits.shares import Shares
from tollgate.management.virtual_keys import as_hash
from tollgate.reporting.levels import Levels


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


async def test_what_a_limit_does_when_it_is_used_up_is_told(api: Api) -> None:
    """Strictness, what is carried over, another model, a trickle, a wait."""
    entries = [
        {"meter": "usd", "amount": 5, "per": "1d", "strict": True, "rollover": {"cap": 9}},
        {"meter": "requests", "amount": 5, "per": "1m", "on_exceeded": {"throttle": "10%"}},
        {"meter": "calls", "amount": 5, "max_wait_ms": 200},
    ]
    found = await limits_of(api, (await api.made(limits=entries))["key"])
    dollars, rate, calls = (found["key", each] for each in ("usd", "requests", "calls"))
    assert (dollars["strict"], dollars["rollover_cap"], dollars["on_exceeded"]) == (
        True, 9.0, "refuse"
    )  # fmt: skip
    assert (rate["strict"], rate["on_exceeded"]) == (False, {"throttle": "10%"})
    assert (calls["max_wait_ms"], calls["rollover_cap"]) == (200, None)


async def test_administrators_read_the_limits_of_any_key(api: Api) -> None:
    """With amounts of the whole proxy; others may name their own key only."""
    made, other = await api.made(rpm_limit=7), await api.made()
    found = (await api.get("/v1/usage", key=made["key"])).json()["limits"]
    assert [each["amount"] for each in found] == [10.0, 7.0]
    assert (await api.get("/v1/usage", by=made["key"], key=made["key"])).status_code == 200
    assert (await api.get("/v1/usage", by=other["key"], key=made["key"])).status_code == 403
    assert (await api.get("/v1/usage", key="sk-nobody-has-this")).status_code == 404


async def test_without_enforcement_every_limit_is_told_to_be_in_shadow_mode(world: World) -> None:
    """`enforce: false` is the shadow mode of all limits there are."""
    made = await world.management.keys.create(lambda key, _: key)
    policy = Policy(proxy=world.reports.proxy, enforce=False)
    levels = Levels(world.registry, world.counters, world.clock, policy, world.reports.catalog)
    (met,) = await levels.of_key(made.live.entity)
    assert met.level.quota.enforcement.shadow


async def test_limits_of_the_deployments_that_serve_a_key_are_told(world: World) -> None:
    """Those of models that it may use, with its share, whose amounts are its own."""
    shared = Limit(Meter.REQUESTS, 20, Bucket(60), shares=Shares((("t", 500),)))
    scopes = {
        name: ((Scope(ScopeKind.DEPLOYMENT, name), LimitSet((shared,))),)
        for name in ("gpt-4o", "unpriced")
    }
    policy = Policy(upstreams=scopes)
    levels = Levels(world.registry, world.counters, world.clock, policy, world.reports.catalog)
    await world.management.teams.create(Team("t"), lambda team, _: team)
    made = await world.management.keys.create(
        lambda key, _: replace(key, team_id="t", models=("gpt-4o",))
    )
    met = await levels.of_key(made.live.entity)
    assert [(each.scope_name, described(each.level.quota)) for each in met] == [
        ("gpt-4o", "requests per min (RPM)"),
        ("gpt-4o", "requests per min (RPM), share of t"),
    ]
    assert [each.level.amount for each in met] == [20, 5]
    assert [each.is_confidential for each in met] == [True, False]


async def test_the_command_line_prints_every_limit_that_a_key_meets(api: Api) -> None:
    """`tollgate explain --key`: a row a limit, with what else there is to say of it."""
    entries = [
        {"meter": "usd", "amount": 5, "per": "1d", "mode": "shadow", "rollover": {"cap": 9}},
        {"meter": "requests", "amount": 5, "per": "1m", "on_exceeded": {"throttle": "10%"}},
    ]
    made = await api.made(key_alias="bob", limits=entries)
    proxy, rate, dollars = met_limits(
        (await api.get("/v1/usage", key=made["key"])).json()["limits"]
    )
    assert (proxy["scope"], proxy["notes"]) == ("proxy", "")
    assert (rate["scope"], rate["limit"]) == ("key bob", "requests per min (RPM)")
    assert [str(rate[name]) for name in ("amount", "used", "left")] == ["5", "0", "5"]
    assert dollars["amount"] == 5.0
    assert rate["notes"] == "on exceeded throttle 10%"
    assert dollars["notes"] == "shadow, carries over up to 9.0"
