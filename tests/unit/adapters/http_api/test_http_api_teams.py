"""Teams and their members over HTTP."""

from __future__ import annotations

from tests.unit.management_fixtures import Api, World, error_of, ok

from tollgate.core.callers.authentication import hash_of
from tollgate.core.limits.accounts import Scope, ScopeKind

# Teams and members


async def test_a_new_team_is_answered_as_on_the_page(api: Api) -> None:
    """The page's sample, field for field."""
    body = {
        "team_alias": "my-new-team_4",
        "team_id": "13e83b19-f851-43fe-8e93-f96e21033100",
        "members_with_roles": [
            {"role": "admin", "user_id": "5c4a0aa3-a1e1-43dc-bd87-3c2da8382a3a"}
        ],
        "rpm_limit": 99,
    }
    answer = await api.post("/team/new", body)
    expected = {
        "team_alias": "my-new-team_4",
        "team_id": "13e83b19-f851-43fe-8e93-f96e21033100",
        "admins": [],
        "members": [],
        "members_with_roles": [
            {"role": "admin", "user_id": "5c4a0aa3-a1e1-43dc-bd87-3c2da8382a3a"}
        ],
        "metadata": {},
        "tpm_limit": None,
        "rpm_limit": 99,
        "max_budget": None,
        "models": [],
        "spend": 0.0,
        "max_parallel_requests": None,
        "budget_duration": None,
        "budget_reset_at": None,
    }
    assert answer.json() == expected
    assert list(answer.json()) == list(expected)


async def test_a_teams_period_ends_when_it_says(api: Api) -> None:
    """The page's ten seconds, from creation."""
    made = await ok(api.post("/team/new", {"team_alias": "t", "budget_duration": "10s"}))
    assert made["budget_reset_at"] == "2027-01-15T08:00:10+00:00"


async def test_a_team_exists_once(api: Api) -> None:
    """In LiteLLM's words."""
    await ok(api.post("/team/new", {"team_id": "t"}))
    answer = await api.post("/team/new", {"team_id": "t"})
    assert answer.status_code == 400
    assert (
        error_of(answer)["message"] == "Team id = t already exists. Please use a different team id."
    )


async def test_who_is_made_a_member_becomes_a_user(api: Api) -> None:
    """By id or by address; one who is known already stays who they are."""
    await ok(api.post("/user/new", {"user_id": "ishaan", "user_email": "i@x.com", "rpm_limit": 3}))
    await ok(api.post("/team/new", {"team_id": "t"}))
    members = [
        {"role": "user", "user_email": "i@x.com"},
        {"role": "admin", "user_email": "new@x.com"},
    ]
    answer = await ok(api.post("/team/member_add", {"team_id": "t", "member": members}))
    new_id = answer["updated_users"][1]["user_id"]
    assert answer["updated_users"][0] == {"user_id": "ishaan", "user_email": "i@x.com"}
    assert [each["user_id"] for each in answer["updated_team_memberships"]] == ["ishaan", new_id]
    assert (await ok(api.get("/user/info", user_id=new_id)))["user_info"]["teams"] == ["t"]
    assert (await ok(api.get("/user/info", user_id="ishaan")))["user_info"]["rpm_limit"] == 3


async def test_a_member_has_a_budget_within_the_team(api: Api, world: World) -> None:
    """The page's max_budget_in_team; what was spent within the team shows and can be lowered."""
    await ok(api.post("/team/new", {"team_id": "t"}))
    body = {
        "team_id": "t",
        "max_budget_in_team": 0.000000000001,
        "member": {"role": "user", "user_id": "ishaan"},
    }
    await ok(api.post("/team/member_add", body))
    await world.spend(Scope(ScopeKind.MEMBER, "t/ishaan"), 2_000)
    (member,) = (await ok(api.get("/team/info", team_id="t")))["team_memberships"]
    assert (member["spend"], member["litellm_budget_table"]["max_budget"]) == (2e-06, 1e-09)
    reset = await ok(api.post("/team/t/member/ishaan/reset_spend", {"reset_to": 0}))
    assert (reset["spend"], reset["previous_spend"], reset["max_budget"]) == (0.0, 2e-06, 1e-09)


async def test_a_member_is_one_once(api: Api) -> None:
    """400 for one who is a member already, or is named twice; then nobody is added."""
    await ok(
        api.post(
            "/team/new", {"team_id": "t", "members_with_roles": [{"role": "user", "user_id": "u"}]}
        )
    )
    for members in ([{"role": "user", "user_id": "u"}], [{"role": "user", "user_id": "v"}] * 2):
        answer = await api.post("/team/member_add", {"team_id": "t", "member": members})
        assert (answer.status_code, error_of(answer)["param"]) == (400, "member")
    assert len((await ok(api.get("/team/info", team_id="t")))["team_memberships"]) == 1


async def test_a_member_is_changed_and_removed(api: Api) -> None:
    """Merge patches; and out."""
    await ok(
        api.post(
            "/team/new", {"team_id": "t", "members_with_roles": [{"role": "user", "user_id": "u"}]}
        )
    )
    body = {
        "team_id": "t",
        "user_id": "u",
        "max_budget_in_team": 1,
        "rpm_limit": 2,
        "role": "admin",
    }
    await ok(api.post("/team/member_update", body))
    answer = await ok(
        api.post("/team/member_update", {"team_id": "t", "user_id": "u", "rpm_limit": None})
    )
    assert answer == {
        "team_id": "t",
        "user_id": "u",
        "role": "admin",
        "max_budget_in_team": 1.0,
        "tpm_limit": None,
        "rpm_limit": None,
        "budget_duration": None,
        "allowed_models": [],
        "model_max_budget": {},
        "model_rpm_limit": {},
        "model_tpm_limit": {},
    }
    left = await ok(api.post("/team/member_delete", {"team_id": "t", "user_id": "u"}))
    assert left["members_with_roles"] == []


async def test_a_team_gives_limits_to_its_members(api: Api) -> None:
    """`team_member_budget` and the like hold for members without their own."""
    await ok(
        api.post("/team/new", {"team_id": "t", "team_member_budget": 2, "team_member_rpm_limit": 7})
    )
    members = [{"role": "user", "user_id": "u"}]
    await ok(
        api.post("/team/member_add", {"team_id": "t", "member": members, "max_budget_in_team": 1})
    )
    shown = await ok(api.get("/team/info", team_id="t"))
    table = shown["team_memberships"][0]["litellm_budget_table"]
    assert (table["max_budget"], table["rpm_limit"], shown["team_info"]["team_member_budget"]) == (
        1.0,
        7,
        2.0,
    )


async def test_a_team_is_changed_blocked_listed_and_deleted(api: Api) -> None:
    """The life of a team."""
    await ok(api.post("/organization/new", {"organization_id": "acme"}))
    await ok(
        api.post(
            "/team/new",
            {"team_id": "t", "rpm_limit": 1, "models": ["a"], "organization_id": "acme"},
        )
    )
    updated = await ok(
        api.post("/team/update", {"team_id": "t", "rpm_limit": None, "team_alias": "x"})
    )
    assert (updated["team_id"], updated["data"]["rpm_limit"], updated["data"]["team_alias"]) == (
        "t",
        None,
        "x",
    )
    blocked = [
        (await ok(api.post(path, {"team_id": "t"})))["blocked"]
        for path in ("/team/block", "/team/unblock")
    ]
    assert blocked == [True, False]
    key = await api.made(team_id="t")
    assert (await api.info(key["key"]))["organization_id"] == "acme"
    shown = await ok(api.get("/team/info", team_id="t"))
    assert [each["token"] for each in shown["keys"]] == [hash_of(key["key"])]
    assert [
        each["team_id"] for each in await ok(api.get("/team/list", organization_id="acme"))
    ] == ["t"]
    assert await ok(api.get("/team/list", user_id="nobody")) == []
    assert await ok(api.post("/team/delete", {"team_ids": ["t"]})) == {"deleted_teams": ["t"]}
    assert (await api.get("/key/info", key=key["key"])).status_code == 404


async def test_a_teams_models_are_added_and_taken_but_not_the_last(api: Api) -> None:
    """An empty list would allow everything."""
    await ok(api.post("/team/new", {"team_id": "t", "models": ["a"]}))
    added = await ok(api.post("/team/model/add", {"team_id": "t", "models": ["b", "a"]}))
    taken = await ok(api.post("/team/model/delete", {"team_id": "t", "models": ["a"]}))
    assert (added["models"], taken["models"]) == (["a", "b"], ["b"])
    assert (
        await api.post("/team/model/delete", {"team_id": "t", "models": ["b"]})
    ).status_code == 400
