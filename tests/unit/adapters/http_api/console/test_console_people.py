"""Keys and people in the console: made, changed, stopped, and where their limits stand."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.unit.adapters.http_api.console.console_visit import Visit
from tests.unit.management_fixtures import Api, World

from tollgate.core.limits.accounts import Period, Scope, ScopeKind

HOUR_US = 3_600_000_000


@pytest.fixture
async def admin(visit: Visit) -> Visit:
    """Somebody with the master key."""
    await visit.sign_in()
    return visit


async def made(api: Api, **fields: Any) -> tuple[str, str]:
    """A new key: its secret and its hash."""
    secret = (await api.made(**fields))["key"]
    return secret, (await api.info(secret))["token"]


async def spend(world: World, kind: ScopeKind, identity: str, dollars: float) -> None:
    """Let calls that somebody paid for cost so much."""
    await world.spend(Scope(kind, identity), int(dollars * 1_000_000_000))


async def test_a_key_is_made_by_a_form_and_its_secret_shown_once(admin: Visit, api: Api) -> None:
    """With what a client needs to use it."""
    await admin.see("/ui/people", show="keys")
    text = await admin.send(
        "/ui/people/key/new",
        key_alias="laptop",
        user_id="alice",
        models="gpt-4o, beta-models",
        max_budget="0.5",
        budget_duration="1d",
        rpm_limit="7",
        tpm_limit="",
        team_id=" ",
    )
    assert "shown once" in text
    secret = re.search(r"sk-[\w-]{22}", admin.page.text)
    assert secret is not None
    info = await api.info(secret[0])
    assert {name: info[name] for name in ("key_alias", "user_id", "team_id", "models")} == {
        "key_alias": "laptop",
        "user_id": "alice",
        "team_id": None,
        "models": ["gpt-4o", "beta-models"],
    }
    assert (info["max_budget"], info["budget_duration"], info["rpm_limit"]) == (0.5, "1d", 7)
    assert f'api_key="{secret[0]}"' in text
    await admin.see("/ui/people/key", id=info["token"])
    assert secret[0] not in admin.page.text


async def test_a_key_of_nobody_in_particular_is_made_as_the_api_makes_it(
    admin: Visit, api: Api
) -> None:
    """With a user id of its own."""
    await admin.see("/ui/people", show="keys")
    await admin.send("/ui/people/key/new", user_id="", team_id="")
    secret = re.search(r"sk-[\w-]{22}", admin.page.text)
    assert secret is not None
    assert (await api.info(secret[0]))["user_id"]


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("rpm_limit", "many", "rpm_limit must be a whole number"),
        ("max_budget", "-1", "max_budget must be a non-negative"),
        ("budget_duration", "soon", "budget_duration must be"),
        ("model_max_budget", "{gpt", "model_max_budget must be a JSON object"),
        ("team_id", "a/b", "team_id must not hold a slash"),
    ],
)
async def test_a_field_that_cannot_be_is_named_with_what_would_be_right(
    admin: Visit, field: str, value: str, told: str
) -> None:
    """As the API names it."""
    await admin.see("/ui/people", show="keys")
    assert told in await admin.send("/ui/people/key/new", **{field: value})
    assert admin.page.status_code == 400


async def test_limits_are_changed_by_the_form_and_cleared_where_it_is_empty(
    admin: Visit, api: Api
) -> None:
    """What the form does not show stays as it is."""
    secret, key = await made(
        api, max_budget=1, rpm_limit=5, tpm_limit=50, metadata={"a": 1}, model_rpm_limit={"m": 2}
    )
    await admin.see("/ui/people/key", id=key)
    await admin.send(
        "/ui/people/key", **posted(admin, "/ui/people/key") | {"rpm_limit": "9", "max_budget": ""}
    )
    info = await api.info(secret)
    assert (info["rpm_limit"], info["max_budget"], info["tpm_limit"]) == (9, None, 50)
    assert (info["metadata"], info["model_rpm_limit"]) == ({"a": 1}, {"m": 2})
    assert "Saved" in admin.text


def posted(visit: Visit, action: str) -> dict[str, str]:
    """The fields of a form of the open page, as they are shown."""
    form = visit.page.text.partition(f'action="{action}"')[2].partition("</form>")[0]
    pairs = re.findall(r'<input[^>]*name="([^"]*)"[^>]*value="([^"]*)"', form)
    return {name: value.replace("&#34;", '"') for name, value in pairs}


async def test_a_form_that_is_out_of_date_changes_nothing(
    admin: Visit, api: Api, world: World
) -> None:
    """Somebody else's change is not undone."""
    secret, key = await made(api, rpm_limit=5)
    await admin.see("/ui/people/key", id=key)
    fields = posted(admin, "/ui/people/key")
    world.clock.us += 1
    await api.post("/key/update", {"key": secret, "rpm_limit": 100})
    text = await admin.send("/ui/people/key", **fields | {"rpm_limit": "6"})
    assert "Somebody has changed this" in text
    assert (await api.info(secret))["rpm_limit"] == 100


async def test_a_key_is_blocked_and_let_go(admin: Visit, api: Api) -> None:
    """By a button each."""
    secret, key = await made(api)
    await admin.see("/ui/people/key", id=key)
    assert "Every call is refused" in await admin.send("/ui/people/key/block", id=key)
    assert (await api.info(secret))["blocked"] is True
    assert "Every call is refused" not in await admin.send("/ui/people/key/unblock", id=key)


async def test_a_key_gets_a_new_secret_and_keeps_its_spend(
    admin: Visit, api: Api, world: World
) -> None:
    """The old one is nobody's."""
    secret, key = await made(api, max_budget=1)
    await spend(world, ScopeKind.KEY, key, 0.25)
    await admin.see("/ui/people/key", id=key)
    assert "new secret" in await admin.send("/ui/people/key/regenerate", id=key)
    new = re.search(r"sk-[\w-]{22}", admin.page.text)
    assert new is not None
    assert (await api.info(new[0]))["spend"] == 0.25
    assert (await api.get("/key/info", key=secret)).status_code == 404


async def test_a_keys_spend_is_set_back_and_the_key_deleted(
    admin: Visit, api: Api, world: World
) -> None:
    """The ledger stays."""
    secret, key = await made(api, max_budget=1)
    await spend(world, ScopeKind.KEY, key, 0.25)
    await admin.see("/ui/people/key", id=key)
    assert "0 now" in await admin.send("/ui/people/key/reset", id=key)
    assert (await api.info(secret))["spend"] == 0
    await admin.send("/ui/people/key/delete", id=key)
    assert admin.path == "/ui/people"
    assert (await api.get("/key/info", key=secret)).status_code == 404


async def test_a_key_shows_every_limit_that_its_calls_meet(
    admin: Visit, api: Api, world: World
) -> None:
    """Of the proxy, its team, the member, the user, and its own."""
    await api.post("/team/new", {"team_id": "t", "max_budget": 4, "team_member_rpm_limit": 3})
    await api.post("/user/new", {"user_id": "u", "tpm_limit": 900, "auto_create_key": False})
    _, key = await made(api, user_id="u", team_id="t", max_budget=2, model_max_budget={"gpt-4o": 1})
    await spend(world, ScopeKind.KEY, key, 0.5)
    await spend(world, ScopeKind.TEAM, "t", 1)
    text = await admin.see("/ui/people/key", id=key)
    for told in (
        "proxy: dollars $0.00 of $10.00",
        "team t : dollars $1.00 of $4.00",
        "member u in t : requests per min (RPM) 0 of 3",
        "user u : tokens per min (TPM) 0 of 900",
        "dollars $0.50 of $2.00",
        "for gpt-4o : dollars $0.00 of $1.00",
    ):
        assert told in text
    assert "Calls are refused now" not in text


async def test_a_key_says_which_limit_refuses_its_calls(
    admin: Visit, api: Api, world: World
) -> None:
    """A budget of its team that is used up, with how much, and until when."""
    await api.post("/team/new", {"team_id": "t", "max_budget": 1, "budget_duration": "1d"})
    _, key = await made(api, team_id="t")
    today = Period(0, world.clock.us, world.clock.us + 24 * HOUR_US)
    await world.spend(Scope(ScopeKind.TEAM, "t"), 1_250_000_000, period=today)
    text = await admin.see("/ui/people/key", id=key)
    assert "Calls are refused now: team t has used $1.25 of $1.00" in text
    assert "until 2027-01-16" in text


async def test_a_budget_that_is_shared_shows_as_the_keys_own(
    admin: Visit, api: Api, world: World
) -> None:
    """Limits that a key has from a budget."""
    await api.post("/budget/new", {"budget_id": "free", "max_budget": 3})
    _, key = await made(api, budget_id="free")
    assert "$0.00 of $3.00" in await admin.see("/ui/people/key", id=key)


async def test_owners_see_all_limits_that_their_calls_meet(visit: Visit, api: Api) -> None:
    """Also their team's, without its page."""
    await api.post("/team/new", {"team_id": "t", "rpm_limit": 8})
    secret, _ = await made(api, team_id="t", tpm_limit=77)
    text = await visit.sign_in(secret)
    assert "team t : requests per min (RPM) 0 of 8" in text
    assert "tokens per min (TPM) 0 of 77" in text


async def test_a_team_is_made_changed_and_peopled(admin: Visit, api: Api) -> None:
    """Its members are users, whether they were there or not."""
    await admin.see("/ui/people")
    await admin.send(
        "/ui/people/team/new", team_id="t 1/2".replace("/", "-"), team_alias="Research"
    )
    assert "Research" in admin.text
    await admin.send(
        "/ui/people/team/member/add", id="t 1-2", user_id="bob", max_budget_in_team="2"
    )
    assert "bob is a member now" in admin.text
    assert "$0.00 of $2.00" in admin.text
    await admin.send("/ui/people/team", **posted(admin, "/ui/people/team") | {"rpm_limit": "40"})
    info = (await api.get("/team/info", team_id="t 1-2")).json()["team_info"]
    assert (info["rpm_limit"], info["team_alias"]) == (40, "Research")
    await admin.send("/ui/people/team/block", id="t 1-2")
    assert "blocked" in admin.text
    await admin.send("/ui/people/team/unblock", id="t 1-2")
    await admin.send("/ui/people/team/member/remove", id="t 1-2", user_id="bob")
    assert "bob is no member any more" in admin.text
    await admin.send("/ui/people/team/delete", id="t 1-2")
    assert "No teams yet" in admin.text


async def test_a_member_is_limited_and_set_back(admin: Visit, api: Api, world: World) -> None:
    """Within the team alone."""
    await api.post(
        "/team/new", {"team_id": "t", "members_with_roles": [{"user_id": "bob", "role": "user"}]}
    )
    await admin.see("/ui/people/team", id="t")
    fields = posted(admin, "/ui/people/team/member") | {"max_budget_in_team": "3"}
    await admin.send("/ui/people/team/member", **fields)
    assert "Saved: bob" in admin.text
    await spend(world, ScopeKind.MEMBER, "t/bob", 1)
    assert "$1.00 of $3.00" in await admin.see("/ui/people/team", id="t")
    await admin.send("/ui/people/team/member/reset", id="t", user_id="bob")
    assert "$0.00 of $3.00" in admin.text


async def test_a_members_field_that_is_left_empty_keeps_its_limit(admin: Visit, api: Api) -> None:
    """The form does not show what was set before."""
    await api.post(
        "/team/new", {"team_id": "t", "members_with_roles": [{"user_id": "bob", "role": "user"}]}
    )
    for given in ({"max_budget_in_team": "3"}, {"rpm_limit": "7"}):
        await admin.see("/ui/people/team", id="t")
        await admin.send(
            "/ui/people/team/member", **posted(admin, "/ui/people/team/member") | given
        )
        assert "Saved: bob" in admin.text
    assert "of $3.00" in await admin.see("/ui/people/team", id="t")


async def test_the_tree_has_members_and_their_keys_below_a_team(admin: Visit, api: Api) -> None:
    """And keys of nobody beside them."""
    await api.post(
        "/team/new", {"team_id": "t", "members_with_roles": [{"user_id": "bob", "role": "admin"}]}
    )
    await made(api, user_id="bob", team_id="t", key_alias="bobs")
    await made(api, team_id="t", key_alias="nobodys")
    await made(api, key_alias="elsewhere")
    text = await admin.see("/ui/people/team/branch", id="t")
    assert text.index("bob ") < text.index("bobs") < text.index("nobodys")
    assert "elsewhere" not in text


async def test_a_user_is_made_changed_and_blocked(admin: Visit, api: Api) -> None:
    """Limits over all their keys."""
    await admin.see("/ui/people", show="users")
    await admin.send("/ui/people/user/new", user_id="a/ü", user_email="a@b.example", rpm_limit="4")
    assert "0 of 4" in admin.text
    fields = posted(admin, "/ui/people/user") | {"max_budget": "7"}
    assert "$0.00 of $7.00" in await admin.send("/ui/people/user", **fields)
    await admin.send("/ui/people/user/block", id="a/ü")
    assert "blocked" in admin.text
    await admin.send("/ui/people/user/unblock", id="a/ü")
    info = (await api.get("/user/info", user_id="a/ü")).json()["user_info"]
    assert (info["user_email"], info["rpm_limit"], info["max_budget"]) == ("a@b.example", 4, 7)


async def test_keys_are_found_by_alias_hash_and_secret(admin: Visit, api: Api) -> None:
    """And nothing is found by what is none of these."""
    secret, key = await made(api, key_alias="alice-laptop")
    await made(api, key_alias="bob")
    for search in ("LAPTOP", "alice-laptop", key[:12], secret):
        text = await admin.see("/ui/people", search=search)
        assert "alice-laptop" in text
        assert "bob" not in text
    for search in ("nothing", "sk-nothing"):
        assert "No key fits" in await admin.see("/ui/people", search=search)


async def test_lists_come_in_parts(admin: Visit, api: Api) -> None:
    """The newest first."""
    for number in range(27):
        await made(api, key_alias=f"key-{number:02}")
    await admin.see("/ui/people", show="keys")
    first = set(re.findall(r"key-\d\d", admin.text))
    assert "1 of 2, 27 in all" in admin.text
    await admin.see("/ui/people", show="keys", page="2")
    assert (len(first), first & set(re.findall(r"key-\d\d", admin.text))) == (25, set())


@pytest.mark.parametrize("path", ["/ui/people/key", "/ui/people/team", "/ui/people/user"])
async def test_what_is_not_there_is_a_page(admin: Visit, path: str) -> None:
    """404; and 400 without an id."""
    await admin.see(path, id="nothing")
    assert admin.page.status_code == 404
    await admin.see(path)
    assert admin.page.status_code == 400


WRITES = [
    f"/ui/people/{path}"
    for path in (
        *("key", "key/new", "key/block", "key/unblock", "key/reset", "key/regenerate"),
        *("key/delete", "team", "team/new", "team/block", "team/unblock", "team/delete"),
        *("team/member", "team/member/add", "team/member/reset", "team/member/remove"),
        *("user", "user/new", "user/block", "user/unblock"),
    )
]


@pytest.mark.parametrize("path", WRITES)
async def test_nothing_is_changed_by_an_ordinary_key_or_without_a_token(
    visit: Visit, api: Api, world: World, path: str
) -> None:
    """403 for both, and nothing is there that was not before."""
    secret, key = await made(api)
    before = dict(world.registry.entities)
    await visit.sign_in(secret)
    await visit.send(path, id=key, user_id="u")
    assert visit.page.status_code == 403
    await visit.sign_in()
    answer = await visit.client.post(path, data={"id": key, "user_id": "u"})
    assert answer.status_code == 403
    assert world.registry.entities == before


async def test_now_names_the_budgets_that_will_be_used_up_first(
    admin: Visit, api: Api, world: World
) -> None:
    """At the rate of the last hour; those that start anew before are left out."""
    world.clock.us += 12 * HOUR_US
    _, soon = await made(api, key_alias="soon", max_budget=1)
    _, later = await made(api, key_alias="later", max_budget=100)
    _, renewed = await made(api, key_alias="renewed", max_budget=100, budget_duration="1h")
    world.clock.us += 1
    for key, dollars in ((soon, 0.5), (later, 10), (renewed, 1)):
        await spend(world, ScopeKind.KEY, key, dollars)
    text = await admin.see("/ui/now")
    assert text.index("key soon") < text.index("key later")
    assert "used up in 1 h 0 min at $0.50 an hour" in text
    assert "used up in 9 h 0 min at $10.00 an hour" in text
    assert "key renewed" not in text


async def test_what_people_typed_is_no_markup(admin: Visit, api: Api) -> None:
    """Aliases, ids, names of models."""
    evil = '"><img src=x onerror=alert(1)>'
    await api.post("/team/new", {"team_id": evil.replace("/", ""), "team_alias": evil})
    _, key = await made(api, key_alias=evil, user_id=evil, model_rpm_limit={evil: 1}, models=[evil])
    await api.post("/user/new", {"user_id": "<img>", "auto_create_key": False})
    for path, query in (
        ("/ui/people", {}),
        ("/ui/people", {"show": "keys"}),
        ("/ui/people", {"show": "users"}),
        ("/ui/people", {"search": evil}),
        ("/ui/people/key", {"id": key, "done": evil}),
        ("/ui/people/team", {"id": evil}),
        ("/ui/people/team/branch", {"id": evil}),
    ):
        await admin.see(path, **query)
        assert admin.page.status_code == 200
        assert "<img" not in admin.page.text


async def test_what_is_done_in_the_console_stands_in_the_audit_log(admin: Visit, api: Api) -> None:
    """By whom, what, and how it was before; found by what it is about."""
    _, key = await made(api, key_alias="laptop", rpm_limit=5)
    await made(api, key_alias="other")
    await admin.see("/ui/people/key", id=key)
    await admin.send("/ui/people/key/block", id=key)
    text = await admin.see("/ui/audit", kind="key", entity_id=key)
    assert "master key, console change key laptop blocked null blocked true" in text
    assert "master key, API create key laptop" in text
    assert '"amount":5' in text
    assert '"calendar_timezone":null' not in text
    assert "other" not in text
    assert "Nothing was changed" in await admin.see("/ui/audit", kind="budget")


async def test_a_model_is_added_changed_and_removed_by_forms(admin: Visit, world: World) -> None:
    """Its key is shown nowhere; what the configuration file names has no such form."""
    assert "/ui/models/delete" not in await admin.see("/ui/models")
    added = await admin.send(
        "/ui/models/new", model_name="new", model="openai/gpt-4o", api_key="sk-of-it", api_base=" "
    )
    assert "new is added" in added
    (entry,) = await world.management.added_models.entries()
    assert entry["litellm_params"] == {"model": "openai/gpt-4o", "api_key": "sk-of-it"}
    identity = entry["model_info"]["id"]
    await admin.send("/ui/models/change", id=identity, input_cost_per_token="0.5", model="")
    (entry,) = await world.management.added_models.entries()
    assert entry["litellm_params"]["input_cost_per_token"] == "0.5"
    assert "is removed" in await admin.send("/ui/models/delete", id=identity)
    assert await world.management.added_models.entries() == []
