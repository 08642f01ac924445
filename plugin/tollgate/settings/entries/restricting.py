"""Tell which settings of a LiteLLM file restrict somebody and have no counterpart here.

Such a setting stops the start: a gateway that ignored it would let through what its owner forbade.
Names and meanings: https://docs.litellm.ai/docs/proxy/config_settings
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tollgate.settings.entries.creation_settings import CREATION_PARAMS, MOST_OF_KEYS

_OF_NEW_ONES = dict.fromkeys(
    (
        "allowed_passthrough_routes",
        "allowed_routes",
        "allowed_vector_store_indexes",
        "blocked",
        "budget_id",
        "budget_limits",
        "denied_passthrough_routes",
        "enforced_params",
        "end_user_budget_id",
        "limits",
        "mcp_rpm_limit",
        "model_max_budget",
        "model_rpm_limit",
        "model_tpm_limit",
        "object_permission",
        "organization_id",
        "tag_rpm_limit",
        "team_member_budget",
        "team_member_budget_duration",
        "team_member_key_duration",
        "team_member_rpm_limit",
        "team_member_tpm_limit",
    ),
    "; give it to each of them, or limits to all by tollgate.default_limits (docs/scopes.md)",
)

_RESTRICTING: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "general_settings": {
            "admin_only_routes": "",
            "allowed_file_extensions": "",
            "allowed_ips": "; an RBAC filter of Envoy does it",
            "allowed_routes": "",
            "blocked_file_extensions": "",
            "custom_auth": "; tollgate.identity takes callers whom Envoy vouches for"
            " (docs/identity.md)",
            "custom_key_generate": "",
            "custom_key_policy": "",
            "custom_key_update": "",
            "enable_jwt_auth": "; tollgate.identity takes tokens (docs/identity.md)",
            "enable_oauth2_auth": "; tollgate.identity takes tokens (docs/identity.md)",
            "enable_oauth2_proxy_auth": "; tollgate.identity takes headers of a trusted proxy"
            " (docs/identity.md)",
            "enforce_rbac": "",
            "enforce_user_param": "",
            "enforced_params": "",
            "max_batch_file_records": "",
            "max_batch_file_size_mb": "",
            "max_batch_file_uploads_per_day": "",
            "max_file_downloads_per_minute": "",
            "max_file_size_mb": "; tollgate.max_request_bytes is for every body",
            "max_in_flight_requests_per_worker": "; tollgate.proxy_max_parallel_requests is for"
            " all workers together",
            "max_response_size_mb": "",
            "missing_session_id": "",
            "reject_clientside_metadata_tags": "",
            "reject_metadata_tags": "",
            "role_permissions": "",
            "service_account_settings": "",
            "vector_store_deny_by_default": "",
        },
        "litellm_settings": {
            "banned_keywords_list": "",
            "block_requests_for_models_without_pricing": "; tollgate.unpriced_models refuses them"
            " where a budget applies",
            "blocked_user_list": "; `tollgate customer block` does it",
            "budget_rollover": "; `rollover` of a limit carries what is left (docs/limits.md)",
            "cost_margin_config": "; prices of the deployments can be set (README, Prices)",
            "key_generation_settings": "",
            "max_user_budget": "; max_internal_user_budget is served",
            "tag_budget_config": "; tollgate.dimensions.tag has limits (docs/scopes.md)",
            "validate_end_user_id_in_db": "",
        },
        "router_settings": {
            "enable_tag_filtering": "; access_groups say who may call a deployment",
            "tag_budget_config": "; tollgate.dimensions.tag has limits (docs/scopes.md)",
        },
        "litellm_params": {
            "default_api_key_rpm_limit": "; model_rpm_limit of a key does it",
            "default_api_key_tpm_limit": "; model_tpm_limit of a key does it",
            "max_file_size_mb": "; tollgate.max_request_bytes is for every body",
        },
        "model_info": {
            "access_windows": "",
            "enable_tag_filtering": "; access_groups say who may call a deployment",
            "enforce_supported_endpoints": "",
            "team_id": "; access_groups say whose keys may call a deployment",
        },
        **dict.fromkeys(CREATION_PARAMS, _OF_NEW_ONES),
    }
)
"""By section and key: what does it instead, as a clause."""
_NOTHING: tuple[object, ...] = (False, None, "", [], {})
# Settings of which one value alone restricts.
_ONE_VALUE = {"missing_session_id": "reject"}


def restricts(section: str, name: str, value: object) -> bool:
    """Return whether a setting restricts somebody; false and empty values do not."""
    if section == MOST_OF_KEYS:
        return value is not None
    known = name in _RESTRICTING.get(section, {}) and _ONE_VALUE.get(name, value) == value
    return known and value not in _NOTHING and str(value).lower() != "false"


def instead_of(section: str, name: str) -> str:
    """Return a clause about what does the same here; empty if nothing does."""
    return _RESTRICTING.get(section, {}).get(name, "")
