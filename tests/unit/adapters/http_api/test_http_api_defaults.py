"""What LiteLLM's clients send with every request: fields with the values that they have when nobody
set them.
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.management_fixtures import Api, error_of

# The fields of LiteLLM 1.109's request models with their defaults; what has none is null.
LIMITS = (
    "max_budget max_parallel_requests tpm_limit rpm_limit tpd_limit budget_duration budget_limits"
)
KEY = f"""{LIMITS} key_alias duration user_id team_id agent_id budget_fallbacks model_rpm_limit
    model_tpm_limit mcp_rpm_limit tag_rpm_limit guardrails policies prompts blocked
    object_permission default_estimated_output_tokens default_estimated_output_tokens_per_model
    budget_id end_user_budget_id tags disable_global_guardrails enable_prompt_caching
    throttle_on_budget_exceeded enforced_params allowed_passthrough_routes
    denied_passthrough_routes allowed_vector_store_indexes rpm_limit_type tpm_limit_type
    router_settings access_group_ids soft_budget send_invite_email rotation_interval
    organization_id project_id"""
EMPTY_LISTS = {name: [] for name in ("models", "allowed_cache_controls", "allowed_routes")}
EMPTY_OBJECTS = {
    name: {} for name in ("metadata", "config", "permissions", "model_max_budget", "aliases")
}
TEAM = f"""{LIMITS} team_alias organization_id team_member_permissions metadata soft_budget
    router_settings access_group_ids default_team_member_models model_aliases model_max_budget
    tags guardrails policies prompts object_permission allowed_passthrough_routes
    denied_passthrough_routes disable_global_guardrails require_trace_id secret_manager_settings
    model_rpm_limit rpm_limit_type tpm_limit_type model_tpm_limit
    default_estimated_output_tokens default_estimated_output_tokens_per_model mcp_rpm_limit
    team_member_budget team_member_rpm_limit team_member_tpm_limit team_member_key_duration
    team_member_budget_duration team_member_model_max_budget allowed_vector_store_indexes
    enforced_batch_output_expires_after enforced_file_expires_after"""
USER = f"{KEY} user_email user_alias user_role teams sso_user_id organizations password"
CUSTOMER = f"""{LIMITS} budget_id soft_budget model_max_budget budget_reset_at alias spend
    allowed_model_region default_model models object_permission"""
BUDGET = f"{LIMITS} soft_budget model_max_budget budget_reset_at"


def body(names: str, **values: Any) -> dict[str, Any]:
    return {**dict.fromkeys(names.split()), **values}


GENERATE = body(KEY, **EMPTY_LISTS, **EMPTY_OBJECTS, spend=0, key_type="default", auto_rotate=False)
NEW_TEAM = body(TEAM, admins=[], members=[], members_with_roles=[], models=[], blocked=False)


@pytest.mark.parametrize(
    ("path", "request_body"),
    [
        ("/key/generate", GENERATE),
        ("/key/generate", {**GENERATE, "tags": [], "guardrails": [], "send_invite_email": False}),
        (
            "/key/generate",
            {**GENERATE, "tpm_limit_type": "best_effort_throughput", "object_permission": {}},
        ),
        ("/key/update", {**GENERATE, "key": "sk-0123456789abcdef", "temp_budget_increase": None}),
        (
            "/key/regenerate",
            {"key": "sk-0123456789abcdef", "new_master_key": None, "grace_period": ""},
        ),
        ("/user/new", body(USER, **EMPTY_LISTS, **EMPTY_OBJECTS, spend=0, auto_create_key=True)),
        ("/user/new", body(USER, send_invite_email=False, teams=[], organizations=[])),
        ("/user/update", body(USER, **EMPTY_LISTS, **EMPTY_OBJECTS, user_id="u")),
        ("/team/new", NEW_TEAM),
        (
            "/team/new",
            {**NEW_TEAM, "members_with_roles": None, "tags": [], "secret_manager_settings": {}},
        ),
        ("/team/update", body(TEAM, team_id="t", models=[], tags=[])),
        (
            "/team/member_add",
            body(
                "max_budget_in_team budget_duration allowed_models",
                team_id="t",
                member=[{"role": "user", "user_id": "v"}],
            ),
        ),
        (
            "/team/member_update",
            body("temp_budget_increase model_max_budget role", team_id="t", user_id="u"),
        ),
        ("/customer/new", body(CUSTOMER, user_id="c", blocked=False)),
        ("/customer/update", body(CUSTOMER, user_id="known", blocked=False)),
        ("/budget/new", body(BUDGET)),
        ("/budget/update", body(BUDGET, budget_id="known")),
    ],
)
async def test_defaults_of_litellm_ask_for_nothing(
    api: Api, path: str, request_body: dict[str, Any]
) -> None:
    """They pass as null does, on every path."""
    await api.made(key="sk-0123456789abcdef")
    await api.post("/user/new", {"user_id": "u", "auto_create_key": False})
    await api.post(
        "/team/new", {"team_id": "t", "members_with_roles": [{"role": "user", "user_id": "u"}]}
    )
    await api.post("/customer/new", {"user_id": "known"})
    await api.post("/budget/new", {"budget_id": "known"})
    answer = await api.post(path, request_body)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tags", ["a"]),
        ("guardrails", ["g"]),
        ("key_type", "read_only"),
        ("auto_rotate", True),
        ("allowed_routes", ["/chat"]),
        ("tpm_limit_type", "dynamic"),
        ("object_permission", {"vector_stores": []}),
        ("budget_fallbacks", {"a": ["b"]}),
    ],
)
async def test_what_asks_for_something_is_refused_by_name(api: Api, field: str, value: Any) -> None:
    """A limit that is taken and not kept would be a hole.

    What is served in the meantime is no longer here.
    """
    answer = await api.post("/key/generate", {field: value})
    assert (answer.status_code, error_of(answer)["param"]) == (400, field)
    assert "does not serve" in error_of(answer)["message"]


async def test_a_word_that_is_nobodys_is_refused_even_empty(api: Api) -> None:
    """A slip in a name shows, whatever its value."""
    answer = await api.post("/key/generate", {"rmp_limit": None})
    assert (answer.status_code, error_of(answer)["param"]) == (400, "rmp_limit")
