"""Fields of LiteLLM's API that Tollgate knows and does not serve (reference: its request models). Null asks for nothing and passes."""

_NAMES = """
    access_group_ids agent_id allow_team_guardrail_config allowed_model_region allowed_passthrough_routes allowed_routes
    allowed_vector_store_indexes auto_rotate budget_fallbacks budget_limits budget_reset_at default_estimated_output_tokens
    default_estimated_output_tokens_per_model default_model default_team_member_models denied_passthrough_routes
    disable_global_guardrails enable_prompt_caching end_user_budget_id enforced_batch_output_expires_after
    enforced_file_expires_after enforced_params grace_period guardrails key_type mcp_rpm_limit new_master_key
    object_permission organizations password policies project_id prompts require_trace_id rotation_interval router_settings
    rpm_limit_type secret_manager_settings send_invite_email sso_user_id tag_rpm_limit tags team_member_key_duration
    team_member_model_max_budget team_member_permissions temp_budget_expiry temp_budget_increase throttle_on_budget_exceeded
    tpd_limit tpm_limit_type
"""
NOT_SERVED = frozenset(_NAMES.split())
