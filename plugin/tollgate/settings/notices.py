"""Report what a configuration file sets and Tollgate does not do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from tollgate.core.callers.verified import SourceKind
from tollgate.core.models.stream_usage import STREAM_OPTIONS
from tollgate.core.money.costs import is_price, is_served_price
from tollgate.settings.entries.creation_settings import CREATION_PARAMS, team_budget
from tollgate.settings.entries.dimension_settings import dimensions_of
from tollgate.settings.entries.restricting import instead_of, restricts
from tollgate.settings.own_section import TollgateSettings
from tollgate.settings.page_sections import (
    WEIGHING,
    GeneralSettings,
    LitellmParams,
    LitellmSettings,
    ModelEntry,
    RouterSettings,
    SettingsFile,
)

_NOT_SERVED = "not served by Tollgate, ignored"
# What is served otherwise than in LiteLLM, or why not, by section and key.
_SAID = {
    ("router_settings", "routing_strategy"): (
        "deployments are chosen by weight or by their rates, as by simple-shuffle"
    ),
    ("*", "fallbacks"): (
        "serve while every deployment of the model is exhausted or cools down; a call that meets an"
        " error gets that error"
    ),
    ("*", "default_fallbacks"): (
        "serve while every deployment of the model is exhausted or cools down; a call that meets an"
        " error gets that error"
    ),
    ("*", "num_retries"): "Envoy repeats calls that failed before their reply began",
    ("router_settings", "retry_policy"): (
        "the largest number counts for rate limits, server errors and timeouts; other failures are"
        " not repeated"
    ),
    ("*", "allowed_fails"): "each worker counts the failures of the calls that it settles",
    ("*", "cooldown_time"): "only while another deployment or a fallback can serve",
    ("*", "context_window_fallbacks"): (
        "serve prompts that are estimated at more than model_info.max_input_tokens; a call that"
        " meets an error gets that error"
    ),
    ("*", "content_policy_fallbacks"): (
        "not served by Tollgate: the provider refuses a prompt when the call has been admitted, and"
        " another model would have to be admitted anew"
    ),
    ("*", "timeout"): "the longest silence of the provider, not the time of a whole call",
    ("*", "request_timeout"): "the longest silence of the provider, not the time of a whole call",
    ("*", "stream_timeout"): "not served by Tollgate: `timeout` is for streams too",
    ("*", "enable_pre_call_checks"): (
        "not served by Tollgate: a prompt that is too long gets its provider's error"
    ),
    ("*", "allowed_fails_policy"): (
        "not served by Tollgate: `allowed_fails` counts failures of every kind"
    ),
    ("*", "model_group_retry_policy"): "not served by Tollgate: `retry_policy` is for all models",
    ("*", "retry_after"): "not served by Tollgate: Envoy backs off by itself",
    ("*", "max_fallbacks"): "not served by Tollgate: at most five are tried",
    ("general_settings", "allow_requests_on_db_unavailable"): (
        "not served by Tollgate: tollgate.on_store_error says what happens"
    ),
    ("general_settings", "apply_user_budget_to_team_keys"): "always so with Tollgate",
    ("general_settings", "completion_model"): (
        "not served by Tollgate: a call gets the model that it names, and has to name one"
    ),
    ("general_settings", "default_team_disabled"): "always so: only administrators make keys",
    ("general_settings", "disable_key_generate_for_org_admin"): (
        "always so: only administrators make keys"
    ),
    ("general_settings", "litellm_key_header_name"): (
        "not served by Tollgate: docs/requests.md lists the headers that carry a key"
    ),
    ("general_settings", "token_rate_limit_type"): (
        "not served by Tollgate: `limits` has meters of input and output tokens"
    ),
    ("general_settings", "enforce_fallback_model_access"): (
        "always so: a fallback serves callers who may use it"
    ),
    **{
        ("general_settings", name): (
            "not served by Tollgate: os.environ/NAME is a variable of the process"
        )
        for name in (
            "key_management_settings",
            "key_management_system",
            "use_azure_key_vault",
            "use_google_kms",
        )
    },
    ("litellm_settings", "default_end_user_params"): (
        "has no effect, as in LiteLLM: max_end_user_budget_id names the budget of each customer"
    ),
    ("model_info", "max_tokens"): (
        "not served by Tollgate: max_output_tokens and max_input_tokens are"
    ),
    ("litellm_settings", "cost_discount_config"): (
        "not served by Tollgate: calls are charged without the discount"
    ),
    ("litellm_settings", "require_auth_for_metrics_endpoint"): (
        "always so, unless tollgate.metrics opens them"
    ),
    ("litellm_params", "daily_reset_time"): (
        "not served by Tollgate: limits of a day refill continuously"
    ),
    **{
        ("litellm_params", name): (
            "not served by Tollgate: Envoy signs in with a key, or with AWS credentials of the file"
            " or its environment"
        )
        for name in (
            "aws_profile_name",
            "aws_role_name",
            "aws_session_name",
            "aws_sts_endpoint",
            "aws_web_identity_token",
            "azure_ad_token",
            "azure_password",
            "azure_username",
            "client_id",
            "client_secret",
            "tenant_id",
            "vertex_credentials",
        )
    },
}
_NOT_ADDED = "not served by Tollgate: bodies pass as clients send them"
_OF_CALLS = frozenset(
    {
        "extra_body",
        "extra_headers",
        "max_completion_tokens",
        "max_tokens",
        "n",
        "reasoning_effort",
        "response_format",
        "stop",
        "stream",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_p",
    }
)
"""Fields of a call's body that an entry may give for all of its calls."""
_NOT_CHARGED = "not served by Tollgate: calls are charged without this price"
_HOMES: Mapping[str, type[BaseModel]] = {
    "litellm_settings": LitellmSettings,
    "general_settings": GeneralSettings,
    "router_settings": RouterSettings,
}
_RULES = ("pre_call_rules", "post_call_rules")
_CALLBACKS = ("callbacks", "input_callback")
# https://docs.litellm.ai/docs/proxy/enterprise and /prompt_injection: callbacks that refuse calls.
_GUARDS = frozenset(
    {
        "aporia_prompt_injection",
        "banned_keywords",
        "blocked_user_check",
        "detect_prompt_injection",
        "google_text_moderation",
        "hide_secrets",
        "lakera_prompt_injection",
        "llamaguard_moderations",
        "llmguard_moderations",
        "openai_moderations",
        "presidio",
    }
)
# What other programs replace: ${NAME}, $NAME, {{ name }}.
_PLACEHOLDER = re.compile(r"^\$\{?\w+\}?$|\$\{\w+|\{\{")
_RESCHEDULER = ("proxy_budget_rescheduler_min_time", "proxy_budget_rescheduler_max_time")


def find_unenforced(file: SettingsFile) -> list[str]:
    """Return a line for each setting that restricts somebody and is not enforced."""
    return [
        f"{where}.{name}: restricts calls, and is not served by Tollgate{instead_of(section, name)}"
        for section, where, extra in _sections(file)
        for name, value in extra.items()
        if restricts(section, name, value)
    ] + list(_open_on_failure(file))


def _open_on_failure(file: SettingsFile) -> Iterator[str]:
    """Yield a line for each setting that wants calls refused while the store is down, where our
    own section lets them pass.
    """
    if file.tollgate.on_store_error == "allow":
        for name in ("fail_closed_budget_enforcement", "fail_closed_rate_limit_enforcement"):
            if getattr(file.general, name):
                yield f"general_settings.{name}: contradicts tollgate.on_store_error: allow"


def find_notices(file: SettingsFile) -> list[str]:
    """Return a line for each other key of a LiteLLM file that has no effect."""
    lines = [line for name, value in file.others.items() for line in _unknown(name, value)]
    for section, where, extra in _sections(file):
        for name, value in extra.items():
            served = section in ("litellm_params", "model_info") and is_served_price(name, extra)
            if not served and not restricts(section, name, value):
                lines.append(f"{where}.{name}: {_ignored(section, name, value)}")
    lines += [line for entry in file.models for line in _of_model(entry)]
    lines += _of_general(file.general)
    lines += _of_identity(file.tollgate)
    lines += list(_served_otherwise(file))
    if file.litellm.max_budget == 0:
        lines.append("litellm_settings.max_budget: 0 lets no call pass; null is no limit")
    return lines


def _ignored(section: str, name: str, value: object) -> str:
    """Return what is said of a key that a section has and Tollgate does not read there."""
    if name == "default_team_settings" and team_budget(value) is not None:
        return "the max_budget of the first entry is what new teams have; the rest is ignored"
    if (section, name) not in _SAID and (right := _belongs_in(section, name)) is not None:
        return f"has no effect here: it belongs in {right}"
    if section == "litellm_params" and name in _OF_CALLS:
        return _NOT_ADDED
    if name in _RULES or (name in _CALLBACKS and _guards(value)):
        return f"{_NOT_SERVED.partition(',')[0]}: calls pass without what it checks"
    return _said(section, name)


def _belongs_in(section: str, name: str) -> str | None:
    """Return the section that serves a key which stands elsewhere."""
    homes = [home for home, kind in _HOMES.items() if name in kind.model_fields and home != section]
    return homes[0] if section in (*_HOMES, "") and homes else None


def _guards(callbacks: object) -> bool:
    """Return whether a list of callbacks has one that refuses or changes calls."""
    listed = callbacks if isinstance(callbacks, list) else [callbacks]
    return any(str(each) in _GUARDS for each in listed)


def _said(section: str, name: str) -> str:
    said = _SAID.get((section, name)) or _SAID.get(("*", name))
    priced = section in ("litellm_params", "model_info") and is_price(name)
    return said or (_NOT_CHARGED if priced else _NOT_SERVED)


def _served_otherwise(file: SettingsFile) -> Iterator[str]:
    """Yield a line for each served key whose effect is another than in LiteLLM."""
    sections: list[tuple[str, str, BaseModel]] = [
        ("router_settings", "router_settings", file.router),
        ("litellm_settings", "litellm_settings", file.litellm),
    ]
    for entry in file.models:
        where = f"model_list: {entry.model_name}: litellm_params"
        sections.append(("litellm_params", where, entry.litellm_params))
    for section, where, given in sections:
        for name in type(given).model_fields:
            usual = getattr(given, name) in ("simple-shuffle", (), {})
            if name in given.model_fields_set and _said(section, name) != _NOT_SERVED and not usual:
                yield f"{where}.{name}: {_said(section, name)}"


def _sections(file: SettingsFile) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield each section with unknown keys: its kind, its name in messages, and those keys."""
    yield "general_settings", "general_settings", file.general.extra
    yield "litellm_settings", "litellm_settings", file.litellm.extra
    yield "router_settings", "router_settings", file.router.extra
    for name in CREATION_PARAMS:
        yield name, f"litellm_settings.{name}", getattr(file.litellm, name).extra
    for entry in file.models:
        where = f"model_list: {entry.model_name}"
        yield "litellm_params", f"{where}: litellm_params", entry.litellm_params.extra
        yield "model_info", f"{where}: model_info", entry.model_info.extra


def _unknown(name: str, value: object) -> list[str]:
    if name != "guardrails" or not isinstance(value, list):
        return [f"{name}: {_ignored('', name, value)}"]
    lines = []
    for number, each in enumerate(value):
        params = each.get("litellm_params") if isinstance(each, dict) else None
        always = isinstance(params, dict) and params.get("default_on") is True
        shown = each.get("guardrail_name", number) if isinstance(each, dict) else number
        lines.append(
            f"guardrails: {shown}: not served by Tollgate"
            + (": calls pass without it" if always else ", ignored")
        )
    return lines


def _of_model(entry: ModelEntry) -> list[str]:
    where = f"model_list: {entry.model_name}"
    return [
        *(
            f"{where}: litellm_params.{name}: a limit of the deployment, and enforced; LiteLLM's"
            " simple-shuffle only shares calls out by it"
            for name in WEIGHING
            if getattr(entry.litellm_params, name) is not None
        ),
        *(f"{where}: {name}: {_beside(name)}" for name in entry.extra),
        *(
            f"{where}: litellm_params.{name} is taken as it is written; a variable is named as"
            " os.environ/NAME"
            for name in ("api_key", "model")
            if _PLACEHOLDER.search(getattr(entry.litellm_params, name) or "")
        ),
        *(
            f"{where}: litellm_params.additional_drop_params: {name}: not dropped by Tollgate"
            for name in entry.litellm_params.additional_drop_params or ()
            if name != STREAM_OPTIONS
        ),
    ]


def _beside(name: str) -> str:
    """Return what is said of an unread key beside litellm_params and model_info."""
    if name in LitellmParams.model_fields or is_served_price(name, {}):
        return "has no effect here: it belongs in litellm_params"
    return _NOT_SERVED


def _of_general(general: GeneralSettings) -> list[str]:
    users = [
        f"general_settings.user_header_mappings: {each.header_name}: users are not taken from a"
        " header; tollgate.identity takes those of trusted proxies (docs/identity.md)"
        for each in general.user_header_mappings
        if not each.names_customers
    ]
    if _PLACEHOLDER.search(general.master_key or ""):
        users.append(
            f"general_settings.master_key: {general.master_key} is taken as it is written, so"
            " everybody can guess it; a variable is named as os.environ/NAME"
        )
    return users + [
        f"general_settings.{name}: accepted; nothing to schedule, budgets reset exactly at the"
        " second"
        for name in _RESCHEDULER
        if getattr(general, name) is not None
    ]


def _of_identity(ours: TollgateSettings) -> list[str]:
    """Return a line where certificates are read that this gateway asks nobody for."""
    asked = ours.tls is not None and ours.tls.client_ca is not None
    sources = () if ours.identity is None else ours.identity.sources
    dimensions = (source for each in dimensions_of(ours.dimensions) for source in each.verified)
    if asked or all(each.kind is not SourceKind.CERTIFICATE for each in (*sources, *dimensions)):
        return []
    return [
        "tollgate.identity: certificates are read, and tls.client_ca is not set: only an Envoy of"
        " your own can ask clients for theirs"
    ]
