"""Report what a configuration file sets and Tollgate does not do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from tollgate.core.callers.verified import SourceKind
from tollgate.core.models.stream_usage import STREAM_OPTIONS
from tollgate.core.money.costs import find_cost_name
from tollgate.settings.entries.creation_settings import CREATION_PARAMS, MOST_OF_KEYS
from tollgate.settings.entries.dimension_settings import dimensions_of
from tollgate.settings.own_section import TollgateSettings
from tollgate.settings.page_sections import RATES, GeneralSettings, ModelEntry, SettingsFile

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
        "not served by Tollgate: a prompt that is too long gets its provider's error"
    ),
    ("*", "content_policy_fallbacks"): (
        "not served by Tollgate: a refused prompt gets its provider's error"
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
}
_RESCHEDULER = ("proxy_budget_rescheduler_min_time", "proxy_budget_rescheduler_max_time")

# Settings that restrict somebody in LiteLLM: https://docs.litellm.ai/docs/proxy/config_settings
_RESTRICTING = {
    "general_settings": frozenset(
        {
            "admin_only_routes",
            "allowed_ips",
            "allowed_routes",
            "custom_auth",
            "enable_jwt_auth",
            "enable_oauth2_auth",
            "enable_oauth2_proxy_auth",
            "enforce_rbac",
            "enforce_user_param",
            "enforced_params",
            "max_request_size_mb",
            "max_response_size_mb",
            "reject_clientside_metadata_tags",
            "reject_metadata_tags",
        }
    ),
    "litellm_settings": frozenset(
        {
            "banned_keywords_list",
            "blocked_user_list",
            "key_generation_settings",
            "max_user_budget",
            "tag_budget_config",
        }
    ),
    "router_settings": frozenset({"tag_budget_config"}),
}


_INSTEAD = {"enable_jwt_auth": "; tollgate.identity takes tokens (docs/identity.md)"}


def find_unenforced(file: SettingsFile) -> list[str]:
    """Return a line for each setting that restricts somebody and is not enforced."""
    return [
        f"{where}.{name}: restricts calls, and is not served by Tollgate{_INSTEAD.get(name, '')}"
        for section, where, extra in _sections(file)
        for name, value in extra.items()
        if _restricts(section, name, value)
    ]


def find_notices(file: SettingsFile) -> list[str]:
    """Return a line for each other key of a LiteLLM file that has no effect."""
    lines = [line for name, value in file.others.items() for line in _unknown(name, value)]
    for section, where, extra in _sections(file):
        for name, value in extra.items():
            served = section in ("litellm_params", "model_info") and find_cost_name(name)
            if not served and not _restricts(section, name, value):
                lines.append(f"{where}.{name}: {_said(section, name)}")
    lines += [line for entry in file.models for line in _of_model(entry)]
    lines += _of_general(file.general)
    lines += _of_identity(file.tollgate)
    lines += list(_served_otherwise(file))
    return lines


def _said(section: str, name: str) -> str:
    return _SAID.get((section, name)) or _SAID.get(("*", name)) or _NOT_SERVED


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
            usual = name == "routing_strategy" and getattr(given, name) == "simple-shuffle"
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


def _restricts(section: str, name: str, value: object) -> bool:
    """Return whether a setting restricts somebody; false and empty values do not."""
    if section == MOST_OF_KEYS:
        return value is not None
    return name in _RESTRICTING.get(section, ()) and value not in (False, None, "", [], {})


def _unknown(name: str, value: object) -> list[str]:
    if name != "guardrails" or not isinstance(value, list):
        return [f"{name}: {_NOT_SERVED}"]
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
            for name in RATES
            if getattr(entry.litellm_params, name) is not None
        ),
        *(f"{where}: {name}: {_NOT_SERVED}" for name in entry.extra),
        *(
            f"{where}: litellm_params.additional_drop_params: {name}: not dropped by Tollgate"
            for name in entry.litellm_params.additional_drop_params or ()
            if name != STREAM_OPTIONS
        ),
    ]


def _of_general(general: GeneralSettings) -> list[str]:
    return [
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
