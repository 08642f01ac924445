"""What an entity spent goes with it: one that is made again by the same name starts at nothing."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.management_fixtures import MASTER, Api, World

from tollgate.core.callers.authentication import hash_of
from tollgate.core.limits.accounts import Scope, ScopeKind

SECRET = "sk-own-0123456789abc"
MAKE: dict[str, Any] = {
    "/user/new": {"user_id": "u", "auto_create_key": False, "model_max_budget": {"gpt-4o": 1}},
    "/team/new": {"team_id": "t", "members_with_roles": [{"role": "user", "user_id": "u"}]},
    "/key/generate": {"key": SECRET, "user_id": "u", "team_id": "t", "max_budget": 1},
    "/customer/new": {"user_id": "c"},
    "/organization/new": {"organization_id": "o"},
    "/organization/member_add": {"organization_id": "o", "member": {"user_id": "u"}},
}
SCOPES = (
    Scope(ScopeKind.USER, "u"),
    Scope(ScopeKind.USER, "u", "gpt-4o"),
    Scope(ScopeKind.TEAM, "t"),
    Scope(ScopeKind.MEMBER, "t/u"),
    Scope(ScopeKind.KEY, hash_of(SECRET)),
    Scope(ScopeKind.CUSTOMER, "c"),
    Scope(ScopeKind.ORGANIZATION, "o", home="o"),
    Scope(ScopeKind.ORGANIZATION_MEMBER, "o/u", home="o"),
)


async def make(api: Api) -> None:
    for path, body in MAKE.items():
        answer = await api.post(path, body)
        assert answer.status_code in (200, 400, 409), answer.text


@pytest.mark.parametrize(
    ("path", "body", "gone"),
    [
        ("/key/delete", {"keys": [SECRET]}, {"key"}),
        (
            "/user/delete",
            {"user_ids": ["u"]},
            {"user", "key", "member", "organization_member"},
        ),
        (
            "DELETE /organization/delete",
            {"organization_ids": ["o"]},
            {"organization", "organization_member"},
        ),
        (
            "DELETE /organization/member_delete",
            {"organization_id": "o", "user_id": "u"},
            {"organization_member"},
        ),
        ("/team/delete", {"team_ids": ["t"]}, {"team", "key", "member"}),
        ("/team/member_delete", {"team_id": "t", "user_id": "u"}, {"member"}),
        ("/customer/delete", {"user_ids": ["c"]}, {"customer"}),
    ],
)
async def test_counters_go_with_their_entity(
    api: Api, world: World, path: str, body: dict[str, Any], gone: set[str]
) -> None:
    """And with all that goes with it, narrowed to models or not; those of others stay."""
    await make(api)
    for scope in SCOPES:
        await world.spend(scope, 30_000)
    method, _, path = path.rpartition(" ")
    headers = {"authorization": f"Bearer {MASTER}"}
    answer = await api.client.request(method or "POST", path, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    left = {scope.kind for scope in SCOPES if await world.spent(scope)}
    assert left == {scope.kind for scope in SCOPES} - gone
    await make(api)
    assert {scope.kind for scope in SCOPES if await world.spent(scope)} == left


async def test_a_secret_that_is_used_again_starts_at_nothing(api: Api, world: World) -> None:
    """Whatever was settled after its former key was deleted."""
    await api.made(key=SECRET, max_budget=0.00003)
    await api.post("/key/delete", {"keys": [SECRET]})
    await world.spend(Scope(ScopeKind.KEY, hash_of(SECRET)), 30_000)
    made = await api.made(key=SECRET, max_budget=0.00003)
    row = await api.info(SECRET)
    assert (made["spend"], row["spend"], row["total_spend"]) == (0.0, 0.0, 0.0)


async def test_a_users_limits_for_members_of_a_team_that_is_deleted_go_too(
    api: Api, world: World
) -> None:
    """A team may limit the users of its keys, whom nobody made members."""
    await api.post("/team/new", {"team_id": "t", "team_member_budget": 1})
    await api.made(team_id="t", user_id="somebody")
    member = Scope(ScopeKind.MEMBER, "t/somebody")
    await world.spend(member, 30_000)
    await api.post("/team/delete", {"team_ids": ["t"]})
    assert await world.spent(member) == 0
