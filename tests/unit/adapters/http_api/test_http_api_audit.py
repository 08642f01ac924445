"""/audit: every way to change something tells who did."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, get_args

import pytest
from tests.unit.management_fixtures import MASTER, Api, World, error_of

from tollgate.adapters.http_api.wire.audits import EntityKind
from tollgate.commands.records.audit import AuditedKind
from tollgate.core.audit import kind_name
from tollgate.core.entities import Entity

SECRET = "sk-planted-secret-of-a-key"
MODEL = {"model_name": "m", "litellm_params": {"model": "openai/m"}}
MADE: list[tuple[str, dict[str, Any]]] = [
    ("/user/new", {"user_id": "u", "auto_create_key": False}),
    (
        "/team/new",
        {
            "team_id": "t",
            "members_with_roles": [{"user_id": "m", "role": "user"}],
            "models": ["old", "kept"],
        },
    ),
    ("/budget/new", {"budget_id": "b"}),
    ("/organization/new", {"organization_id": "o"}),
    ("/tag/new", {"name": "g"}),
    ("/organization/member_add", {"organization_id": "o", "member": {"user_id": "u"}}),
    ("/customer/new", {"user_id": "c", "blocked": True}),
    ("/model/new", {**MODEL, "model_info": {"id": "o"}}),
    ("/key/generate", {"key": SECRET, "team_id": "t", "user_id": "u", "max_budget": 3}),
]
WRITES: list[tuple[str, dict[str, Any], str, str]] = [
    ("/key/generate", {}, "create", "key"),
    ("/key/update", {"key": SECRET, "rpm_limit": 1}, "change", "key"),
    ("/key/update", {"key": SECRET, "spend": 1}, "spend", "key"),
    ("/key/block", {"key": SECRET}, "change", "key"),
    ("/key/unblock", {"key": SECRET}, "change", "key"),
    ("/key/regenerate", {"key": SECRET}, "change", "key"),
    (f"/key/{SECRET}/regenerate", {}, "change", "key"),
    (f"/key/{SECRET}/reset_spend", {"reset_to": 0}, "spend", "key"),
    ("/key/delete", {"keys": [SECRET]}, "delete", "key"),
    ("/user/new", {"user_id": "v", "auto_create_key": False}, "create", "user"),
    ("/user/update", {"user_id": "u", "max_budget": 1}, "change", "user"),
    ("/user/delete", {"user_ids": ["u"]}, "delete", "user"),
    ("/team/new", {"team_id": "s"}, "create", "team"),
    ("/team/update", {"team_id": "t", "max_budget": 1}, "change", "team"),
    ("/team/block", {"team_id": "t"}, "change", "team"),
    ("/team/unblock", {"team_id": "t"}, "change", "team"),
    ("/team/model/add", {"team_id": "t", "models": ["x"]}, "change", "team"),
    ("/team/member_add", {"team_id": "t", "member": {"user_id": "n", "role": "user"}}, "create",
     "member"),
    ("/team/member_update", {"team_id": "t", "user_id": "m", "rpm_limit": 1}, "change", "member"),
    ("/team/member_delete", {"team_id": "t", "user_id": "m"}, "delete", "member"),
    ("/team/t/member/m/reset_spend", {"reset_to": 0}, "spend", "member"),
    ("/team/delete", {"team_ids": ["t"]}, "delete", "team"),
    ("/budget/new", {"budget_id": "a"}, "create", "budget"),
    ("/budget/update", {"budget_id": "b", "rpm_limit": 1}, "change", "budget"),
    ("/budget/delete", {"id": "b"}, "delete", "budget"),
    ("/customer/new", {"user_id": "d"}, "create", "customer"),
    ("/customer/update", {"user_id": "c", "max_budget": 1}, "change", "customer"),
    ("/customer/block", {"user_ids": ["c2"]}, "create", "customer"),
    ("/customer/delete", {"user_ids": ["c"]}, "delete", "customer"),
    ("/end_user/block", {"user_ids": ["e"]}, "create", "customer"),
    ("/tag/new", {"name": "h"}, "create", "tag"),
    ("/tag/update", {"name": "g", "rpm_limit": 1}, "change", "tag"),
    ("/tag/delete", {"name": "g"}, "delete", "tag"),
    ("/organization/new", {"organization_id": "p"}, "create", "organization"),
    ("PATCH /organization/update", {"organization_id": "o", "rpm_limit": 1}, "change",
     "organization"),
    ("DELETE /organization/delete", {"organization_ids": ["o"]}, "delete", "organization"),
    ("/organization/member_add", {"organization_id": "o", "member": {"user_id": "n"}}, "create",
     "organization_member"),
    ("PATCH /organization/member_update", {"organization_id": "o", "user_id": "u", "rpm_limit": 1},
     "change", "organization_member"),
    ("DELETE /organization/member_delete", {"organization_id": "o", "user_id": "u"}, "delete",
     "organization_member"),
    ("/model/new", MODEL, "create", "added_model"),
    ("/model/update", {"model_info": {"id": "o"}, "model_name": "n"}, "change", "added_model"),
    ("/model/delete", {"id": "o"}, "delete", "added_model"),
    ("/key/service-account/generate", {"team_id": "t"}, "create", "key"),
    ("/global/import", {"keys": [{"token": "0" * 64, "spend": 2}]}, "create", "key"),
    ("/team/model/delete", {"team_id": "t", "models": ["old"]}, "change", "team"),
    ("/customer/unblock", {"user_ids": ["c"]}, "change", "customer"),
    ("/global/apply", {"teams": [{"team_id": "new"}]}, "create", "team"),
]  # fmt: skip


@pytest.fixture
async def made(api: Api, world: World) -> Callable[[], Awaitable[None]]:
    """Something of every kind to change."""
    for path, body in MADE:
        answer = await api.post(path, body)
        assert answer.status_code == 200, answer.text

    async def again() -> None:
        world.registry.audited.clear()

    return again


@pytest.mark.parametrize(("path", "body", "action", "kind"), WRITES)
async def test_every_path_that_changes_something_tells_who_did(
    api: Api,
    made: Callable[[], Awaitable[None]],
    path: str,
    body: dict[str, Any],
    action: str,
    kind: str,
) -> None:
    """What, of which kind, and by which key; nobody's change is nobody's."""
    root = await api.post(
        "/user/new", {"user_id": "root", "user_role": "proxy_admin", "key_alias": "roots"}
    )
    await made()
    method, _, path = path.rpartition(" ")
    headers = {"authorization": f"Bearer {root.json()['key']}"}
    answer = await api.client.request(method or "POST", path, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    entries = (await api.get("/audit")).json()
    assert (action, kind) in {(each["action"], each["kind"]) for each in entries}
    assert {each["by"] for each in entries} == {"key roots, user root, API"}


def test_no_path_that_takes_a_body_is_missing_above(api: Api) -> None:
    """Those that change nothing are named."""
    reads = {"/budget/info", "/tag/info", "/spend/calculate"}
    document = api.client._transport.app.openapi()  # type: ignore[attr-defined]
    posts = {path for path, methods in document["paths"].items() if methods.keys() - {"get"}}
    told = {path.rpartition(" ")[2].replace(SECRET, "{key}") for path, *_ in WRITES}
    told = {path.replace("/t/member/m/", "/{team_id}/member/{user_id}/") for path in told}
    assert posts - told - reads == set()


async def test_the_log_is_for_administrators_and_filtered(api: Api) -> None:
    """By kind and id, in parts."""
    for number in range(3):
        await api.post("/customer/new", {"user_id": f"c{number}"})
    await api.post("/budget/new", {"budget_id": "b"})
    key = (await api.made())["key"]
    assert (await api.get("/audit", by=key)).status_code == 401
    answer = await api.get("/audit", kind="customer", limit="2")
    assert [each["entity_id"] for each in answer.json()] == ["c2", "c1"]
    cursor = answer.headers["x-tollgate-next-cursor"]
    answer = await api.get("/audit", kind="customer", limit="2", cursor=cursor)
    assert [each["entity_id"] for each in answer.json()] == ["c0"]
    assert "x-tollgate-next-cursor" not in answer.headers
    answer = await api.get("/audit", entity_id="b")
    assert [each["by"] for each in answer.json()] == ["master key, API"]
    assert (await api.get("/audit", kind="colour")).status_code == 400


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"since": "1970-01-02"}, 0),
        ({"since": "1970-01-01"}, 1),
        ({"until": "1970-01-01"}, 1),
        ({"until": "1969-12-31"}, 0),
        ({"since": "1970-01-01T01:00+01:00", "until": "1970-01-01T00:00:01"}, 1),
        ({"since": "1d"}, 0),
        ({"until": "1d"}, 1),
    ],
)
async def test_the_log_is_asked_for_a_time(api: Api, query: dict[str, str], found: int) -> None:
    """By ages, days and times; a day is included. The log in memory begins in 1970."""
    await api.post("/budget/new", {"budget_id": "b"})
    assert len((await api.get("/audit", **query)).json()) == found


@pytest.mark.parametrize("name", ["since", "until"])
async def test_a_time_that_is_none_is_refused_by_name(api: Api, name: str) -> None:
    """400."""
    answer = await api.get("/audit", **{name: "soon"})
    assert (answer.status_code, error_of(answer)["param"]) == (400, name)


async def test_the_log_holds_no_secret(
    api: Api, world: World, made: Callable[[], Awaitable[None]]
) -> None:
    """Neither a key's nor the master's."""
    await api.post("/key/regenerate", {"key": SECRET, "new_key": SECRET + "-2"})
    told = (await api.get("/audit")).text
    assert "planted" not in told
    assert MASTER not in told


@pytest.mark.parametrize("kind", get_args(Entity))
def test_changes_of_every_kind_of_entity_can_be_asked_for(kind: type[Entity]) -> None:
    """Over the API, and in a shell."""
    name = kind_name(kind)
    assert name in get_args(EntityKind)
    assert name in set(AuditedKind)


async def test_a_raise_and_inherited_defaults_are_told_before_and_after(
    api: Api, world: World
) -> None:
    """A raise with its end; a key that is made with the limits that it got, whoever chose them."""
    key = (await api.made(max_budget=5))["key"]
    raised = {"temp_budget_increase": 3, "temp_budget_expiry": "2027-06-01T00:00:00Z"}
    assert (await api.post("/key/update", {"key": key, **raised})).status_code == 200
    change, made = (await api.get("/audit", kind="key")).json()[:2]
    assert (change["action"], made["action"]) == ("change", "create")
    before, after = (
        each["limits"]["budget_increase"] for each in (change["before"], change["after"])
    )
    assert before is None
    assert after["amount"] == 3_000_000_000
    assert made["after"]["limits"]["max_budget_nanousd"] == 5_000_000_000
