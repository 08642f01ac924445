"""Keys over HTTP: fields and answers. Memory stands behind the API."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.management_fixtures import Api, World, error_of

from tollgate.core.callers.authentication import hash_of
from tollgate.core.limits.accounts import Scope, ScopeKind
from tollgate.core.limits.duration import period_at
from tollgate.management.virtual_keys import blank
from tollgate.ports import Write

GENERATED_FIELDS = [
    (
        "key models spend max_budget user_id team_id max_parallel_requests metadata tpm_limit"
        " rpm_limit budget_duration"
    ),
    (
        "allowed_cache_controls soft_budget key_alias duration aliases config permissions"
        " model_max_budget key_name expires token_id"
    ),
]


async def test_a_generated_key_has_the_fields_of_the_page_in_its_order(api: Api) -> None:
    """Every field with its null, as the page prints them."""
    made = await api.made(user_id="ishaan", team_id="e8d1460f")
    assert list(made) == " ".join(GENERATED_FIELDS).split()
    shown = {name: value for name, value in made.items() if name != "key"}
    assert shown == {
        "models": [],
        "spend": 0.0,
        "max_budget": None,
        "user_id": "ishaan",
        "team_id": "e8d1460f",
        "max_parallel_requests": None,
        "metadata": {},
        "tpm_limit": None,
        "rpm_limit": None,
        "budget_duration": None,
        "allowed_cache_controls": [],
        "soft_budget": None,
        "key_alias": None,
        "duration": None,
        "aliases": {},
        "config": {},
        "permissions": {},
        "model_max_budget": {},
        "key_name": None,
        "expires": None,
        "token_id": None,
    }


async def test_a_secret_is_22_random_characters_and_shown_by_its_last_four(api: Api) -> None:
    """`sk-` and 16 bytes; elsewhere only the abbreviation."""
    made = await api.made()
    assert len(made["key"]) == 25
    info = await api.info(made["key"])
    assert info["key_name"] == "sk-..." + made["key"][-4:]
    assert made["key"] not in json.dumps(info)


async def test_the_secret_is_not_stored(api: Api, world: World) -> None:
    """What is kept of a key does not hold its secret."""
    made = await api.made()
    assert made["key"] not in repr(world.registry.entities)


async def test_a_key_of_nobody_gets_a_user_id_of_its_own(api: Api) -> None:
    """As the page shows: auto-generated."""
    first, second = await api.made(), await api.made()
    assert len({first["user_id"], second["user_id"], None}) == 3


@pytest.mark.parametrize(
    "fields", [{"user_id": None}, {"team_id": "core-infra"}, {"team_id": None}]
)
async def test_a_key_of_a_team_or_expressly_of_nobody_does_not(
    api: Api, fields: dict[str, Any]
) -> None:
    """Who says whose the key is gets what they said."""
    assert (await api.made(**fields))["user_id"] is None


async def test_all_that_is_said_of_a_key_is_shown_again(api: Api) -> None:
    """Limits, models, budgets for models in both forms, metadata: nothing is lost on the way."""
    fields = {
        "key_alias": "prod",
        "models": ["gpt-4o", "beta-models"],
        "max_budget": 10.1,
        "soft_budget": 5,
        "budget_duration": "30d",
        "tpm_limit": 20,
        "rpm_limit": 0,
        "max_parallel_requests": 10,
        "metadata": {"a": [1, 2.5, None], "ä": {"b": True}},
        "model_max_budget": {"gpt4": 0.5, "gpt-5": {"max_budget": 0.01, "budget_duration": "1d"}},
        "aliases": {"gpt4": "gpt-4o"},
        "config": {"x": 1},
        "permissions": {"y": 2},
        "allowed_cache_controls": ["no-cache"],
    }
    made = await api.made(**fields)
    assert {name: made[name] for name in fields} == fields
    row = await api.info(made["key"])
    assert {name: row[name] for name in fields} == fields


async def test_limits_for_models_are_shown_as_they_were_given(api: Api) -> None:
    """model_rpm_limit and model_tpm_limit of the page."""
    made = await api.made(model_rpm_limit={"gpt-4": 2}, model_tpm_limit={"gpt-4": 200, "o": 1})
    row = await api.info(made["key"])
    assert (row["model_rpm_limit"], row["model_tpm_limit"]) == (
        {"gpt-4": 2},
        {"gpt-4": 200, "o": 1},
    )


async def test_an_entry_of_model_max_budget_may_use_later_names_and_rates(api: Api) -> None:
    """LiteLLM's `budget_limit` and `time_period`, and rates in the entry; the field of rates wins
    over them.
    """
    made = await api.made(
        model_max_budget={
            "m": {"budget_limit": 1, "time_period": "1d", "rpm_limit": 3, "tpm_limit": 4}
        },
        model_rpm_limit={"m": 9},
    )
    row = await api.info(made["key"])
    assert row["model_max_budget"] == {"m": {"max_budget": 1.0, "budget_duration": "1d"}}
    assert (row["model_rpm_limit"], row["model_tpm_limit"]) == ({"m": 9}, {"m": 4})


async def test_an_entry_of_model_max_budget_changes_what_an_entry_said(api: Api) -> None:
    """And limits calls at once; a rate that was given by its own name wins when both are."""
    made = await api.made(
        model_max_budget={"m": {"max_budget": 1, "rpm_limit": 2, "max_parallel_requests": 3}}
    )
    shown = (await api.info(made["key"]))["model_max_budget"]
    assert shown == {"m": {"max_budget": 1.0, "max_parallel_requests": 3}}
    await api.post(
        "/key/update",
        {"key": made["key"], "model_max_budget": {"m": {"max_budget": 1, "rpm_limit": 4}}},
    )
    info = await api.info(made["key"])
    assert (info["model_rpm_limit"], info["model_max_budget"]) == ({"m": 4}, {"m": 1.0})
    both = {
        "model_max_budget": {"m": {"max_budget": 1, "rpm_limit": 5}},
        "model_rpm_limit": {"m": 6},
    }
    await api.post("/key/update", {"key": made["key"], **both})
    assert (await api.info(made["key"]))["model_rpm_limit"] == {"m": 6}


async def test_a_tiny_budget_is_not_none_at_all(api: Api) -> None:
    """The page's $0.000000000001 is less than a nano-dollar, and still more than $0."""
    assert (await api.made(max_budget=0.000000000001))["max_budget"] == 1e-09


async def test_a_lifetime_makes_an_expiry_in_iso_8601(api: Api, world: World) -> None:
    """The clock stands at 2027-01-15T08:00:00Z."""
    made = await api.made(duration="30d")
    assert (made["duration"], made["expires"]) == ("30d", "2027-02-14T08:00:00+00:00")


async def test_a_secret_of_ones_own_is_taken_once(api: Api) -> None:
    """A custom key works; the second of the same is refused."""
    assert (await api.made(key="sk-0123456789abcdef"))["key"] == "sk-0123456789abcdef"
    again = await api.post("/key/generate", {"key": "sk-0123456789abcdef"})
    assert again.status_code == 400


@pytest.mark.parametrize("secret", ["sk-short", "0123456789abcdefgh", ""])
async def test_a_secret_of_ones_own_must_look_like_one(api: Api, secret: str) -> None:
    """It begins with sk- and is long enough."""
    answer = await api.post("/key/generate", {"key": secret})
    assert (answer.status_code, error_of(answer)["param"]) == (400, "key")


async def test_an_alias_is_unique(api: Api) -> None:
    """In LiteLLM's words."""
    await api.made(key_alias="prod")
    answer = await api.post("/key/generate", {"key_alias": "prod"})
    assert answer.status_code == 400
    assert error_of(answer)["message"].startswith("Key with alias 'prod' already exists.")


async def test_what_was_left_out_of_an_update_stays_and_null_clears(api: Api) -> None:
    """Merge patches."""
    made = await api.made(rpm_limit=2, tpm_limit=5, max_budget=1, key_alias="a", models=["m"])
    answer = await api.post(
        "/key/update", {"key": made["key"], "tpm_limit": None, "max_budget": 0, "models": None}
    )
    row = answer.json()
    assert (row["key"], row["rpm_limit"], row["tpm_limit"], row["max_budget"]) == (
        made["key"],
        2,
        None,
        0.0,
    )
    assert (row["key_alias"], row["models"]) == ("a", [])


async def test_a_key_is_updated_by_its_hash_or_its_alias(api: Api) -> None:
    """Whoever did not keep the secret can still change it."""
    made = await api.made(key_alias="prod")
    await api.post("/key/update", {"key": hash_of(made["key"]), "rpm_limit": 1})
    await api.post("/key/update", {"key_alias": "prod", "tpm_limit": 2})
    row = await api.info(made["key"])
    assert (row["rpm_limit"], row["tpm_limit"], row["key_alias"]) == (1, 2, "prod")


async def test_an_update_names_a_key(api: Api) -> None:
    """Neither key nor alias: 400; one that does not exist: 404."""
    answers = [
        await api.post("/key/update", body)
        for body in ({}, {"key": "sk-none"}, {"key_alias": "none"})
    ]
    assert [answer.status_code for answer in answers] == [400, 404, 404]
    assert error_of(answers[0])["message"] == "either key or key_alias must be provided"
    assert error_of(answers[1])["message"] == "Key not found."


async def test_an_update_of_models_limits_replaces_one_field_of_all_models(api: Api) -> None:
    """The rates stay when the budgets are replaced."""
    made = await api.made(model_rpm_limit={"a": 1}, model_max_budget={"a": 1, "b": 2})
    await api.post("/key/update", {"key": made["key"], "model_max_budget": {"c": 3}})
    row = await api.info(made["key"])
    assert (row["model_rpm_limit"], row["model_max_budget"]) == ({"a": 1}, {"c": 3.0})


async def test_a_calendar_needs_no_time_zone_and_takes_one(api: Api) -> None:
    """UTC unless told otherwise; rolling again on request."""
    made = await api.made(budget_duration="1d", budget_anchor="calendar")
    rows = [
        (await api.post("/key/update", {"key": made["key"], **change})).json()
        for change in ({}, {"budget_timezone": "Asia/Tokyo"}, {"budget_anchor": "rolling"})
    ]
    assert [(row["budget_anchor"], row["budget_timezone"]) for row in rows] == [
        ("calendar", "UTC"),
        ("calendar", "Asia/Tokyo"),
        ("rolling", None),
    ]


async def test_spend_is_live(api: Api, world: World) -> None:
    """What was settled shows at once, in all and by model, and when it will be forgotten."""
    made = await api.made(budget_duration="30d")
    period = period_at("30d", world.clock.us, world.clock.us)
    await world.spend(Scope(ScopeKind.KEY, hash_of(made["key"])), 72_000, period=period)
    row = await api.info(made["key"])
    assert (row["spend"], row["total_spend"], row["model_spend"]) == (
        7.2e-05,
        7.2e-05,
        {"gpt-4o": 7.2e-05},
    )
    assert row["budget_reset_at"] == "2027-02-14T08:00:00+00:00"


async def test_spend_can_be_lowered(api: Api, world: World) -> None:
    """reset_spend says what was and what is; more than was spent is refused."""
    made = await api.made(max_budget=1)
    await world.spend(Scope(ScopeKind.KEY, hash_of(made["key"])), 500_000_000)
    answer = await api.post(f"/key/{hash_of(made['key'])}/reset_spend", {"reset_to": 0.25})
    assert answer.json() == {
        "key_hash": hash_of(made["key"]),
        "spend": 0.25,
        "previous_spend": 0.5,
        "max_budget": 1.0,
        "budget_reset_at": None,
    }
    too_much = await api.post(f"/key/{hash_of(made['key'])}/reset_spend", {"reset_to": 0.3})
    assert error_of(too_much)["message"] == "reset_to (0.3) must be <= current spend (0.25)"


async def test_spend_can_be_set_with_the_key(api: Api) -> None:
    """`spend` of generate and of update."""
    made = await api.made(spend=1.5)
    answer = await api.post("/key/update", {"key": made["key"], "spend": 0})
    assert (made["spend"], answer.json()["spend"]) == (1.5, 0.0)


async def test_a_blocked_key_is_shown_as_such_until_it_is_not(api: Api) -> None:
    """/key/block and /key/unblock answer with the row."""
    made = await api.made()
    rows = [
        (await api.post(path, {"key": made["key"]})).json()
        for path in ("/key/block", "/key/unblock")
    ]
    assert [row["blocked"] for row in rows] == [True, False]


async def test_two_updates_at_once_are_both_kept(
    api: Api, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that comes between is not overwritten: the change is made again on what it left."""
    made = await api.made()
    write: Callable[..., Any] = world.registry.write
    between = [True]

    async def interrupted(*writes: Write) -> None:
        if between.pop() if between else False:
            await api.post("/key/update", {"key": made["key"], "tpm_limit": 5})
        await write(*writes)

    monkeypatch.setattr(world.registry, "write", interrupted)
    await api.post("/key/update", {"key": made["key"], "rpm_limit": 2})
    row = await api.info(made["key"])
    assert (row["rpm_limit"], row["tpm_limit"]) == (2, 5)


def test_a_new_key_has_no_limits() -> None:
    """Nothing is limited that nobody limited."""
    assert blank("sk-0123456789abcdef", 7).limits.max_budget_nanousd is None
