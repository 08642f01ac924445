"""Users, teams and members over HTTP, and that none of their routes is for an ordinary key."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.management_fixtures import MASTER, Api, World, error_of, ok

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
