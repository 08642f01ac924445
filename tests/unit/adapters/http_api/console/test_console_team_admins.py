"""What a team's admin sees and does in the console: their team, and nothing beyond it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.unit.adapters.http_api.console.console_forms import made
from tests.unit.adapters.http_api.console.console_visit import Visit
from tests.unit.adapters.http_api.console.test_console_limits import filled
from tests.unit.management_fixtures import Api, World

HERS, HIS = "hers", "his"


@pytest.fixture
async def keys(api: Api) -> dict[str, str]:
    """Hashes of keys by alias: Ada leads `hers` with Bob in it, Dan leads `his`.

    Root is an administrator who is a member of hers, and has a key there.
    """
    await api.post("/user/new", {"user_id": "root", "user_role": "proxy_admin"})
    for team, leader, member in ((HERS, "ada", "bob"), (HIS, "dan", "eve")):
        roles = [{"user_id": leader, "role": "admin"}, {"user_id": member, "role": "user"}]
        if team == HERS:
            roles.append({"user_id": "root", "role": "user"})
        await api.post(
            "/team/new", {"team_id": team, "members_with_roles": roles, "max_budget": 50}
        )
    found = {}
    for user, team in (("bob", HERS), ("eve", HIS), ("root", HERS)):
        _, found[user] = await made(api, user_id=user, team_id=team, key_alias=f"{user}s-key")
    _, found["lone"] = await made(api, user_id="ada", key_alias="lone")
    return found


@pytest.fixture
async def ada(visit: Visit, api: Api, keys: dict[str, str]) -> Visit:
    """Ada, signed in with a key of hers."""
    secret, _ = await made(api, user_id="ada", team_id=HERS, key_alias="adas-key")
    await visit.sign_in(secret)
    return visit


async def test_she_begins_with_her_team_and_sees_no_other(ada: Visit) -> None:
    """Pages of administrators are neither linked nor shown."""
    assert ada.path == "/ui/people"
    assert HERS in ada.text
    assert HIS not in ada.text
    for page in ("Now", "Models & prices", "Audit log"):
        assert page not in ada.text
    assert "New team" not in ada.text
    for tab in ("keys", "users", "organizations"):
        assert HIS not in await ada.see("/ui/people", show=tab, search="eve")


async def test_she_makes_limits_and_stops_keys_of_her_members(
    ada: Visit, api: Api, keys: dict[str, str]
) -> None:
    """With the same forms that administrators have."""
    await ada.see("/ui/people/team", id=HERS)
    form = filled(ada, "/ui/people/key/new", user_id="bob", key_alias="bobs-second", rpm_limit="5")
    assert "This is the new key" in await ada.send("/ui/people/key/new", **form)
    secret = re.search(r"sk-[\w-]{22}", ada.page.text)
    assert secret is not None
    info = await api.info(secret[0])
    assert (info["team_id"], info["user_id"], info["rpm_limit"]) == (HERS, "bob", 5)
    await ada.see("/ui/people/key", id=keys["bob"])
    path = "/ui/people/key"
    assert "Saved" in await ada.send(path, **filled(ada, path, max_budget="2"))
    assert "of $3.00" in await ada.send(
        f"{path}/raise", **filled(ada, f"{path}/raise", increase="1")
    )
    assert "Every call is refused" in await ada.send(f"{path}/block", id=keys["bob"])
    await ada.send(f"{path}/unblock", id=keys["bob"])
    assert "new secret" in await ada.send(f"{path}/regenerate", id=keys["bob"])


async def test_she_manages_her_members(ada: Visit) -> None:
    """Adds them, limits them, and lets them go."""
    await ada.see("/ui/people/team", id=HERS)
    path = "/ui/people/team/member"
    assert "fay is a member now" in await ada.send(f"{path}/add", id=HERS, user_id="fay")
    assert "no member any more" in await ada.send(f"{path}/remove", id=HERS, user_id="fay")


async def test_what_she_does_is_audited_as_hers(ada: Visit, api: Api, keys: dict[str, str]) -> None:
    """By the key that she signed in with."""
    await ada.see("/ui/people/key", id=keys["bob"])
    await ada.send("/ui/people/key/block", id=keys["bob"])
    entries = (await api.get("/audit", entity_id=keys["bob"])).json()
    assert "adas-key" in str(entries)


FORMS: list[tuple[str, dict[str, Any]]] = [
    *(
        (f"/ui/people/key{action}", {"id": whose})
        for whose in ("eve", "root", "lone")
        for action in ("", "/block", "/unblock", "/reset", "/regenerate", "/delete", "/raise")
    ),
    ("/ui/people/key", {"id": "bob", "team_id": HIS}),
    ("/ui/people/key", {"id": "bob", "user_id": "root"}),
    ("/ui/people/key", {"id": "bob", "organization_id": "o"}),
    ("/ui/people/key", {"id": "bob", "spend": "0"}),
    ("/ui/people/key/regenerate", {"id": "bob", "user_id": "root"}),
    ("/ui/people/key/new", {"team_id": HIS}),
    ("/ui/people/key/new", {"team_id": "", "user_id": "bob"}),
    ("/ui/people/key/new", {"team_id": HERS, "user_id": "root"}),
    ("/ui/people/key/new", {"team_id": HERS, "user_id": "eve"}),
    ("/ui/people/key/new", {"team_id": HERS, "key": "sk-0123456789abcdef"}),
    *(
        (f"/ui/people/team/member{action}", {"id": HIS, "user_id": "eve"})
        for action in ("", "/add", "/reset", "/remove", "/raise")
    ),
    *(
        (f"/ui/people/team{action}", {"id": HERS, "team_id": HERS})
        for action in ("", "/new", "/block", "/unblock", "/delete", "/raise", "/reset")
    ),
    *((f"/ui/people/user{action}", {"id": "bob"}) for action in ("", "/block", "/raise")),
    ("/ui/people/organization/new", {"organization_alias": "mine"}),
    ("/ui/models/new", {"model_name": "m", "model": "openai/m"}),
]


@pytest.mark.parametrize(("path", "fields"), FORMS)
async def test_forms_about_others_are_refused(
    ada: Visit, keys: dict[str, str], path: str, fields: dict[str, str]
) -> None:
    """Other teams' members and keys, keys of administrators, and the limits of her own team."""
    if "/key" in path and "id" in fields:
        fields = fields | {"id": keys[fields["id"]]}
    await ada.see("/ui/people/team", id=HERS)
    await ada.send(path, **fields)
    assert ada.page.status_code == 403, ada.text


@pytest.mark.parametrize(
    "path",
    [
        f"/ui/people/team?id={HIS}",
        f"/ui/people/team/branch?id={HIS}",
        "/ui/people/key?id={eve}",
        "/ui/people/key?id={root}",
        "/ui/people/key?id={lone}",
        "/ui/people/user?id=bob",
        "/ui/people/organization?id=default",
        f"/ui/requests?team_id={HIS}",
        f"/ui/requests?team_id={HIS}&status=refused",
        f"/ui/usage?team_id={HIS}",
        f"/ui/usage.csv?team_id={HIS}",
        "/ui/usage/export",
        "/ui/now",
        "/ui/models",
        "/ui/audit",
    ],
)
async def test_pages_about_others_are_refused(ada: Visit, keys: dict[str, str], path: str) -> None:
    """However they are asked for."""
    await ada.see(path.format(**keys))
    assert ada.page.status_code == 403, ada.text


async def test_her_requests_and_sums_are_her_teams(ada: Visit) -> None:
    """Without a filter too."""
    for path in ("/ui/requests", "/ui/usage"):
        await ada.see(path)
        assert f'value="{HERS}"' in ada.page.text


async def test_a_member_who_leads_nothing_sees_what_is_theirs(
    visit: Visit, api: Api, keys: dict[str, str]
) -> None:
    """Bob is no admin of his team."""
    secret, _ = await made(api, user_id="bob", team_id=HERS)
    await visit.sign_in(secret)
    assert visit.path == "/ui/mine"
    for path in (f"/ui/people/team?id={HERS}", "/ui/people", "/ui/requests", "/ui/usage"):
        await visit.see(path)
        assert visit.page.status_code == 403
    await visit.see("/ui/mine")
    await visit.send("/ui/people/key/block", id=keys["bob"])
    assert visit.page.status_code == 403


async def test_who_is_no_admin_any_more_sees_it_at_once(ada: Visit, api: Api, world: World) -> None:
    """Their session goes on as that of any key's owner."""
    await api.post("/team/member_update", {"team_id": HERS, "user_id": "ada", "role": "user"})
    await ada.see("/ui/people/team", id=HERS)
    assert ada.page.status_code == 403
