"""What a file says and Tollgate does not do, in lines for whoever starts it."""

from __future__ import annotations

from typing import Any

from tollgate.core.costs import find_cost_name
from tollgate.core.stream_usage import STREAM_OPTIONS
from tollgate.settings.page_sections import PageSection, SettingsFile


def notices(parsed: SettingsFile, document: dict[str, Any]) -> list[str]:
    """One line for each key of a LiteLLM file that we do not act on."""
    lines = [f"{key}: not served by Tollgate, ignored" for key in parsed.model_extra or {}]
    sections: dict[str, PageSection] = {
        "general_settings": parsed.general_settings,
        "litellm_settings": parsed.litellm_settings,
    }
    for name, section in sections.items():
        lines += [f"{name}.{key}: not served by Tollgate, ignored" for key in section.model_extra or {}]
        rescheduler = ("proxy_budget_rescheduler_min_time", "proxy_budget_rescheduler_max_time")
        lines += [
            f"{name}.{key}: accepted; nothing to schedule, budgets reset exactly at the second"
            for key in rescheduler
            if key in (document.get(name) or {})
        ]
    for entry in parsed.model_list:
        lines += [
            f"model_list: {entry.model_name}: litellm_params.additional_drop_params: {name}: not dropped by Tollgate"
            for name in entry.litellm_params.additional_drop_params or ()
            if name != STREAM_OPTIONS
        ]
        for prefix, extra in (
            ("", entry.model_extra),
            ("litellm_params.", entry.litellm_params.model_extra),
            ("model_info.", entry.model_info.model_extra),
        ):
            lines += [
                f"model_list: {entry.model_name}: {prefix}{key}: not served by Tollgate, ignored"
                for key in extra or {}
                if not (prefix == "litellm_params." and find_cost_name(key))
            ]
    if parsed.general_settings.master_key is None:
        named = (document.get("general_settings") or {}).get("master_key")
        told = "not set" if named is None else f"{named} is not set"
        lines.append(f"general_settings.master_key: {told}, so nobody can administer keys")
    return lines
