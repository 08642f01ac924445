"""Recognise fields of LiteLLM's requests that ask for nothing.

Source: the request models of LiteLLM 1.109's proxy (litellm/proxy/_types.py), which its clients
send with their defaults; `additional` is of its Terraform provider's models (litellm/types.go of
github.com/BerriAI/terraform-provider-litellm).
"""

from __future__ import annotations

_NOT_SERVED = """
    access_group_ids additional agent_id allow_team_guardrail_config allowed_model_region
    allowed_passthrough_routes allowed_routes allowed_vector_store_indexes auto_rotate
    budget_fallbacks budget_reset_at default_estimated_output_tokens
    default_estimated_output_tokens_per_model default_model default_team_member_models
    denied_passthrough_routes disable_global_guardrails enable_prompt_caching end_user_budget_id
    enforced_batch_output_expires_after enforced_file_expires_after enforced_params
    guardrails key_type mcp_rpm_limit new_master_key object_permission organizations password
    policies project_id prompts require_trace_id rotation_interval router_settings rpm_limit_type
    secret_manager_settings send_invite_email sso_user_id tag_rpm_limit tags
    team_member_key_duration team_member_model_max_budget team_member_permissions
    throttle_on_budget_exceeded tpm_limit_type
"""
# Served on some paths; LiteLLM's clients send them with their defaults elsewhere too.
_SERVED_ELSEWHERE = """
    aliases allowed_cache_controls blocked budget_duration budget_id budget_limits config duration
    grace_period key_alias max_budget max_parallel_requests metadata model_aliases model_max_budget
    model_rpm_limit model_tpm_limit models organization_id permissions rpm_limit soft_budget spend
    team_id teams temp_budget_expiry temp_budget_increase tpd_limit tpm_limit user_id
"""
NOT_SERVED = frozenset(_NOT_SERVED.split())
"""Served on no path."""

_KNOWN = NOT_SERVED | frozenset(_SERVED_ELSEWHERE.split())
# Defaults that are words.
_DEFAULTS = {
    "key_type": "default",
    "rpm_limit_type": "best_effort_throughput",
    "tpm_limit_type": "best_effort_throughput",
}


def asks_for_nothing(name: str, value: object) -> bool:
    """Return whether a field has no effect in LiteLLM: null, false, empty, or its default."""
    if name not in _KNOWN:
        return False
    empty = isinstance(value, str | list | dict) and not value
    return value is None or value is False or empty or value == _DEFAULTS.get(name, ...)
