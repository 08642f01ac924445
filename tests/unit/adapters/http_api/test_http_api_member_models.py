"""Limits of a member for single models and groups of them, within a team and an organization."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.unit.management_fixtures import MASTER, Api, error_of, ok

NARROWED: dict[str, Any] = {
    "model_rpm_limit": {"gpt-4o": 3},
    "model_tpm_limit": {"claude-*": 1000},
    "model_max_budget": {"gpt-4o": {"max_budget": 2.0, "budget_duration": "1d"}},
}
ENTRY = {"meter": "output_tokens", "amount": 50, "per": "1d", "model": "claude-*"}


async def changed(api: Api, noun: str, **fields: Any) -> httpx.Response:
    """Change the one member of a team or an organization."""
    method = "POST" if noun == "team" else "PATCH"
    body = {f"{noun}_id": "it", "user_id": "ann", **fields}
    headers = {"authorization": f"Bearer {MASTER}"}
    return await api.client.request(method, f"/{noun}/member_update", json=body, headers=headers)


async def limits_of(api: Api, noun: str) -> dict[str, Any]:
    """The limits of the one member, as its team or organization prints them."""
    shown = await ok(api.get(f"/{noun}/info", **{f"{noun}_id": "it"}))
    (row,) = shown["team_memberships" if noun == "team" else "members"]
    return dict(row["litellm_budget_table"])


@pytest.mark.parametrize("noun", ["team", "organization"])
async def test_a_member_has_limits_for_single_models(api: Api, noun: str) -> None:
    """Rates, budgets and the general form; a change of one field leaves the others."""
    await ok(api.post(f"/{noun}/new", {f"{noun}_id": "it"}))
    role = "user" if noun == "team" else "internal_user"
    member = {"role": role, "user_id": "ann"}
    body = {f"{noun}_id": "it", "member": member, "rpm_limit": 9, "limits": [ENTRY], **NARROWED}
    await ok(api.post(f"/{noun}/member_add", body))
    limits = await limits_of(api, noun)
    assert {name: limits[name] for name in NARROWED} == NARROWED
    assert (limits["rpm_limit"], limits["limits"]) == (9, [ENTRY])
    await ok(changed(api, noun, model_rpm_limit={"gpt-4o": 4, "gpt-*": 8}))
    limits = await limits_of(api, noun)
    assert limits["model_rpm_limit"] == {"gpt-4o": 4, "gpt-*": 8}
    assert limits["model_max_budget"] == NARROWED["model_max_budget"]
    await ok(changed(api, noun, model_rpm_limit=None, model_max_budget=None, limits=[]))
    limits = await limits_of(api, noun)
    told = [limits["model_rpm_limit"], limits["model_max_budget"], limits["model_tpm_limit"]]
    assert told == [{}, {}, NARROWED["model_tpm_limit"]]


async def test_the_answer_of_a_change_tells_the_limits_for_single_models(api: Api) -> None:
    """As LiteLLM echoes what was set."""
    await ok(api.post("/team/new", {"team_id": "it"}))
    await ok(
        api.post(
            "/team/member_add", {"team_id": "it", "member": {"role": "user", "user_id": "ann"}}
        )
    )
    answer = await ok(changed(api, "team", **NARROWED))
    assert {name: answer[name] for name in NARROWED} == NARROWED


async def test_two_amounts_for_one_counter_of_a_members_model_are_refused(api: Api) -> None:
    """One of them would be lost."""
    await ok(api.post("/team/new", {"team_id": "it"}))
    entry = {"meter": "requests", "amount": 5, "per": "1m", "model": "gpt-4o"}
    body = {"team_id": "it", "member": {"role": "user", "user_id": "ann"}, "limits": [entry]}
    answer = await api.post("/team/member_add", {**body, "model_rpm_limit": {"gpt-4o": 4}})
    assert answer.status_code in (400, 422)
    assert "model_rpm_limit" in error_of(answer)["message"]


async def test_a_file_declares_the_limits_of_members_for_single_models(api: Api) -> None:
    """Of both kinds of members; applied again it changes nothing."""
    file = {
        "organizations": [{"organization_id": "it"}],
        "teams": [{"team_id": "it"}],
        "users": [{"user_id": "ann"}],
        "members": [{"team_id": "it", "user_id": "ann", "limits": [ENTRY], **NARROWED}],
        "organization_members": [{"organization_id": "it", "user_id": "ann", **NARROWED}],
    }
    applied = await ok(api.post("/global/apply", file))
    assert len(applied["changes"]) == 5
    for noun in ("team", "organization"):
        limits = await limits_of(api, noun)
        assert {name: limits[name] for name in NARROWED} == NARROWED
    again = await ok(api.post("/global/apply", file))
    assert (again["changes"], again["unchanged"]) == ([], 5)
