"""Limits in every spelling, over the management API."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.management_fixtures import Api, error_of

DAY = {"meter": "usd", "amount": 5, "per": "1d", "calendar": "Europe/Berlin"}
MONTH = {"meter": "tokens", "amount": 2_000_000, "per": "1mo"}
SUPPLY = {"meter": "uncached_tokens", "amount": 10}
HOUR = {"meter": "input_tokens", "amount": 9, "per": "1h"}


async def test_limits_are_printed_as_they_were_given(api: Api) -> None:
    """In the order in which they are checked, those of a single model with its name."""
    narrowed = {**MONTH, "model": "gpt-4o"}
    made = await api.made(limits=[DAY, narrowed, SUPPLY, HOUR], rpd_limit=7, tpd_limit=8)
    row = await api.info(made["key"])
    assert row["limits"] == [HOUR, SUPPLY, {**DAY, "amount": 5.0}, narrowed]
    assert (row["rpd_limit"], row["tpd_limit"], row["rpm_limit"]) == (7, 8, None)
    assert row["budget_limits"] == []


async def test_an_entry_that_means_a_field_sets_it(api: Api) -> None:
    """One limit has one place, however it is spelled; the others of the list are replaced whole."""
    made = await api.made(rpm_limit=3, limits=[{"meter": "tokens", "amount": 4, "per": "60s"}, DAY])
    row = await api.info(made["key"])
    assert (row["rpm_limit"], row["tpm_limit"], len(row["limits"])) == (3, 4, 1)
    await api.post("/key/update", {"key": made["key"], "limits": []})
    row = await api.info(made["key"])
    assert (row["rpm_limit"], row["tpm_limit"], row["limits"]) == (3, 4, [])


@pytest.mark.parametrize(
    "fields",
    [
        {"limits": [DAY], "budget_limits": [{"budget_duration": "1d", "max_budget": 9}]},
        {"rpm_limit": 3, "limits": [{"meter": "requests", "amount": 4, "per": "1m"}]},
        {"tpd_limit": 3, "limits": [{"meter": "tokens", "amount": 4, "per": "24h"}]},
    ],
)
async def test_two_amounts_for_one_window_are_refused(api: Api, fields: dict[str, Any]) -> None:
    """One of them would be lost, perhaps the stricter one; the same amount twice is one limit."""
    answer = await api.post("/key/generate", fields)
    assert answer.status_code == 400
    assert "of one window differently" in error_of(answer)["message"]


async def test_what_is_printed_can_be_sent_back(api: Api) -> None:
    """Some limits are printed in two spellings."""
    made = await api.made(
        rpm_limit=3, limits=[DAY], budget_limits=[{"budget_duration": "7d", "max_budget": 9}]
    )
    row = await api.info(made["key"])
    told = {name: row[name] for name in ("rpm_limit", "limits", "budget_limits")}
    await api.post("/key/update", {"key": made["key"], **told})
    assert (await api.info(made["key"]))["limits"] == row["limits"]


async def test_several_budgets_stand_beside_the_one_that_spend_counts_against(api: Api) -> None:
    """LiteLLM's `budget_limits`; null takes them away."""
    windows = [
        {"budget_duration": "1d", "max_budget": 5.0},
        {"budget_duration": "30d", "max_budget": 100.0},
    ]
    made = await api.made(
        max_budget=9, budget_limits=[{**windows[0], "reset_at": None}, windows[1]]
    )
    row = await api.info(made["key"])
    assert (row["budget_limits"], row["max_budget"]) == (windows, 9.0)
    await api.post("/key/update", {"key": made["key"], "budget_limits": None})
    row = await api.info(made["key"])
    assert (row["budget_limits"], row["limits"], row["max_budget"]) == ([], [], 9.0)


async def test_every_noun_takes_limits(api: Api) -> None:
    """Members too, for all models."""
    asked: dict[str, Any] = {"limits": [HOUR], "tpd_limit": 8}
    for path, body in (
        ("/user/new", {"user_id": "u", **asked}),
        ("/team/new", {"team_id": "t", **asked}),
        ("/customer/new", {"user_id": "c", **asked}),
        ("/budget/new", {"budget_id": "b", **asked}),
    ):
        answer = await api.post(path, body)
        assert answer.status_code == 200, answer.text
        if path in ("/customer/new", "/budget/new"):
            assert (answer.json()["limits"], answer.json()["tpd_limit"]) == ([HOUR], 8)
    member = {"member": {"role": "user", "user_id": "u"}, "team_id": "t", **asked}
    answer = await api.post("/team/member_add", member)
    assert answer.status_code == 200, answer.text
    info = (await api.get("/team/info", team_id="t")).json()
    assert info["team_info"]["limits"] == [HOUR]
    assert [each["litellm_budget_table"]["limits"] for each in info["team_memberships"]] == [[HOUR]]
    narrowed = {**HOUR, "model": "m"}
    answer = await api.post(
        "/team/member_update", {"team_id": "t", "user_id": "u", "limits": [narrowed]}
    )
    assert answer.status_code == 200, answer.text
    (membership,) = (await api.get("/team/info", team_id="t")).json()["team_memberships"]
    assert membership["litellm_budget_table"]["limits"] == [narrowed]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"meter": "words", "amount": 1}, "'requests'"),
        ({"meter": "tokens"}, "amount"),
        ({"meter": "tokens", "amount": 1.5}, "whole number from 0"),
        ({"meter": "tokens", "amount": -1}, "whole number from 0"),
        ({"meter": "tokens", "amount": 10**12, "per": "1d"}, "from 0 to 104249991374"),
        ({"meter": "usd", "amount": -1}, "number of dollars from 0"),
        ({"meter": "usd", "amount": 10**9}, "number of dollars from 0"),
        ({"meter": "tokens", "amount": 1, "per": "1y"}, "such as 30s"),
        ({"meter": "calls", "amount": 1, "per": "1d"}, "leave out 'per'"),
        ({"meter": "usd", "amount": 1, "calendar": "UTC"}, "needs a 'per'"),
        ({"meter": "usd", "amount": 1, "per": "1d", "calendar": "Mars"}, "no time zone"),
        ({"meter": "usd", "amount": 1, "per": "1d", "calendar": "../etc"}, "no time zone"),
        ({"meter": "usd", "amount": 1, "mode": "off"}, "mode"),
        ({"meter": "usd", "amount": 1, "on_exceeded": "allow"}, "refuse"),
        ({"meter": "usd", "amount": 1, "on_exceeded": {"modle": "m"}}, "{'model': NAME}"),
        ({"meter": "usd", "amount": 1, "on_exceeded": {"model": "m"}}, "give the limit a 'model'"),
        (
            {"meter": "usd", "amount": 1, "on_exceeded": {"model": "m"}, "model": "m"},
            "another model",
        ),
        ({"meter": "usd", "amount": 1, "on_exceeded": {"throttle": "10%"}}, "without 'per'"),
        ({"meter": "calls", "amount": 1, "on_exceeded": {"throttle": "10%"}}, "without 'per'"),
        (
            {"meter": "usd", "amount": 1, "per": "1d", "on_exceeded": {"throttle": "100%"}},
            "from 1% to 99%",
        ),
        ({"meter": "requests", "amount": 1, "strict": True}, "tokens and dollars"),
        ({"meter": "usd", "amount": 1, "strict": "yes"}, "strict"),
        (
            {
                "meter": "usd",
                "amount": 1,
                "per": "1d",
                "strict": True,
                "on_exceeded": {"throttle": "9%"},
            },
            "lets nothing pass",
        ),
        ({"meter": "usd", "amount": 1, "rollover": {"cap": 1}}, "give 'per'"),
        ({"meter": "tokens", "amount": 1, "per": "1d", "rollover": {"cap": 1}}, "'calendar'"),
        ({"meter": "usd", "amount": 1, "per": "1d", "rollover": {"max": 1}}, "{'cap': AMOUNT}"),
        ({"meter": "usd", "amount": 1, "per": "1d", "rollover": {"cap": -1}}, "dollars from 0"),
        ({"meter": "usd", "amount": 1, "max_wait_ms": 30_001}, "from 0 to 30000"),
        ({"meter": "usd", "amount": 1, "alert_at": [0.8, 0]}, "alert_at must hold"),
        ({"meter": "usd", "amount": 1, "alert_at": [11]}, "alert_at must hold"),
        ({"meter": "usd", "amount": 1, "alert_at": [1.0] * 11}, "alert_at must hold"),
        ({"meter": "usd", "amount": 1, "max_wait_ms": -1}, "from 0 to 30000"),
        ({"meter": "usd", "amount": 1, "temp_increase": 1}, "temp_expiry"),
        ({"meter": "usd", "amount": 1, "temp_expiry": "1d"}, "temp_increase"),
        ({"meter": "usd", "amount": 1, "temp_increase": 1, "temp_expiry": "soon"}, "such as 1d"),
        ({"meter": "usd", "amount": 1, "temp_increase": 1, "temp_periods": 2}, "without periods"),
        (
            {"meter": "usd", "amount": 1, "per": "1d", "temp_increase": 1, "temp_periods": 0},
            "from 1 to",
        ),
        ({"meter": "usd", "amount": 1, "limit": 2}, "limit"),
    ],
)
async def test_a_bad_entry_is_refused_with_what_would_be_right(
    api: Api, entry: dict[str, Any], said: str
) -> None:
    """By field; nothing is made."""
    answer = await api.post("/key/generate", {"limits": [entry]})
    assert answer.status_code == 400
    assert "limits" in str(error_of(answer))
    assert said in error_of(answer)["message"]


@pytest.mark.parametrize(
    "limits",
    [
        [HOUR, {**HOUR, "per": "3600s"}],
        [DAY, {**DAY, "calendar": "UTC"}],
        [{"meter": "tokens", "amount": 1, "per": f"{n + 1}s"} for n in range(17)],
    ],
)
async def test_a_limit_is_named_once_and_there_are_not_too_many(
    api: Api, limits: list[dict[str, Any]]
) -> None:
    """Two of one meter and length would share a counter."""
    answer = await api.post("/key/generate", {"limits": limits})
    assert answer.status_code == 400
    assert "limits" in str(error_of(answer))


@pytest.mark.parametrize(
    "fields",
    [
        {"model_rpm_limit": {"gpt-4o": 5}},
        {"model_max_budget": {"gpt-4o": {"max_budget": 1, "rpm_limit": 5}}},
    ],
)
async def test_two_amounts_for_one_window_of_a_model_are_refused(
    api: Api, fields: dict[str, Any]
) -> None:
    """Another model may have another amount."""
    entry = {"meter": "requests", "amount": 9, "per": "1m", "model": "gpt-4o"}
    answer = await api.post("/key/generate", {**fields, "limits": [entry]})
    assert answer.status_code == 400
    assert "of one window differently" in error_of(answer)["message"]
    made = await api.made(**fields, limits=[{**entry, "model": "fast"}])
    assert (await api.info(made["key"]))["limits"] == []


async def test_thresholds_of_alerts_are_printed_as_they_are_counted(api: Api) -> None:
    """Once each, in order; of a limit that has a field of its own too. A list without them ends
    them.
    """
    limits = [
        {"meter": "requests", "amount": 5, "per": "1m", "alert_at": [1, 0.5, 0.5]},
        {"meter": "usd", "amount": 3, "per": "1d", "alert_at": [0.8]},
    ]
    key = (await api.made(limits=limits))["key"]
    shown = (await api.info(key))["limits"]
    assert [each["alert_at"] for each in shown] == [[0.5, 1.0], [0.8]]
    await api.post("/key/update", {"key": key, "limits": []})
    info = await api.info(key)
    assert (info["limits"], info["rpm_limit"]) == ([], 5)
