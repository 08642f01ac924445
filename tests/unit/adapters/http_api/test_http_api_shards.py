"""Organizations that are split over several slots, over HTTP."""

from __future__ import annotations

from typing import Any

from tests.unit.adapters.http_api.test_http_api_organizations import send
from tests.unit.management_fixtures import Api, World, ok

from tollgate.core.callers.authentication import hash_of
from tollgate.core.entities import Key, Team
from tollgate.core.limits.accounts import Period, Scope, ScopeKind
from tollgate.core.limits.limit_parts import place_for, place_in

ACME = {"organization_id": "acme", "organization_alias": "Acme", "max_budget": 5, "shards": 4}
SCOPE = Scope(ScopeKind.ORGANIZATION, "acme")


async def spend_in_each_part(world: World, nanousd: int) -> None:
    for number in range(4):
        await world.spend(SCOPE, nanousd, organization=place_in("acme", number))


async def info(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = await ok(api.get("/organization/info", organization_id="acme"))
    return found


async def test_teams_and_keys_are_counted_in_a_place_by_their_ids(api: Api, world: World) -> None:
    """A key of a team beside the team, also of one that nobody has made."""
    made = await ok(api.post("/organization/new", ACME))
    assert made["shards"] == 4
    names = [f"t{number}" for number in range(6)]
    for name in names:
        await ok(api.post("/team/new", {"team_id": name, "organization_id": "acme"}))
    keys = [{"team_id": name} for name in (*names, "new")] + [{}] * 3
    made_keys = [
        await ok(api.post("/key/generate", {**each, "organization_id": "acme"})) for each in keys
    ]
    teams = await world.registry.get(Team, [*names, "new"])
    places = {each.entity.id: each.entity.place for each in teams if each is not None}
    assert places == {each: place_for("acme", 4, each) for each in (*names, "new")}
    assert len(set(places.values())) > 1
    stored = await world.registry.get(Key, [hash_of(each["key"]) for each in made_keys])
    for found in stored:
        assert found is not None
        key = found.entity
        assert key.place == place_for("acme", 4, key.team_id or key.id)


async def test_an_organization_s_spend_is_that_of_all_its_parts(api: Api, world: World) -> None:
    """It is shown, corrected, and gone with the organization."""
    await ok(api.post("/organization/new", ACME))
    await spend_in_each_part(world, 250_000_000)
    assert (await info(api))["spend"] == 1.0
    corrected = {"organization_id": "acme", "spend": 3}
    assert (await ok(send(api, "PATCH", "/organization/update", corrected)))["spend"] == 3.0
    assert (await info(api))["spend"] == 3.0
    deleted = {"organization_ids": ["acme"]}
    await ok(send(api, "DELETE", "/organization/delete", deleted))
    await ok(api.post("/organization/new", ACME))
    assert (await info(api))["spend"] == 0.0


async def test_a_new_duration_keeps_what_every_part_has_spent(api: Api, world: World) -> None:
    await ok(api.post("/organization/new", {**ACME, "budget_duration": "30d"}))
    begun = Period(world.clock.us - 1, world.clock.us, world.clock.us + 30 * 86_400_000_000)
    for number in range(4):
        await world.spend(SCOPE, 250_000_000, period=begun, organization=place_in("acme", number))
    longer = {"organization_id": "acme", "budget_duration": "60d"}
    assert (await ok(send(api, "PATCH", "/organization/update", longer)))["spend"] == 1.0


async def test_the_holder_of_a_key_is_told_of_the_whole(api: Api, world: World) -> None:
    """Whichever part its calls are counted in."""
    await ok(api.post("/organization/new", {**ACME, "rpm_limit": 10}))
    key = (await ok(api.post("/key/generate", {"organization_id": "acme"})))["key"]
    await spend_in_each_part(world, 250_000_000)
    told = await ok(api.get("/v1/usage", key=key))
    limits = {each["meter"]: each for each in told["limits"] if each["scope"] == "organization"}
    assert (limits["usd"]["amount"], limits["usd"]["used"]) == (5.0, 1.0)
    assert limits["requests"]["amount"] == 10


async def test_shards_are_said_when_an_organization_is_made(api: Api) -> None:
    """What its teams and keys have used is kept where they are."""
    await ok(api.post("/organization/new", ACME))
    same = {"organization_id": "acme", "shards": 4, "rpm_limit": 3}
    assert (await ok(send(api, "PATCH", "/organization/update", same)))["rpm_limit"] == 3
    other = {"organization_id": "acme", "shards": 8}
    refused = await send(api, "PATCH", "/organization/update", other)
    assert refused.status_code == 400
    assert "shards is 4" in refused.text
    for wrong in (0, 65, "many"):
        new = {"organization_alias": "other", "shards": wrong}
        assert (await api.post("/organization/new", new)).status_code in (400, 422)
