"""Keys and people in the console: made, changed, stopped, and where their limits stand."""

from __future__ import annotations

import csv
import io
import json
import re
from html import unescape

import pytest
from tests.unit.adapters.http_api.console.console_forms import made, posted, spend
from tests.unit.adapters.http_api.console.console_visit import Visit
from tests.unit.management_fixtures import Api, World

from tollgate.adapters.http_api.console.audited_words import audited
from tollgate.core.limits.accounts import ScopeKind


async def test_owners_see_all_limits_that_their_calls_meet(visit: Visit, api: Api) -> None:
    """Also their team's, without its page."""
    await api.post("/team/new", {"team_id": "t", "rpm_limit": 8})
    secret, _ = await made(api, team_id="t", tpm_limit=77)
    text = await visit.sign_in(secret)
    assert "team t requests per min (RPM) 0 of 8" in text
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
    assert "limits 5 requests per min (RPM)" in text
    assert "other" not in text
    assert "Nothing was changed" in await admin.see("/ui/audit", kind="budget")


async def test_the_audit_log_shows_dollars_and_times(admin: Visit, api: Api) -> None:
    """Not the numbers that the store has."""
    await api.post(
        "/team/new", {"team_id": "t", "max_budget": 2.5, "team_member_budget": 1, "rpm_limit": 0}
    )
    text = await admin.see("/ui/audit", kind="team")
    assert "limits $2.50; 0 requests per min (RPM); periods since 20" in text
    assert "member limits $1.00 " in text
    for raw in ("_us", "_nanousd", '"1970-', "null"):
        assert raw not in text


async def test_the_audit_log_says_limits_in_words(admin: Visit, api: Api) -> None:
    """Everything that an entry of `limits` can say, also of single models; before and after."""
    limits = [
        {"meter": "usd", "amount": 5, "per": "1d", "calendar": "UTC", "rollover": {"cap": 1}},
        {"meter": "tokens", "amount": 12000, "per": "1h", "strict": True, "alert_at": [0.5, 1]},
        {"meter": "requests", "amount": 9, "per": "1m", "mode": "shadow", "model": "gpt-4o"},
        {"meter": "requests", "amount": 8, "per": "1h", "on_exceeded": {"throttle": "10%"}},
        {
            "meter": "requests",
            "amount": 7,
            "per": "1d",
            "model": "m",
            "on_exceeded": {"model": "gpt-5"},
        },
        {"meter": "calls", "amount": 2, "max_wait_ms": 500},
    ]
    _, key = await made(api, limits=limits, max_budget=20, budget_duration="1mo")
    increase = {"temp_budget_increase": 3, "temp_budget_expiry": "1d"}
    await api.post("/key/update", {"key": key, **increase})
    await api.post("/key/update", {"key": key, "limits": [], "max_budget": None})
    text = await admin.see("/ui/audit", kind="key", entity_id=key)
    for words in (
        "$20.00 per month; ",
        "$5.00 per day, calendar UTC, rolls over up to $1.00",
        "12,000 tokens per hour, strict, tells at 50%, 100%",
        "model limits gpt-4o: 9 requests per min (RPM), only counts (shadow)",
        "8 requests per hour, then throttled to 10%",
        "m: 7 requests per day (RPD), then gpt-5 serves",
        "2 parallel calls, calls wait up to 500 ms",
        "$20.00 per month, raised by $3.00 until 20",
    ):
        assert words in text, words
    assert "meter" not in text


async def test_limits_of_another_version_are_json_in_the_audit_log() -> None:
    """Nothing that was logged is lost, and the page stands."""
    old = {
        "limits": [{"meter": "hugs", "amount": 1}],
        "max_budget_nanousd": 5,
        "budget_since_us": 0,
    }
    assert (
        audited("limits", old)
        == '{"limits":[{"meter":"hugs","amount":1}],"max_budget":"$0.000000005"}'
    )
    assert audited("model_limits", ["x"]) == '["x"]'
    assert audited("limits", None) == "null"


async def test_a_long_list_of_limits_shows_the_fullest(admin: Visit, api: Api) -> None:
    """In lists; the key's own page has all."""
    limits = [{"meter": "tokens", "amount": 9, "per": f"{each}h"} for each in range(1, 8)]
    _, key = await made(api, limits=limits)
    assert "The fullest; 3 more." in await admin.see("/ui/people", show="keys")
    assert "The fullest" not in await admin.see("/ui/people/key", id=key)


async def test_the_audit_log_of_a_time_is_saved_as_csv(admin: Visit, api: Api) -> None:
    """What the page shows, all of it; no text is a formula to a spreadsheet."""
    for number in range(60):
        await api.post("/customer/new", {"user_id": f"c{number}"})
    await api.post("/customer/new", {"user_id": "x", "alias": "=1+1"})
    text = await admin.see("/ui/audit", kind="customer", since="1970-01-01", until="1970-01-01")
    assert "c59" in text
    assert "Older changes" in text
    link = unescape(re.findall(r'href="(/ui/audit.csv[^"]*)"', admin.page.text)[0])
    await admin.see(link)
    rows = list(csv.DictReader(io.StringIO(admin.page.text)))
    assert [each["entity_id"] for each in rows] == ["x", *(f"c{59 - n}" for n in range(60))]
    assert (rows[0]["name"], json.loads(rows[0]["after"])["alias"]) == ("'=1+1", "=1+1")
    assert "Nothing was changed" in await admin.see("/ui/audit", since="1970-01-02")
    assert "since must be" in await admin.see("/ui/audit", since="soon")
    assert admin.page.status_code == 400


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
