"""Keys in the console."""

from __future__ import annotations

import re

import pytest
from tests.unit.adapters.http_api.console.console_forms import HOUR_US, made, posted, spend
from tests.unit.adapters.http_api.console.console_visit import Visit
from tests.unit.management_fixtures import Api, World

from tollgate.core.limits.accounts import Period, Scope, ScopeKind


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
        "proxy dollars $0.00 of $10.00",
        "team t dollars $1.00 of $4.00",
        "member u in t requests per min (RPM) 0 of 3",
        "user u tokens per min (TPM) 0 of 900",
        "dollars $0.50 of $2.00",
        "gpt-4o : dollars $0.00 of $1.00",
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
