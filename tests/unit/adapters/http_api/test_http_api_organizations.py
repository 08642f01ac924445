"""/organization/*: as LiteLLM's clients call it, and what belongs to an organization."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.make import account_of, reservation, settlement
from tests.unit.management_fixtures import MASTER, Api, World, ok

from tollgate.core.callers.authentication import hash_of
from tollgate.core.limits.accounts import Scope, ScopeKind

ACME = {"organization_id": "acme", "organization_alias": "Acme", "max_budget": 5, "rpm_limit": 3}


async def send(api: Api, method: str, path: str, body: Any) -> httpx.Response:
    """A request with a body, by any method."""
    headers = {"authorization": f"Bearer {MASTER}"}
    return await api.client.request(method, path, json=body, headers=headers)


async def test_an_organization_is_made_changed_shown_and_listed(api: Api) -> None:
    """With LiteLLM's methods and fields; a budget's limits hold where it has none of its own."""
    made = await ok(api.post("/organization/new", ACME))
    assert (made["organization_id"], made["organization_alias"], made["max_budget"]) == (
        "acme",
        "Acme",
        5.0,
    )
    assert made["litellm_budget_table"]["rpm_limit"] == 3
    await ok(api.post("/team/new", {"team_id": "t", "organization_id": "acme"}))
    patch = {"organization_id": "acme", "rpm_limit": None, "models": ["a"]}
    changed = await ok(send(api, "PATCH", "/organization/update", patch))
    assert (changed["rpm_limit"], changed["models"], changed["max_budget"]) == (None, ["a"], 5.0)
    shown = await ok(api.get("/organization/info", organization_id="acme"))
    assert ([each["team_id"] for each in shown["teams"]], shown["members"]) == (["t"], [])
    await ok(api.post("/organization/new", {"organization_alias": "Globex"}))
    listed = await ok(api.get("/organization/list"))
    assert {each["organization_alias"] for each in listed} == {"Globex", "Acme"}
    assert [
        each["organization_id"] for each in await ok(api.get("/organization/list", org_alias="acm"))
    ] == ["acme"]


async def test_members_of_an_organization_are_added_changed_and_removed(api: Api) -> None:
    """Unknown users are made; the budget within the organization is the member's."""
    await ok(api.post("/organization/new", ACME))
    new = [{"role": "org_admin", "user_id": "ann"}, {"user_email": "bob@example.com"}]
    added = await ok(
        api.post(
            "/organization/member_add",
            {"organization_id": "acme", "member": new, "max_budget_in_organization": 2},
        )
    )
    rows = added["updated_organization_memberships"]
    assert [each["user_role"] for each in rows] == ["org_admin", "internal_user"]
    assert {each["litellm_budget_table"]["max_budget"] for each in rows} == {2.0}
    again = {"organization_id": "acme", "member": {"role": "internal_user", "user_id": "ann"}}
    assert (await api.post("/organization/member_add", again)).status_code == 400
    member = {"organization_id": "acme", "user_email": "bob@example.com"}
    changed = await ok(
        send(api, "PATCH", "/organization/member_update", {**member, "rpm_limit": 1})
    )
    assert changed["litellm_budget_table"]["rpm_limit"] == 1
    await ok(send(api, "DELETE", "/organization/member_delete", member))
    shown = await ok(api.get("/organization/info", organization_id="acme"))
    assert [each["user_id"] for each in shown["members"]] == ["ann"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/key/generate", {}),
        ("/team/new", {"team_id": "t"}),
        ("/user/new", {"user_id": "u"}),
    ],
)
async def test_an_organization_that_nobody_made_is_refused_by_name(
    api: Api, path: str, body: dict[str, Any]
) -> None:
    """Else its limits would be nobody's."""
    answer = await api.post(path, {**body, "organization_id": "nobody"})
    assert (answer.status_code, "organization_id=nobody" in answer.text) == (400, True)
    assert (await api.get("/organization/info", organization_id="nobody")).status_code == 404


@pytest.mark.parametrize("identity", ["default", "a/b", ""])
async def test_an_id_that_would_be_mistaken_is_refused(api: Api, identity: str) -> None:
    """That of who has no organization, and one with a slash: a member's id has one."""
    answer = await api.post("/organization/new", {"organization_id": identity})
    assert answer.status_code == 400


async def test_a_new_key_belongs_to_the_organization_of_its_team_or_user(api: Api) -> None:
    """Unless it names one; another than its team's is refused."""
    for name in ("acme", "globex"):
        await ok(api.post("/organization/new", {"organization_id": name}))
    await ok(api.post("/team/new", {"team_id": "t", "organization_id": "acme"}))
    user = {"user_id": "u", "organization_id": "acme", "auto_create_key": False}
    await ok(api.post("/user/new", user))
    for fields, expected in (
        ({"team_id": "t"}, "acme"),
        ({"user_id": "u"}, "acme"),
        ({"user_id": "u", "organization_id": "globex"}, "globex"),
        ({}, None),
    ):
        made = await api.made(**fields)
        assert (await api.info(made["key"]))["organization_id"] == expected
    answer = await api.post("/key/generate", {"team_id": "t", "organization_id": "globex"})
    assert answer.status_code == 400


async def test_a_team_takes_its_keys_and_their_spend_to_another_organization(
    api: Api, world: World
) -> None:
    """What was counted counts on; a key that changes its team moves alike."""
    for name in ("acme", "globex"):
        await ok(api.post("/organization/new", {"organization_id": name}))
    await ok(api.post("/team/new", {"team_id": "t", "organization_id": "acme"}))
    await ok(api.post("/team/new", {"team_id": "other", "organization_id": "acme"}))
    key = (await api.made(team_id="t", max_budget=1))["key"]
    scopes = [Scope(ScopeKind.TEAM, "t"), Scope(ScopeKind.KEY, hash_of(key))]
    for scope in scopes:
        await world.spend(scope, 30_000, organization="acme")
    await ok(api.post("/team/update", {"team_id": "t", "organization_id": "globex"}))
    row = await api.info(key)
    assert (row["organization_id"], row["spend"]) == ("globex", 0.00003)
    shown = await ok(api.get("/team/info", team_id="t"))
    assert shown["team_info"]["spend"] == 0.00003
    await ok(api.post("/key/update", {"key": key, "team_id": "other"}))
    row = await api.info(key)
    assert (row["organization_id"], row["spend"]) == ("acme", 0.00003)


async def test_deleting_an_organization_deletes_what_belongs_to_it(api: Api) -> None:
    """Its teams with their members, and its keys; other teams and all users stay."""
    for name in ("acme", "globex"):
        await ok(api.post("/organization/new", {"organization_id": name}))
        member = {"role": "user", "user_id": "u"}
        await ok(
            api.post(
                "/team/new",
                {"team_id": f"of-{name}", "organization_id": name, "members_with_roles": [member]},
            )
        )
    added = {"organization_id": "acme", "member": {"user_id": "u"}}
    await ok(api.post("/organization/member_add", added))
    keys = [
        (await api.made(**fields))["key"]
        for fields in (
            {"team_id": "of-acme"},
            {"organization_id": "acme"},
            {"team_id": "of-globex"},
        )
    ]
    gone = await ok(send(api, "DELETE", "/organization/delete", {"organization_ids": ["acme"]}))
    assert [each["organization_id"] for each in gone] == ["acme"]
    status = [(await api.get("/key/info", key=key)).status_code for key in keys]
    assert status == [404, 404, 200]
    assert [each["team_id"] for each in await ok(api.get("/team/list"))] == ["of-globex"]
    assert (await ok(api.get("/user/info", user_id="u")))["user_info"]["teams"] == ["of-globex"]
    missing = await send(api, "DELETE", "/organization/delete", {"organization_ids": ["acme"]})
    assert missing.status_code == 404


async def test_reports_are_filtered_by_the_organization_that_paid(api: Api, world: World) -> None:
    """Whatever place its ledger is in."""
    for number, name in enumerate(("acme", "globex")):
        call = reservation(f"c{number}", account_of(Scope(ScopeKind.ORGANIZATION, name)))
        await world.counters.reserve(call)
        await world.counters.settle(call, settlement(cost=100))
    rows = await ok(api.get("/spend/logs", organization_id="globex"))
    assert [each["request_id"] for each in rows] == ["c1"]
