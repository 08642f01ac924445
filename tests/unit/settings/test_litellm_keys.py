"""Keys of LiteLLM's files that are served, that stop the start, or that leave a model out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.settings.config_texts import ONE, about, deployment, faults, read

from tollgate.core.errors import SettingsError
from tollgate.core.limits.accounts import Meter
from tollgate.core.limits.limit import Bucket
from tollgate.envoy_config.http_filters.filters import http_filters
from tollgate.settings import load
from tollgate.settings.entries.dimension_settings import customer_headers


@pytest.mark.parametrize(
    "key",
    [
        "general_settings.allowed_ips: [10.0.0.1]",
        "general_settings.custom_key_generate: hooks.generate",
        "general_settings.max_in_flight_requests_per_worker: 20",
        "general_settings.service_account_settings: {enforced_params: [user]}",
        "general_settings.blocked_file_extensions: [exe]",
        "litellm_settings.block_requests_for_models_without_pricing: true",
        "litellm_settings.budget_rollover: true",
        "litellm_settings.cost_margin_config: {global: 0.1}",
        "litellm_settings.validate_end_user_id_in_db: true",
        "router_settings.enable_tag_filtering: true",
    ],
)
def test_what_restricts_and_is_not_served_stops_the_start(tmp_path: Path, key: str) -> None:
    """Ignored, it would be a hole; switched off, it asks for nothing."""
    section, name, value = key.replace(".", ": ", 1).split(": ", 2)
    (told,) = faults(tmp_path, f"{section}: {{{name}: {value}}}")
    assert told.startswith(f"{section}.{name}: restricts calls, and is not served by Tollgate")
    assert not about(
        read(tmp_path, f"{section}: {{{name}: {value}}}", allow_unenforced=True), "ignored"
    )
    read(tmp_path, f"{section}: {{{name}: 'False'}}")


@pytest.mark.parametrize(
    ("where", "key"),
    [
        ("litellm_params", "default_api_key_rpm_limit: 5"),
        ("litellm_params", "max_file_size_mb: 5"),
        ("model_info", "team_id: blue"),
    ],
)
def test_what_restricts_one_model_stops_the_start_too(tmp_path: Path, where: str, key: str) -> None:
    """With the model's name."""
    params = "model: openai/x, api_key: k" + (f", {key}" if where == "litellm_params" else "")
    info = key if where == "model_info" else ""
    (told,) = faults(
        tmp_path,
        f"model_list: [{{model_name: m, litellm_params: {{{params}}}, model_info: {{{info}}}}}]",
    )
    assert told.startswith(f"model_list: m: {where}.{key.partition(':')[0]}: restricts calls")


def test_a_store_that_lets_calls_pass_contradicts_a_file_that_wants_them_refused(
    tmp_path: Path,
) -> None:
    """By itself it asks for what Tollgate does anyway."""
    wanted = "general_settings: {fail_closed_budget_enforcement: true}\n"
    assert not about(read(tmp_path, wanted), "fail_closed")
    (told,) = faults(tmp_path, wanted + "tollgate: {on_store_error: allow}")
    assert told.startswith("general_settings.fail_closed_budget_enforcement: contradicts")


CREDENTIALS = """
credential_list:
  - credential_name: west
    credential_values: {api_key: os.environ/WEST, api_base: "https://west.example/v1"}
    credential_info: {description: x}
"""


def test_an_entry_takes_the_values_of_the_credential_that_it_names(tmp_path: Path) -> None:
    """Its own come first."""
    found = read(
        tmp_path,
        CREDENTIALS
        + """
model_list:
  - {model_name: a, litellm_params: {model: openai/x, litellm_credential_name: west}}
  - {model_name: b, litellm_params: {model: openai/x, litellm_credential_name: west, api_key: k}}
  - {model_name: c, litellm_params: {model: openai/x, litellm_credential_name: east}}
""",
        OPENAI_API_KEY="usual",
    )
    keys = {name: (each.variable, each.value) for name, each in found.credentials.items()}
    assert (keys["a"], keys["b"][1]) == (("WEST", None), "k")
    assert [each.api_base for each in found.entries][:2] == ["https://west.example/v1"] * 2
    assert (found.warnings[0].startswith("model_list: c: credential_list has no"), keys["c"]) == (
        True,
        ("OPENAI_API_KEY", None),
    )


@pytest.mark.parametrize(
    "text", ["{a: b}", "[text]", "[{credential_name: a, credential_values: 3}]"]
)
def test_a_credential_that_cannot_be_read_is_a_fault(tmp_path: Path, text: str) -> None:
    """And nothing of it is printed."""
    (told,) = faults(tmp_path, f"credential_list: {text}")
    assert told.startswith("credential_list")
    assert "text" not in told


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("litellm_params: {model: openai/x, mock_response: hi}", "mock_response"),
        ("litellm_params: {model: azure/, api_base: 'https://h'}", "names no model of azure"),
        ("blocked: true, litellm_params: {model: openai/x}", "blocked is true"),
    ],
)
def test_what_would_call_something_else_than_meant_is_left_out(
    tmp_path: Path, entry: str, why: str
) -> None:
    """The others are served."""
    other = "{model_name: b, litellm_params: {model: x}}"
    found = read(tmp_path, f"model_list: [{{model_name: a, {entry}}}, {other}]")
    assert [each.model_name for each in found.entries] == ["b"]
    (told,) = found.warnings
    assert (why in told, told.endswith("it is left out")) == (True, True)


def test_limits_of_a_day_and_of_one_direction_are_the_deployments(tmp_path: Path) -> None:
    """Also beside litellm_params, and as text."""
    found = read(
        tmp_path,
        "model_list: [{model_name: m, rpd: 9, litellm_params: {model: openai/x, tpd: '100',"
        " itpm: 7, otpm: 8}}]",
    )
    ((_, limits),) = found.upstreams["m"]
    assert {(each.meter, each.amount, each.window) for each in limits.limits} == {
        (Meter.REQUESTS, 9, Bucket(86_400)),
        (Meter.TOKENS, 100, Bucket(86_400)),
        (Meter.INPUT_TOKENS, 7, Bucket(60)),
        (Meter.OUTPUT_TOKENS, 8, Bucket(60)),
    }


@pytest.mark.parametrize(
    ("weights", "shares"),
    [((0.9, 0.1), 9.0), ((2.5, 1), 2.5), (("0.75", "0.25"), 3.0), ((3, 1), 3.0)],
)
def test_weights_may_be_fractions(
    tmp_path: Path, weights: tuple[object, object], shares: float
) -> None:
    """As LiteLLM takes them."""
    one, other = (f"{{model_name: m, litellm_params: {{model: x, weight: {w}}}}}" for w in weights)
    found = read(tmp_path, f"model_list: [{one}, {other}]")
    first, second = (each.weight for each in found.entries)
    assert first / second == shares


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("litellm_params: {model: openai/x, vertex_project: 123}", ("vertex_project", "123")),
        ("litellm_params: {model: openai/x}, model_info: {id: 7}", ("id", "7")),
        (
            "litellm_params: {model: azure/x, api_base: 'https://h', api_version: 1}",
            ("api_version", "1"),
        ),
    ],
)
def test_a_number_where_text_is_meant_is_its_digits(
    tmp_path: Path, text: str, wanted: tuple[str, str]
) -> None:
    """YAML reads a bare number as one."""
    found = read(tmp_path, f"model_list: [{{model_name: m, {text}}}]")
    assert getattr(found.entries[0], wanted[0]) == wanted[1]


@pytest.mark.parametrize(
    ("general", "names"),
    [
        ("user_header_name: X-OpenWebUI-User-Id", ("x-openwebui-user-id",)),
        (
            "user_header_mappings: [{header_name: X-A, litellm_user_role: customer},"
            " {header_name: X-B, litellm_user_role: internal_user}], user_header_name: X-C",
            ("x-a",),
        ),
        ("user_header_mappings: {header_name: X-A, litellm_user_role: Customer}", ("x-a",)),
    ],
)
def test_a_header_names_customers_where_the_file_says_so(
    tmp_path: Path, general: str, names: tuple[str, ...]
) -> None:
    """After those that always do."""
    found = read(tmp_path, f"general_settings: {{{general}}}")
    assert customer_headers(found.tollgate.dimensions)[2:] == names
    native = found.tollgate.model_copy(update={"mode": "native"})
    filters = json.dumps(http_filters(replace(found, tollgate=native)))
    assert all(f'"exact": "{name}"' in filters for name in names)
    assert bool(about(found, "X-B") or about(found, "x-b")) == ("X-B" in general)


def test_the_size_of_a_request_is_bounded_as_the_file_says(tmp_path: Path) -> None:
    """Our own section comes first."""
    text = "general_settings: {max_request_size_mb: 2}\n"
    assert read(tmp_path, text).tollgate.max_request_bytes == 2 * 1024 * 1024
    own = read(tmp_path, text + "tollgate: {max_request_bytes: 100000}")
    assert own.tollgate.max_request_bytes == 100_000


@pytest.mark.parametrize(
    "router",
    [
        "num_retries: 50",
        "retry_policy: {TimeoutErrorRetries: 100}",
        "timeout: 9999999",
        "cooldown_time: 0",
        "fallbacks: [{m: [{model: n, temperature: 0}]}]",
    ],
)
def test_what_restricts_nobody_does_not_stop_the_start(tmp_path: Path, router: str) -> None:
    """However large it is."""
    found = read(tmp_path, ONE + f"router_settings: {{{router}}}")
    assert (found.retries.number or 0) <= 10
    assert found.cooldown is None
    assert found.fallbacks in ({}, {"m": ("n",)})


def test_a_price_that_is_not_charged_is_told_of(tmp_path: Path) -> None:
    """A price that has no counterpart, and a discount."""
    found = deployment(
        tmp_path, "model: openai/x, output_cost_per_second: 0.01, tiered_pricing: []"
    )
    for name in ("output_cost_per_second", "tiered_pricing"):
        (told,) = about(found, name)
        assert told.endswith("calls are charged without this price")


def test_the_values_of_litellms_chart_are_read(tmp_path: Path) -> None:
    """What is in its proxy_config is the configuration."""
    found = read(
        tmp_path, "image: {tag: x}\nproxy_config:\n  " + ONE.strip() + "\nreplicaCount: 1\n"
    )
    assert [each.model_name for each in found.entries] == ["m"]


def test_a_file_of_another_program_is_no_empty_configuration(tmp_path: Path) -> None:
    """It is said what stands in it instead."""
    file = tmp_path / "file.yaml"
    file.write_text("static_resources: {listeners: []}")
    with pytest.raises(SettingsError, match=r"has none of .* model_list.*'static_resources'"):
        load(file, {})


@pytest.mark.parametrize(
    "provider", ["deepinfra", "voyage", "dashscope", "vercel_ai_gateway", "zai"]
)
def test_a_provider_with_one_address_needs_none_in_the_file(tmp_path: Path, provider: str) -> None:
    """As LiteLLM knows it; `*` alone does not reach it."""
    found = deployment(tmp_path, f"model: {provider}/some/model, api_key: k")
    assert found.entries[0].api_base.startswith("https://")
    every = read(tmp_path, "model_list: [{model_name: '*', litellm_params: {model: '*'}}]")
    assert provider not in {each.provider for each in every.entries}


def test_only_administrators_use_a_console_where_the_file_says_so(tmp_path: Path) -> None:
    """`all` is the default."""
    for mode, only in (("admin_only", True), ("all", False)):
        found = read(tmp_path, f"general_settings: {{ui_access_mode: {mode}}}")
        assert found.administrators_console is only


@pytest.mark.parametrize(
    ("params", "model", "address"),
    [
        ("model: bedrock/converse/us.amazon.nova-pro", "us.amazon.nova-pro", "eu-west-3."),
        ("model: bedrock/invoke/a.b", "a.b", "eu-west-3."),
        ("model: bedrock/us-gov-west-1/a.b", "a.b", "us-gov-west-1."),
        ("model: bedrock/us-east-1/6-month-commitment/a.b", "a.b", "us-east-1."),
        ("model: bedrock_converse/a.b, aws_region_name: eu-north-1", "a.b", "eu-north-1."),
        (
            "model: 'bedrock/arn:aws:bedrock:us-east-2:1:inference-profile/x'",
            "arn:aws:bedrock:us-east-2:1:inference-profile/x",
            "us-east-2.",
        ),
        (
            "model: bedrock/a.b, model_id: 'arn:aws:bedrock:us-east-2:1:inference-profile/x'",
            "arn:aws:bedrock:us-east-2:1:inference-profile/x",
            "us-east-2.",
        ),
        ("model: openai/responses/o1-pro", "o1-pro", "https://api.openai.com/v1"),
        ("model: vertex_ai_beta/gemini-x, vertex_ai_location: us-east5", "gemini-x", "us-east5-"),
        ("model: gpt-x, custom_llm_provider: azure_text, api_base: 'https://h'", "gpt-x", "https://h"),
    ],
)  # fmt: skip
def test_the_way_in_which_litellm_calls_a_model_is_no_part_of_its_name(
    tmp_path: Path, params: str, model: str, address: str
) -> None:
    """A region in the name is that of the address."""
    found = deployment(tmp_path, f"{params}, api_key: k", AWS_REGION="eu-west-3").entries[0]
    assert (found.model, address in found.api_base) == (model, True)


def test_another_service_of_bedrocks_is_left_out(tmp_path: Path) -> None:
    """Its agents are no models."""
    found = deployment(tmp_path, "model: bedrock/agent/ABC/DEF")
    assert (found.entries, "another service" in found.warnings[0]) == ((), True)


@pytest.mark.parametrize(
    ("provider", "given", "called"),
    [
        ("openai", "http://h:8000/v1/chat/completions", "http://h:8000/v1"),
        ("openai", "http://h:8000/v1/", "http://h:8000/v1"),
        ("voyage", "https://h/v1/embeddings", "https://h/v1"),
        ("anthropic", "https://h/v1/messages", "https://h"),
        ("anthropic", "https://h/proxy/v1", "https://h/proxy"),
        ("gemini", "https://h/v1beta", "https://h"),
        ("azure", "https://h/openai/v1/", "https://h"),
        ("azure", "https://h/openai/deployments/d%20e/chat/completions?api-version=v", "https://h"),
        ("azure", "https://h/openai", "https://h"),
        ("azure_ai", "https://r.services.ai.azure.com/models", "https://r.services.ai.azure.com/openai/v1"),
        ("azure_ai", "https://r.eastus.models.ai.azure.com", "https://r.eastus.models.ai.azure.com/v1"),
        ("azure_ai", "https://h/own", "https://h/own"),
    ],
)  # fmt: skip
def test_what_a_path_adds_may_stand_in_the_address_already(
    tmp_path: Path, provider: str, given: str, called: str
) -> None:
    """Such as a provider's page shows it."""
    found = deployment(tmp_path, f"model: {provider}/x, api_key: k, api_base: '{given}'").entries[0]
    assert found.api_base == called


def test_azures_address_may_tell_deployment_and_version(tmp_path: Path) -> None:
    """As its portal shows it; a version of the file comes first."""
    given = "https://h/openai/deployments/d%20e/chat/completions?api-version=2024-10-21"
    params = f"model: azure/x, api_key: k, api_base: '{given}'"
    found = deployment(tmp_path, params).entries[0]
    assert (found.model, found.api_version) == ("d e", "2024-10-21")
    assert deployment(tmp_path, f"{params}, api_version: v").entries[0].api_version == "v"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("litellm_settings: {default_fallbacks: m}", "must be a list (got 'm')"),
        ("router_settings: {model_group_alias: [a]}", "must be a mapping (got ['a'])"),
        ("router_settings: {disable_cooldowns: maybe}", "must be true or false (got 'maybe')"),
        ("general_settings: {max_parallel_requests: 1000000000000}", "must be at most 1"),
    ],
)
def test_a_fault_says_what_would_be_right(tmp_path: Path, text: str, told: str) -> None:
    """In words of the file, not of a library."""
    (fault,) = faults(tmp_path, text)
    assert f": {told}" in fault
