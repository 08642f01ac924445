"""`router_settings` and the like of LiteLLM's files: what each key does here, and that none is
ignored without a word.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tollgate.core.errors import SettingsError
from tollgate.envoy_config.listener.route_table import virtual_host
from tollgate.settings import Settings, load
from tollgate.settings.entries.router_entries import Cooldown, Retries

MODELS = """
model_list:
  - {model_name: m, litellm_params: {model: openai/x, api_base: "http://one", api_key: k}}
  - {model_name: m, litellm_params: {model: openai/x, api_base: "http://two", api_key: k}}
  - {model_name: n, litellm_params: {model: openai/y, api_base: "http://h", api_key: k}}
"""
# https://docs.litellm.ai/docs/proxy/config_settings and
# https://docs.litellm.ai/docs/router/api_reference/configuration
DOCUMENTED = {
    "routing_strategy": "least-busy", "routing_strategy_args": "{ttl: 5}",
    "routing_groups": "[{group_name: g, models: [m]}]", "redis_host": "h", "redis_password": "p",
    "redis_port": "1", "redis_url": "redis://h", "redis_db": "1",
    "enable_pre_call_checks": "true", "optional_pre_call_checks": "[prompt_caching]",
    "content_policy_fallbacks": "[{m: [n]}]", "fallbacks": "[{m: [n]}]",
    "default_fallbacks": "[n]", "context_window_fallbacks": "[{m: [n]}]", "max_fallbacks": "3",
    "enable_tag_filtering": "true", "tag_filtering_match_any": "true", "cooldown_time": "30",
    "disable_cooldowns": "true", "retry_policy": "{RateLimitErrorRetries: 2}",
    "model_group_retry_policy": "{m: {RateLimitErrorRetries: 2}}", "allowed_fails": "3",
    "allowed_fails_policy": "{TimeoutErrorAllowedFails: 3}", "default_max_parallel_requests": "9",
    "default_priority": "1", "polling_interval": "0.1",
    "default_litellm_params": "{temperature: 1}", "timeout": "30", "stream_timeout": "30",
    "debug_level": "DEBUG", "client_ttl": "60", "cache_kwargs": "{a: b}", "cache_responses": "true",
    "caching_groups": "[[m, n]]", "model_group_alias": "{x: m}", "num_retries": "2",
    "retry_after": "1", "set_verbose": "true", "alerting_config": "{webhook_url: 'http://h'}",
    "assistants_config": "{custom_llm_provider: azure}",
    "provider_budget_config": "{openai: {budget_limit: 1, time_period: 1d}}",
    "tag_budget_config": "{t: {max_budget: 1, budget_duration: 1d}}", "search_tools": "[{a: b}]",
    "guardrail_list": "[{a: b}]", "ignore_invalid_deployments": "true",
    "enable_weighted_failover": "true", "enable_health_check_routing": "true",
    "deployment_affinity_ttl_seconds": "5",
}  # fmt: skip
AS_IN_LITELLM = {
    "model_group_alias",
    "provider_budget_config",
    "default_max_parallel_requests",
    "disable_cooldowns",
}
"""Keys that do what they do in LiteLLM, so that there is nothing to say."""


def read(tmp_path: Path, text: str, **options: bool) -> Settings:
    file = tmp_path / "file.yaml"
    file.write_text(MODELS + text)
    return load(file, {"LITELLM_MASTER_KEY": "sk-a"}, **options)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_documented_key_is_served_or_told_of(tmp_path: Path, name: str) -> None:
    """Served as it is, or in one line that names it."""
    settings = read(
        tmp_path, f"router_settings: {{{name}: {DOCUMENTED[name]}}}", allow_unenforced=True
    )
    told = [each for each in settings.notices if each.startswith(f"router_settings.{name}:")]
    assert len(told) == (name not in AS_IN_LITELLM)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", {}),
        ("router_settings: {fallbacks: [{m: [n, x]}, {n: [m]}]}", {"m": ("n", "x"), "n": ("m",)}),
        ("litellm_settings: {fallbacks: [{m: [n]}]}", {"m": ("n",)}),
        ("router_settings: {default_fallbacks: [n]}", {"*": ("n",)}),
        ("litellm_settings: {default_fallbacks: [n], fallbacks: [{'*': [m]}]}", {"*": ("m",)}),
        (
            "router_settings: {model_group_alias: {a: m}, fallbacks: [{a: [n]}]}",
            {"m": ("n",)},
        ),
    ],
)
def test_fallbacks_are_read_in_all_their_places(
    tmp_path: Path, text: str, wanted: dict[str, tuple[str, ...]]
) -> None:
    """A list of mappings; an alias is the model that it stands for."""
    assert read(tmp_path, text).fallbacks == wanted


@pytest.mark.parametrize("section", ["router_settings", "litellm_settings"])
def test_fallbacks_for_long_prompts_need_to_know_what_is_long(tmp_path: Path, section: str) -> None:
    """Otherwise they never serve, and that is told."""
    found = read(tmp_path, f"{section}: {{context_window_fallbacks: [{{m: [n]}}]}}")
    assert found.context_fallbacks == {"m": ("n",)}
    told = [each for each in found.notices if each.startswith("context_window_fallbacks: ")]
    assert told == [
        "context_window_fallbacks: m has no model_info.max_input_tokens, so none of its prompts is"
        " too long"
    ]


def test_a_fallback_that_is_no_model_is_told(tmp_path: Path) -> None:
    """By its name; it serves nothing."""
    found = read(tmp_path, "router_settings: {fallbacks: [{m: [nowhere]}]}")
    assert "fallbacks: nowhere is not a model of the list" in found.notices


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", None),
        ("router_settings: {allowed_fails: 1}", Cooldown(1, 5)),
        ("router_settings: {cooldown_time: '30'}", Cooldown(3, 30)),
        ("litellm_settings: {allowed_fails: 0, cooldown_time: 0.5}", Cooldown(0, 0.5)),
        ("router_settings: {allowed_fails: 1, disable_cooldowns: true}", None),
    ],
)
def test_cooldowns_have_litellms_defaults(
    tmp_path: Path, text: str, wanted: Cooldown | None
) -> None:
    """None without either field, or where they are disabled."""
    assert read(tmp_path, text).cooldown == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", Retries()),
        ("litellm_settings: {num_retries: 3}", Retries(3)),
        ("router_settings: {num_retries: 0}\nlitellm_settings: {num_retries: 3}", Retries(0)),
        (
            "router_settings: {num_retries: 1, retry_policy: {TimeoutErrorRetries: 4,"
            " RateLimitErrorRetries: 0}}",
            Retries(4, timeouts=True, rate_limits=False),
        ),
        (
            "router_settings: {retry_policy: {InternalServerErrorRetries: 0,"
            " RateLimitErrorRetries: 2}}",
            Retries(2, server_errors=False),
        ),
    ],
)
def test_retries_are_what_the_file_asks_for(tmp_path: Path, text: str, wanted: Retries) -> None:
    """`router_settings` come first, and a policy decides for its kinds."""
    assert read(tmp_path, text).retries == wanted


@pytest.mark.parametrize(
    "text",
    [
        "router_settings: {num_retries: often}",
        "router_settings: {num_retries: -1}",
        "router_settings: {timeout: 0}",
        "router_settings: {fallbacks: {m: n}}",
        "router_settings: {fallbacks: [m]}",
        "router_settings: {allowed_fails: -1}",
        "router_settings: {retry_policy: {TimeoutErrorRetries: many}}",
        "router_settings: {provider_budget_config: {openai: {budget_limit: lots}}}",
    ],
)
def test_a_value_that_cannot_be_is_a_fault(tmp_path: Path, text: str) -> None:
    """It names the section and the key."""
    with pytest.raises(SettingsError) as raised:
        read(tmp_path, text)
    name = text.removeprefix("router_settings: {").partition(":")[0]
    assert f"router_settings.{name}" in str(raised.value)


def routes(settings: Settings) -> dict[str, dict[str, object]]:
    """The actions of the deployments' routes, by name."""
    listed = virtual_host(settings)["routes"]
    return {each["name"].rpartition(":")[2]: each.get("route", {}) for each in listed}


def test_each_deployment_may_be_silent_for_its_own_time(tmp_path: Path) -> None:
    """Its own, or else the router's, LiteLLM's, Tollgate's."""
    text = "  - {model_name: o, litellm_params: {model: openai/z, api_key: k, timeout: 7.5}}\n"
    for section, wanted in (
        ("router_settings: {timeout: 30}", {"30s", "7.5s"}),
        ("litellm_settings: {request_timeout: 40}", {"40s", "7.5s"}),
        ("tollgate: {upstream_timeout_seconds: 50}", {"50s", "7.5s"}),
    ):
        found = read(tmp_path, text + section)
        silent = {
            str(each["idle_timeout"]) for each in routes(found).values() if "idle_timeout" in each
        }
        assert wanted <= silent
