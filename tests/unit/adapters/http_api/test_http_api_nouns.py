"""Users, teams and members over HTTP, and that none of their routes is for an ordinary key."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.management_fixtures import MASTER, Api, World, error_of

from tollgate.core.callers.authentication import hash_of
from tollgate.core.limits.accounts import Scope, ScopeKind

ROUTES = [
    ("POST", "/user/new", {}),
    ("POST", "/user/update", {"user_id": "x"}),
    ("POST", "/user/delete", {"user_ids": ["x"]}),
    ("GET", "/user/list", None),
    ("POST", "/team/new", {}),
    ("GET", "/team/info?team_id=x", None),
    ("GET", "/team/list", None),
    ("POST", "/team/update", {"team_id": "x"}),
    ("POST", "/team/delete", {"team_ids": ["x"]}),
    ("POST", "/team/block", {"team_id": "x"}),
    ("POST", "/team/unblock", {"team_id": "x"}),
    ("POST", "/team/model/add", {"team_id": "x", "models": []}),
    ("POST", "/team/model/delete", {"team_id": "x", "models": []}),
    ("POST", "/team/member_add", {"team_id": "x", "member": {"role": "user", "user_id": "u"}}),
    ("POST", "/team/member_update", {"team_id": "x", "user_id": "u"}),
    ("POST", "/team/member_delete", {"team_id": "x", "user_id": "u"}),
    ("POST", "/team/x/member/u/reset_spend", {"reset_to": 0}),
    ("POST", "/customer/new", {"user_id": "x"}),
    ("POST", "/customer/update", {"user_id": "x"}),
    ("GET", "/customer/info?end_user_id=x", None),
    ("GET", "/customer/list", None),
    ("POST", "/customer/delete", {"user_ids": ["x"]}),
    ("POST", "/customer/block", {"user_ids": ["x"]}),
    ("POST", "/end_user/unblock", {"user_ids": ["x"]}),
    ("POST", "/budget/new", {}),
    ("POST", "/budget/update", {"budget_id": "x"}),
    ("POST", "/budget/info", {"budgets": ["x"]}),
    ("GET", "/budget/list", None),
    ("POST", "/budget/delete", {"id": "x"}),
]


async def ok(answer: Any) -> Any:
    """The body of an answer that must be good."""
    found = await answer
    assert found.status_code == 200, found.text
    return found.json()


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_an_ordinary_key_administers_nothing(
    api: Api, method: str, path: str, body: Any
) -> None:
    """Only the master key or an administrator's."""
    made = await api.made(user_id="ishaan", team_id="x")
    answer = await api.client.request(
        method, path, json=body, headers={"authorization": f"Bearer {made['key']}"}
    )
    assert answer.status_code == 401
    assert error_of(answer)["message"].startswith("Only proxy admin can be used")


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_what_does_not_exist_is_404(api: Api, method: str, path: str, body: Any) -> None:
    """Whatever names something that is not there says so; what makes, lists or registers works."""
    answer = await api.client.request(
        method, path, json=body, headers={"authorization": f"Bearer {MASTER}"}
    )
    works = (path.endswith(("/new", "/list", "block")) and "team/" not in path) or path in (
        "/team/new",
        "/team/list",
    )
    assert answer.status_code == (200 if works or path == "/budget/info" else 404), answer.text


# Users


async def test_a_new_user_is_answered_as_on_the_page(api: Api) -> None:
    """The page's sample: a key of theirs, no more fields than those."""
    body = {"models": ["azure-models"], "max_budget": 0, "user_id": "krrish3@berri.ai"}
    made = await ok(api.post("/user/new", body))
    assert list(made) == ["key", "expires", "user_id", "max_budget"]
    assert (made["expires"], made["user_id"], made["max_budget"]) == (None, "krrish3@berri.ai", 0.0)
    assert (await api.info(made["key"]))["user_id"] == "krrish3@berri.ai"


async def test_a_users_limits_are_kept_on_the_user(api: Api) -> None:
    """They hold over all keys together, so the key has none of its own."""
    made = await ok(
        api.post(
            "/user/new",
            {"user_id": "u", "max_parallel_requests": 10, "tpm_limit": 20, "rpm_limit": 4},
        )
    )
    shown = await ok(api.get("/user/info", user_id="u"))
    assert [
        shown["user_info"][name] for name in ("max_parallel_requests", "tpm_limit", "rpm_limit")
    ] == [10, 20, 4]
    assert [
        shown["keys"][0][name] for name in ("max_parallel_requests", "tpm_limit", "rpm_limit")
    ] == [None] * 3
    assert made["key"].startswith("sk-")


async def test_a_user_can_be_made_without_a_key_and_without_an_id(api: Api) -> None:
    """`auto_create_key: false`; the id is then made up."""
    made = await ok(api.post("/user/new", {"auto_create_key": False}))
    assert made["key"] is None
    assert len(made["user_id"]) == 36


async def test_what_is_said_of_the_key_is_of_the_key(api: Api) -> None:
    """Alias, lifetime and team of the key that is made with the user."""
    made = await ok(
        api.post("/user/new", {"team_id": "core-infra", "duration": "30d", "key_alias": "first"})
    )
    row = await api.info(made["key"])
    assert (row["team_id"], row["key_alias"], row["expires"]) == (
        "core-infra",
        "first",
        made["expires"],
    )
    assert made["expires"] == "2027-02-14T08:00:00+00:00"


@pytest.mark.parametrize("field", ["user_id", "user_email"])
async def test_a_user_exists_once(api: Api, field: str) -> None:
    """409 for an id or an e-mail address in use; then no key is made either."""
    await ok(api.post("/user/new", {field: "u@x.com"}))
    answer = await api.post("/user/new", {field: "u@x.com"})
    assert answer.status_code == 409
    assert "u@x.com already exists" in error_of(answer)["message"]
    assert (await ok(api.get("/key/list")))["total_count"] == 1


async def test_a_new_user_can_be_put_into_teams(api: Api) -> None:
    """By id, or with a budget within the team."""
    teams = ["a", {"team_id": "b", "max_budget_in_team": 0.5, "user_role": "admin"}]
    await ok(api.post("/team/new", {"team_id": "b"}))
    await ok(api.post("/user/new", {"user_id": "u", "teams": teams}))
    assert (await ok(api.get("/user/info", user_id="u")))["user_info"]["teams"] == ["a", "b"]
    (member,) = (await ok(api.get("/team/info", team_id="b")))["team_memberships"]
    assert (member["role"], member["litellm_budget_table"]["max_budget"]) == ("admin", 0.5)


async def test_a_user_is_updated_by_id_or_address(api: Api) -> None:
    """Merge patches, as everywhere."""
    await ok(
        api.post(
            "/user/new", {"user_id": "u", "user_email": "u@x.com", "rpm_limit": 1, "tpm_limit": 2}
        )
    )
    await ok(api.post("/user/update", {"user_email": "u@x.com", "rpm_limit": None}))
    answer = await ok(api.post("/user/update", {"user_id": "u", "user_role": "proxy_admin"}))
    shown = [answer["data"][name] for name in ("rpm_limit", "tpm_limit", "user_role", "user_email")]
    assert shown == [None, 2, "proxy_admin", "u@x.com"]


async def test_a_user_reads_about_themselves_and_nobody_else(api: Api) -> None:
    """With or without naming themselves; 403 for others."""
    made = await ok(api.post("/user/new", {"user_id": "u"}))
    await ok(api.post("/user/new", {"user_id": "other"}))
    statuses = [
        (await api.get("/user/info", by=made["key"], **query)).status_code
        for query in ({}, {"user_id": "u"}, {"user_id": "other"})
    ]
    assert statuses == [200, 200, 403]


async def test_a_users_key_tells_of_no_team(api: Api) -> None:
    """That they are in one, but not what it spent; an administrator sees both."""
    await ok(api.post("/team/new", {"team_id": "t", "max_budget": 5}))
    made = await ok(api.post("/user/new", {"user_id": "u", "teams": ["t"]}))
    own, whole = (
        await ok(api.get("/user/info", by=made["key"])),
        await ok(api.get("/user/info", user_id="u")),
    )
    assert (own["user_info"]["teams"], own["teams"]) == (["t"], [])
    assert [each["max_budget"] for each in whole["teams"]] == [5.0]


async def test_deleting_a_user_takes_keys_and_memberships_along(api: Api) -> None:
    """Nothing of theirs works afterwards."""
    made = await ok(api.post("/user/new", {"user_id": "u", "teams": ["t"]}))
    await ok(api.post("/team/new", {"team_id": "t"}))
    assert await ok(api.post("/user/delete", {"user_ids": ["u"]})) == 1
    assert (await api.get("/key/info", key=made["key"])).status_code == 404
    assert (await ok(api.get("/team/info", team_id="t")))["team_memberships"] == []


async def test_users_are_listed_and_found(api: Api) -> None:
    """With how many keys they have; filters narrow the list."""
    await ok(api.post("/user/new", {"user_id": "u1", "user_email": "one@x.com"}))
    await ok(
        api.post(
            "/user/new", {"user_id": "u2", "user_role": "proxy_admin", "auto_create_key": False}
        )
    )
    whole = await ok(api.get("/user/list", page_size=1))
    assert (whole["total"], whole["total_pages"], len(whole["users"])) == (2, 2, 1)
    queries = (
        {"role": "proxy_admin"},
        {"user_ids": "u1,u3"},
        {"user_email": "ONE"},
        {"search": "u2"},
    )
    found = [await ok(api.get("/user/list", **query)) for query in queries]
    assert [[(u["user_id"], u["key_count"]) for u in each["users"]] for each in found] == [
        [("u2", 0)],
        [("u1", 1)],
        [("u1", 1)],
        [("u2", 0)],
    ]


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


async def test_a_walk_in_customer_is_told_with_its_spend(api: Api, world: World) -> None:
    """Whom nobody registered and calls have named; who never came is 404."""
    await world.spend(Scope(ScopeKind.CUSTOMER, "walk-in"), 30_000)
    answer = await api.get("/customer/info", end_user_id="walk-in")
    row = answer.json()
    assert (answer.status_code, row["user_id"], row["spend"], row["registered"]) == (
        200,
        "walk-in",
        0.00003,
        False,
    )
    assert row["model_spend"] == {"gpt-4o": 0.00003}
    assert (await api.get("/customer/info", end_user_id="nobody")).status_code == 404
    await api.post("/customer/new", {"user_id": "walk-in"})
    row = (await api.get("/customer/info", end_user_id="walk-in")).json()
    assert (row["spend"], row["registered"]) == (0.00003, True)
