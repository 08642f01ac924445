"""Every limit in the console's forms: the general form, raises, resets, and new secrets."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from tests.unit.adapters.http_api.console.console_forms import HOUR_US, made, spend
from tests.unit.adapters.http_api.console.console_visit import Visit
from tests.unit.management_fixtures import Api, World

from tollgate.core.limits.accounts import ScopeKind

DAILY = {"meter": "usd", "amount": 5.0, "per": "1d", "calendar": "Europe/Berlin"}
PAGES = {
    "key": ("/ui/people/key", "/key/update", "key"),
    "team": ("/ui/people/team", "/team/update", "team_id"),
    "user": ("/ui/people/user", "/user/update", "user_id"),
    "organization": ("/ui/people/organization", "/organization/update", "organization_id"),
    "customer": ("/ui/people/customer", "/customer/update", "user_id"),
    "tag": ("/ui/people/tag", "/tag/update", "name"),
}


def filled(visit: Visit, action: str, **changed: str) -> dict[str, str]:
    """What a browser posts of a form: its inputs and choices, some of them changed."""
    form = visit.page.text.partition(f'action="{action}"')[2].partition("</form>")[0]
    pairs = re.findall(r'<input[^>]*name="([^"]*)"[^>]*value="([^"]*)"', form)
    for name, options in re.findall(r'<select[^>]*name="([^"]*)">(.*?)</select>', form, re.S):
        chosen = re.search(r'value="([^"]*)" selected', options)
        pairs.append((name, chosen[1] if chosen else ""))
    assert pairs, f"no form posts to {action}"
    return {name: unescape(value) for name, value in pairs} | changed


async def entity(api: Api, kind: str, **fields: Any) -> tuple[str, str]:
    """A new entity: the id that its page has, and the path of its page."""
    if kind == "key":
        _, identity = await made(api, **fields)
    else:
        noun, name = f"/{kind}/new", PAGES[kind][2]
        alias = {"organization_alias": "One"} if kind == "organization" else {}
        answer = await api.post(noun, {name: "one", **alias, **fields})
        assert answer.status_code == 200, answer.text
        identity = "one"
    return identity, PAGES[kind][0]


async def limits_of(admin: Visit, path: str, identity: str) -> list[Any]:
    """The words and levels of all limits on a page."""
    await admin.see(path, id=identity)
    shown = re.findall(r'<div class="limit">\s*<div>(.*?)</div>', admin.page.text, re.S)
    told = [" ".join(re.sub("<[^>]*>", " ", each).split()) for each in shown]
    return [each.rpartition(" : ")[2] for each in told]


@pytest.mark.parametrize("kind", PAGES)
async def test_any_limit_is_added_changed_and_removed_by_a_row(
    admin: Visit, api: Api, kind: str
) -> None:
    """What a row does not show stays as it is."""
    rest = {"alert_at": [0.8], "rollover": {"cap": 9.0}}
    identity, path = await entity(api, kind, rpm_limit=4, limits=[{**DAILY, **rest}])
    await admin.see(path, id=identity)
    row = {"limits-1-meter": "tokens", "limits-1-amount": "7000", "limits-1-per": "1h"}
    assert "Saved" in await admin.send(path, **filled(admin, path, **row))
    assert "tokens per hour 0 of 7,000" in await limits_of(admin, path, identity)
    # They stand in the order of their meters: tokens before dollars.
    changed = {"limits-1-amount": "6", "limits-0-amount": ""}
    assert "Saved" in await admin.send(path, **filled(admin, path, **changed))
    shown = await limits_of(admin, path, identity)
    assert [each for each in shown if "per hour" in each] == []
    assert [each for each in shown if each.endswith("of $6.00")] != []
    assert "requests per min (RPM) 0 of 4" in shown
    assert filled(admin, path)["limits-0-rest"] == ('{"rollover":{"cap":9.0},"alert_at":[0.8]}')


@pytest.mark.parametrize("kind", PAGES)
async def test_a_budget_is_raised_for_a_day(
    admin: Visit, api: Api, world: World, kind: str
) -> None:
    """The page says by how much and until when; then it is what it was."""
    identity, path = await entity(api, kind, max_budget=2)
    await admin.see(path, id=identity)
    form = filled(admin, f"{path}/raise", increase="3")
    assert (form["limit"], form["expiry"]) == ("budget", "1d")
    text = await admin.send(f"{path}/raise", **form)
    assert "of $5.00" in text
    assert "raised by $3.00 until" in text
    world.clock.us += 24 * HOUR_US
    assert "of $2.00" in await admin.see(path, id=identity)


async def test_a_rate_is_raised_and_the_raise_is_ended(admin: Visit, api: Api) -> None:
    """0 ends it; the other limits stay, and so does the form's own field."""
    identity, path = await entity(api, "key", rpm_limit=4, limits=[DAILY])
    await admin.see(path, id=identity)
    form = filled(admin, f"{path}/raise", limit="requests/bucket/60s", increase="6")
    assert "0 of 10" in await admin.send(f"{path}/raise", **form)
    form = filled(admin, path, rpm_limit="5")
    assert "0 of 11" in await admin.send(path, **form)
    form = filled(admin, f"{path}/raise", limit="requests/bucket/60s", increase="0")
    text = await admin.send(f"{path}/raise", **form)
    assert "0 of 5" in text
    assert "of $5.00" in text


async def test_a_limit_is_raised_for_periods(admin: Visit, api: Api, world: World) -> None:
    """The present period is the first."""
    identity, path = await entity(api, "key", max_budget=2, budget_duration="1d")
    await admin.see(path, id=identity)
    form = filled(admin, f"{path}/raise", increase="1", periods="2")
    assert "of $3.00" in await admin.send(f"{path}/raise", **form)
    world.clock.us += 47 * HOUR_US
    assert "of $3.00" in await admin.see(path, id=identity)
    world.clock.us += HOUR_US
    assert "of $2.00" in await admin.see(path, id=identity)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"increase": "much"}, "temp_budget_increase"),
        ({"increase": "1", "expiry": "soon"}, "is no moment"),
        ({"increase": "1", "periods": "2"}, "periods"),
        ({"increase": "1", "limit": "tokens/ever"}, "choose which limit"),
    ],
)
async def test_a_raise_that_cannot_be_is_told(
    admin: Visit, api: Api, changed: dict[str, str], told: str
) -> None:
    """And nothing changes."""
    identity, path = await entity(api, "key", max_budget=2)
    await admin.see(path, id=identity)
    text = await admin.send(f"{path}/raise", **filled(admin, f"{path}/raise", **changed))
    assert told in text
    assert admin.page.status_code == 400
    assert "of $2.00" in await admin.see(path, id=identity)


@pytest.mark.parametrize("kind", PAGES)
async def test_what_was_spent_in_the_period_is_set_to_nothing(
    admin: Visit, api: Api, world: World, kind: str
) -> None:
    """By a button."""
    identity, path = await entity(api, kind, max_budget=2)
    if kind not in ("organization", "tag"):
        await spend(world, ScopeKind(kind), identity, 1.5)
    await admin.see(path, id=identity)
    assert "$0.00 of $2.00" in await admin.send(f"{path}/reset", id=identity)


async def test_a_members_own_limits_are_shown_changed_and_raised(admin: Visit, api: Api) -> None:
    """Those of the team for its members are not made the member's own."""
    members = [{"user_id": "bob", "role": "user"}]
    await api.post(
        "/team/new", {"team_id": "t", "members_with_roles": members, "team_member_rpm_limit": 9}
    )
    await admin.see("/ui/people/team", id="t")
    path = "/ui/people/team/member"
    form = filled(admin, path)
    assert form["rpm_limit"] == ""
    budget = {"max_budget_in_team": "2", "limits-0-amount": "50", "limits-0-meter": "requests"}
    text = await admin.send(path, **form | budget | {"limits-0-per": "1h"})
    assert "0 of 9" in text
    assert "requests per hour 0 of 50" in text
    assert "of $2.00" in text
    text = await admin.send(f"{path}/raise", **filled(admin, f"{path}/raise", increase="1"))
    assert "of $3.00" in text


async def test_a_new_secret_leaves_the_old_one_a_while(admin: Visit, api: Api) -> None:
    """The key's page says until when."""
    secret, identity = await made(api, key_alias="ci")
    await admin.see("/ui/people/key", id=identity)
    path = "/ui/people/key/regenerate"
    assert "works for 1d more" in await admin.send(path, **filled(admin, path))
    fresh = re.search(r"sk-[\w-]{22}", admin.page.text)
    assert fresh is not None
    token = (await api.info(fresh[0]))["token"]
    assert f"sk-...{secret[-4:]} works until" in await admin.see("/ui/people/key", id=token)
    await admin.send(path, **filled(admin, path, grace_period=""))
    assert "works no more" in admin.text


@pytest.mark.parametrize(("kind", "field"), [("customer", "user_id"), ("tag", "name")])
async def test_customers_and_tags_are_registered_stopped_and_deleted(
    admin: Visit, api: Api, kind: str, field: str
) -> None:
    """As calls name them, with any characters that calls may use."""
    path, identity = f"/ui/people/{kind}", "shop/4711 & sons"
    await admin.see("/ui/people", show=f"{kind}s")
    assert "are registered" in admin.text
    form = filled(admin, f"{path}/new", **{field: identity, "max_budget": "3"})
    assert "of $3.00" in await admin.send(f"{path}/new", **form)
    assert "blocked" in await admin.send(f"{path}/block", id=identity)
    assert identity in await admin.see("/ui/people", show=f"{kind}s")
    await admin.see(path, id=identity)
    assert "Blocked" not in await admin.send(f"{path}/unblock", id=identity)
    assert "are registered" in await admin.send(f"{path}/delete", id=identity)


async def test_members_of_organizations_are_added_limited_and_removed(
    admin: Visit, api: Api
) -> None:
    """As those of teams."""
    identity, page = await entity(api, "organization")
    await admin.see(page, id=identity)
    path = f"{page}/member"
    form = filled(admin, f"{path}/add", user_id="bob", max_budget_in_organization="4")
    text = await admin.send(f"{path}/add", **form)
    assert "bob is a member now" in text
    assert "of $4.00" in text
    row = {"limits-0-meter": "requests", "limits-0-amount": "50", "limits-0-per": "1h"}
    text = await admin.send(path, **filled(admin, path, max_budget_in_organization="6", **row))
    assert "of $6.00" in text
    assert "requests per hour 0 of 50" in text
    text = await admin.send(f"{path}/remove", **filled(admin, f"{path}/remove"))
    assert "Nobody yet" in text


@pytest.mark.parametrize("kind", ["key", "team"])
async def test_limits_of_sessions_and_soft_budgets_have_fields(
    admin: Visit, api: Api, kind: str
) -> None:
    """They are shown, changed, and cleared where they are empty."""
    identity, path = await entity(api, kind, max_iterations=9)
    await admin.see(path, id=identity)
    changed = {"max_iterations": "", "max_budget_per_session": "2", "soft_budget": "1.5"}
    form = filled(admin, path)
    assert form["max_iterations"] == "9"
    assert "Saved" in await admin.send(path, **form | changed)
    form = filled(admin, path)
    assert {name: form[name] for name in changed} == {
        "max_iterations": "",
        "max_budget_per_session": "2",
        "soft_budget": "1.5",
    }
