"""Configuration files as people have them from LiteLLM: what each means here, and what is said of
the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tollgate.adapters.prices import PriceBook
from tollgate.app.base import terms
from tollgate.commands.printing import report
from tollgate.core.errors import SettingsError
from tollgate.core.models.wildcards import Wildcards, fill
from tollgate.envoy_config.clusters.clusters import clusters
from tollgate.settings import Credential, Settings, load
from tollgate.topology import Address, Topology

TOPOLOGY = Topology(Address(host="127.0.0.1", port=4000), (Address(path="/w"),), Address(path="/a"))
ONE = "model_list: [{model_name: m, litellm_params: {model: openai/gpt-4o, api_key: k}}]\n"


def read(tmp_path: Path, text: str, allow_unenforced: bool = False, **environment: str) -> Settings:
    file = tmp_path / "file.yaml"
    file.write_text(text)
    return load(file, environment, allow_unenforced=allow_unenforced)


def deployment(tmp_path: Path, params: str, **environment: str) -> Settings:
    return read(
        tmp_path, f"model_list: [{{model_name: m, litellm_params: {{{params}}}}}]", **environment
    )


def faults(tmp_path: Path, text: str, **environment: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        read(tmp_path, text, **environment)
    return [line.partition(": ")[2] for line in str(raised.value).splitlines()]


def about(settings: Settings, name: str) -> list[str]:
    return [each for each in settings.notices if name in each]


@pytest.mark.parametrize(
    "section",
    [
        "litellm_settings",
        "general_settings",
        "router_settings",
        "tollgate",
        "model_list",
        "environment_variables",
        "include",
    ],
)
def test_an_empty_section_is_as_if_absent(tmp_path: Path, section: str) -> None:
    """YAML makes null of a name with nothing after it."""
    text = (
        f"general_settings: {{master_key: sk-a}}\n{section}:\n"
        if section != "general_settings"
        else f"{section}:\n"
    )
    assert read(tmp_path, text, LITELLM_MASTER_KEY="sk-a") == read(
        tmp_path, "{}", LITELLM_MASTER_KEY="sk-a"
    )


def test_a_null_in_a_section_is_as_if_absent(tmp_path: Path) -> None:
    """In our own section too, and in what is not served: it asks for nothing."""
    found = read(
        tmp_path,
        "tollgate: {port: null}\ngeneral_settings: {database_url: null, allowed_routes: null}\n",
    )
    assert (found.tollgate.port, about(found, "database_url"), about(found, "allowed_routes")) == (
        4000,
        [],
        [],
    )


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    """A line for each, with its place, what it is, and what would be right."""
    told = faults(
        tmp_path,
        """
model_list:
  - {model_name: a, litellm_params: {model: openai/x, api_base: os.environ/NOWHERE}}
  - {model_name: b, litellm_params: {model: openai/x, weight: -1}}
  - {model_name: c, litellm_params: {model: openai/x, api_base: "ftp://h"}}
  - {model_name: d, litellm_params: {model: openai/x, input_cost_per_token: much},
      model_info: {output_cost_per_token: -1}}
  - {litellm_params: {model: openai/x}}
  - text
litellm_settings: {max_budget: ten dollars, max_end_user_budget: -1}
general_settings: []
router_settings: {model_group_alias: {x: {hidden: true}}}
tollgate: {port: often, colour: red, redis_url: os.environ/NO_STORE}
""",
    )
    for wanted in (
        "model_list: a: litellm_params.api_base: the environment variable NOWHERE is not set",
        "model_list: b: litellm_params.weight: must be a number from 0 up (got -1)",
        "model_list: c: api_base 'ftp://h' is not an http or https address",
        "model_list: d: litellm_params: input_cost_per_token: must be dollars",
        "model_list: d: model_info: output_cost_per_token: must be dollars",
        "model_list.4.model_name: must be a name (got None)",
        "model_list.5: must be a mapping",
        "litellm_settings.max_budget: must be an amount of dollars, 0 or more (got 'ten dollars')",
        "litellm_settings.max_end_user_budget: must be an amount of dollars, 0 or more (got -1)",
        "general_settings: must be a mapping of names to values (got [])",
        "router_settings.model_group_alias.x.model: Field required",
        "tollgate.port: must be a whole number (got 'often')",
        "tollgate.colour: Extra inputs are not permitted",
        "tollgate.redis_url: the environment variable NO_STORE is not set",
    ):
        assert [line for line in told if line.startswith(wanted)], (wanted, told)
    assert len(told) == 14


def test_no_fault_shows_a_secret(tmp_path: Path) -> None:
    """What stands where a key should is not printed."""
    (told,) = faults(
        tmp_path, "model_list: [{model_name: m, litellm_params: {model: x, api_key: [sk-secret]}}]"
    )
    assert "sk-secret" not in told


def test_variables_matter_only_where_they_are_served(tmp_path: Path) -> None:
    """What is not served is one notice, set or not."""
    found = read(
        tmp_path,
        ONE
        + """
litellm_settings:
  cache_params: {password: os.environ/CACHE_PASSWORD}
  default_team_settings: [{team_id: blue, langfuse_secret: os.environ/LANGFUSE}]
router_settings: {redis_host: os.environ/ROUTER}
general_settings: {master_key: sk-a, database_url: os.environ/DATABASE_URL}
files_settings: [{custom_llm_provider: azure, api_key: os.environ/FILES}]
""",
    )
    assert sorted(found.notices) == [
        "files_settings: not served by Tollgate, ignored",
        "general_settings.database_url: not served by Tollgate, ignored",
        "litellm_settings.cache_params: not served by Tollgate, ignored",
        "litellm_settings.default_team_settings: not served by Tollgate, ignored",
        "router_settings.redis_host: not served by Tollgate, ignored",
    ]


def test_included_files_are_read_as_if_they_stood_there(tmp_path: Path) -> None:
    """Lists are joined, of other sections the included one stands, paths are relative to their
    file, each is read once.
    """
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "models.yaml").write_text(
        "include: [more.yaml, ../file.yaml]\nmodel_list: [{model_name: b, litellm_params: {model:"
        " openai/x}}]"
    )
    (tmp_path / "deep" / "more.yaml").write_text(
        "model_list: [{model_name: c, litellm_params: {model: openai/x}}]\nlitellm_settings:"
        " {max_budget: 25}\n"
    )
    found = read(
        tmp_path,
        "include: [deep/models.yaml]\nlitellm_settings: {max_budget: 5, budget_duration: 30d}\n"
        "model_list: [{model_name: a, litellm_params: {model: openai/x}}]",
    )
    assert [each.model_name for each in found.entries] == ["a", "b", "c"]
    assert (found.litellm.max_budget, found.litellm.budget_duration) == (Decimal(25), None)


def test_an_included_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With the file that names it."""
    (told,) = faults(tmp_path, "include: [lost.yaml]")
    assert told.startswith("include: cannot read ")
    assert "lost.yaml" in told


def test_a_file_may_bring_variables_of_its_own(tmp_path: Path) -> None:
    """They win over the process's own, with a notice; one may name another; what changes programs
    is not taken.
    """
    found = read(
        tmp_path,
        """
environment_variables:
  KEY: sk-written-here
  BASE: os.environ/OUTSIDE
  AGAIN: os.environ/BASE
  LD_PRELOAD: /tmp/x.so
  PATH: /tmp
  LITELLM_MASTER_KEY: sk-inside
  NUMBER: 3
model_list:
  - {model_name: m, litellm_params: {model: openai/x, api_base: os.environ/AGAIN,
      api_key: os.environ/KEY, weight: os.environ/NUMBER}}
""",
        OUTSIDE="http://h/v1",
        KEY="sk-outside",
    )
    (served,) = found.entries
    assert (served.api_base, served.weight, found.master_key) == ("http://h/v1", 3, "sk-inside")
    assert found.credentials == {"m": Credential("KEY", "sk-written-here")}
    assert sorted(found.notices) == [
        "environment_variables.KEY: overrides the variable of the process",
        "environment_variables.LD_PRELOAD: not accepted from a file",
        "environment_variables.PATH: not accepted from a file",
    ]
    assert "sk-written-here" not in "\n".join(report.describe(found, {}))


def test_variables_that_name_each_other_are_not_set(tmp_path: Path) -> None:
    """No endless look-up."""
    assert faults(
        tmp_path,
        "environment_variables: {A: os.environ/B, B: os.environ/A}\n"
        "model_list: [{model_name: m, litellm_params: {model: x, api_base: os.environ/A}}]",
    ) == ["model_list: m: litellm_params.api_base: the environment variable A is not set"]


@pytest.mark.parametrize(
    ("model", "served"),
    [
        ("claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5-20250929"),
        ("gpt-4o", "openai/gpt-4o"),
        ("o3", "openai/o3"),
        ("ft:gpt-4o-mini:acme::id", "openai/ft:gpt-4o-mini:acme::id"),
        ("text-embedding-3-small", "openai/text-embedding-3-small"),
        ("whisper-1", "openai/whisper-1"),
        ("command-r-plus-08-2024", "cohere/command-r-plus-08-2024"),
        ("embed-english-v3.0", "cohere/embed-english-v3.0"),
        ("gemini-2.5-flash", "gemini/gemini-2.5-flash"),
        ("mistral-large-latest", "mistral/mistral-large-latest"),
        ("grok-4", "xai/grok-4"),
        (
            "anthropic.claude-3-5-sonnet-20240620-v1:0",
            "bedrock/anthropic.claude-3-5-sonnet-20240620-v1:0",
        ),
        ("us.amazon.nova-lite-v1:0", "bedrock/us.amazon.nova-lite-v1:0"),
        ("our-own-finetune", "openai/our-own-finetune"),
    ],
)
def test_a_model_without_a_provider_is_its_makers(tmp_path: Path, model: str, served: str) -> None:
    """One that nobody knows is taken for OpenAI's, and that is said."""
    found = deployment(tmp_path, f"model: '{model}'", AWS_REGION="eu-west-1")
    (each,) = found.entries
    assert f"{each.provider}/{each.model}" == served
    assert bool(about(found, "is assumed")) == (model == "our-own-finetune")


def test_gemini_is_vertex_where_a_project_says_so(tmp_path: Path) -> None:
    """The same model is sold at two doors."""
    (each,) = deployment(tmp_path, "model: gemini-2.5-pro, vertex_project: p").entries
    assert (each.provider, each.vertex_location) == ("vertex_ai", "us-central1")


def test_at_another_address_than_googles_the_clients_location_stands(tmp_path: Path) -> None:
    """Only Google's own address names one; a made-up one would also raise the price of Claude."""
    found = deployment(tmp_path, "model: vertex_ai/gemini-2.5-pro, api_base: 'http://h'")
    assert found.deployments[0].vertex_location is None
    assert not about(found, "vertex_location")


def test_a_provider_may_stand_by_itself(tmp_path: Path) -> None:
    """As custom_llm_provider."""
    (each,) = deployment(tmp_path, "model: meta/llama, custom_llm_provider: groq").deployments
    assert (each.provider, each.model) == ("groq", "meta/llama")


@pytest.mark.parametrize(
    ("model", "variables", "taken"),
    [
        ("openai/x", {"OPENAI_API_KEY": "k"}, "OPENAI_API_KEY"),
        ("anthropic/x", {"ANTHROPIC_API_KEY": "k"}, "ANTHROPIC_API_KEY"),
        ("gemini/x", {"GEMINI_API_KEY": "k"}, "GEMINI_API_KEY"),
        ("gemini/x", {"GEMINI_API_KEY": "k", "GOOGLE_API_KEY": "j"}, "GOOGLE_API_KEY"),
        ("groq/x", {"OPENAI_API_KEY": "k"}, None),
        ("groq/x", {"GROQ_API_KEY": ""}, None),
        ("hosted_vllm/x", {"HOSTED_VLLM_API_KEY": "k"}, "HOSTED_VLLM_API_KEY"),
        ("together_ai/x", {"TOGETHERAI_API_KEY": "k"}, "TOGETHERAI_API_KEY"),
    ],
)
def test_a_key_is_where_its_provider_looks_for_it(
    tmp_path: Path, model: str, variables: Mapping[str, str], taken: str | None
) -> None:
    """Unless the file says where; one that is empty is none."""
    found = deployment(tmp_path, f"model: {model}, api_base: 'http://h/v1'", **variables)
    assert list({each.variable: None for each in found.credentials.values()}) == (
        [] if taken is None else [taken]
    )
    said = "\n".join(report.describe(found, variables))
    assert (f"key in {taken}" if taken else "no key (GROQ_API_KEY is not set)") in said


def test_the_file_says_where_a_key_is_before_any_variable(tmp_path: Path) -> None:
    """And clients' own credentials go on without any of ours."""
    own = deployment(
        tmp_path, "model: openai/x, api_key: os.environ/MINE", OPENAI_API_KEY="k", MINE="m"
    )
    assert own.credentials["m"].variable == "MINE"
    assert not deployment(
        tmp_path, "model: openai/x, pass_credentials: true", OPENAI_API_KEY="k"
    ).credentials


def test_the_master_key_may_come_from_outside(tmp_path: Path) -> None:
    """LITELLM_MASTER_KEY; where the file names another variable, that one is meant."""
    assert read(tmp_path, ONE, LITELLM_MASTER_KEY="sk-out").master_key == "sk-out"
    assert not about(read(tmp_path, ONE, LITELLM_MASTER_KEY="sk-out"), "administer")
    assert about(read(tmp_path, ONE), "administer")
    named = read(
        tmp_path,
        ONE + "general_settings: {master_key: os.environ/OTHER}",
        LITELLM_MASTER_KEY="sk-out",
    )
    assert named.master_key is None


@pytest.mark.parametrize(
    ("model", "variables", "api_base"),
    [
        (
            "openai/x",
            {"OPENAI_BASE_URL": "http://b/v1", "OPENAI_API_BASE": "http://a/v1"},
            "http://b/v1",
        ),
        ("openai/x", {"OPENAI_API_BASE": "http://a/v1"}, "http://a/v1"),
        ("anthropic/x", {"ANTHROPIC_BASE_URL": "http://b"}, "http://b"),
        (
            "anthropic/x",
            {"ANTHROPIC_BASE_URL": "http://b", "ANTHROPIC_API_BASE": "http://a"},
            "http://a",
        ),
        ("hosted_vllm/x", {"HOSTED_VLLM_API_BASE": "http://v/v1/"}, "http://v/v1"),
        ("ollama_chat/x", {"OLLAMA_API_BASE": "http://o"}, "http://o"),
        ("azure/x", {"AZURE_API_BASE": "https://r.openai.azure.com"}, "https://r.openai.azure.com"),
        ("mistral/x", {}, "https://api.mistral.ai/v1"),
    ],
)
def test_an_address_is_where_its_provider_looks_for_it(
    tmp_path: Path, model: str, variables: Mapping[str, str], api_base: str
) -> None:
    """Unless the file names one."""
    (each,) = deployment(tmp_path, f"model: {model}", **variables).entries
    assert each.api_base == api_base
    (named,) = deployment(
        tmp_path, f"model: {model}, base_url: os.environ/F", F="http://f", **variables
    ).entries
    assert named.api_base == "http://f"


def test_a_deployment_without_an_address_is_left_out(tmp_path: Path) -> None:
    """One line says what to set; the others are served."""
    text = """
model_list:
  - {model_name: qwen, litellm_params: {model: hosted_vllm/Qwen/Qwen3-8B}}
  - {model_name: other, litellm_params: {model: openai/gpt-4o}}
"""
    found = read(tmp_path, text)
    assert [each.model_name for each in found.entries] == ["other"]
    (line,) = found.warnings
    assert "qwen" in line
    assert "HOSTED_VLLM_API_BASE" in line
    assert "left out" in line
    assert about(found, "qwen") == []


@pytest.mark.parametrize(
    ("params", "variables", "region"),
    [
        ("", {"AWS_REGION_NAME": "eu-central-1", "AWS_REGION": "eu-west-1"}, "eu-central-1"),
        ("", {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-2"}, "eu-west-1"),
        ("", {"AWS_DEFAULT_REGION": "eu-west-2"}, "eu-west-2"),
        (", aws_region_name: eu-north-1", {"AWS_REGION_NAME": "eu-central-1"}, "eu-north-1"),
        ("", {}, "us-west-2"),
    ],
)
def test_bedrock_is_in_the_region_that_something_names(
    tmp_path: Path, params: str, variables: Mapping[str, str], region: str
) -> None:
    """Where nothing does, LiteLLM's own, and that is said."""
    found = deployment(tmp_path, f"model: 'bedrock/amazon.nova-lite-v1:0'{params}", **variables)
    (each,) = found.entries
    assert (each.region, each.api_base) == (
        region,
        f"https://bedrock-runtime.{region}.amazonaws.com",
    )
    assert bool(about(found, "us-west-2")) == (region == "us-west-2")


def test_azure_is_where_the_environment_says(tmp_path: Path) -> None:
    """Address, key and version; the price is that of the base_model."""
    found = read(
        tmp_path,
        "model_list: [{model_name: m, litellm_params: {model: azure/prod}, model_info: {base_model:"
        " azure/gpt-4o}}]",
        AZURE_API_BASE="http://h",
        AZURE_API_KEY="az-1",
        AZURE_API_VERSION="2024-10-21",
    )
    (each,) = found.entries
    assert (each.api_base, each.api_version) == ("http://h", "2024-10-21")
    assert found.credentials["m"] == Credential("AZURE_API_KEY")
    assert prices(found)["m"] == ("2.5", "10")


def test_an_alias_stands_for_a_model_of_the_list(tmp_path: Path) -> None:
    """Or for one that a wildcard serves; others are told."""
    found = read(
        tmp_path,
        """
model_list:
  - {model_name: mini, litellm_params: {model: openai/gpt-4o-mini}}
  - {model_name: eu-*, litellm_params: {model: openai/*}}
router_settings:
  model_group_alias: {gpt-4: mini, old: {model: mini, hidden: true}, far: eu-gpt-4o, lost: nobody}
litellm_settings: {model_alias_map: {nick: mini}}
""",
    )
    assert {name: (each.model, each.hidden) for name, each in found.aliases.items()} == {
        "nick": ("mini", False),
        "gpt-4": ("mini", False),
        "old": ("mini", True),
        "far": ("eu-gpt-4o", False),
    }
    assert len(about(found, "lost")) == 1


def test_what_a_router_does_is_told_where_it_is_not_served(tmp_path: Path) -> None:
    """One notice each; weights are served.

    Numbers that came as text are none of our business there.
    """
    found = read(
        tmp_path,
        """
model_list:
  - {model_name: m, litellm_params: {model: openai/gpt-4o, rpm: 600, weight: 3, max_retries: "2"}}
router_settings: {routing_strategy: simple-shuffle, num_retries: "2", cooldown_time: 30,
    fallbacks: [{m: [n]}]}
litellm_settings: {context_window_fallbacks: [{m: [n]}]}
""",
        LITELLM_MASTER_KEY="sk-a",
    )
    assert found.deployments[0].weight == 3
    assert {each.removesuffix(": not served by Tollgate, ignored") for each in found.notices} == {
        "model_list: m: litellm_params.rpm",
        "model_list: m: litellm_params.max_retries",
        "router_settings.num_retries",
        "router_settings.cooldown_time",
        "router_settings.fallbacks",
        "litellm_settings.context_window_fallbacks",
    }


@pytest.mark.parametrize(
    "setting",
    [
        "general_settings: {allowed_ips: [10.0.0.1]}",
        "general_settings: {enforce_user_param: true}",
        "litellm_settings: {upperbound_key_generate_params: {max_budget: 100}}",
        "router_settings: {provider_budget_config: {openai: {budget_limit: 1, time_period: 1d}}}",
        "model_list: [{model_name: m, litellm_params: {model: openai/x, max_budget: 1}}]",
    ],
)
def test_what_restricts_and_is_not_served_is_a_fault(tmp_path: Path, setting: str) -> None:
    """Silence would be a hole. Whoever starts it all the same is told."""
    (told,) = faults(tmp_path, setting)
    assert "restricts calls" in told
    assert "--allow-unenforced" in told
    (notice,) = about(read(tmp_path, setting, allow_unenforced=True), "restricts")
    assert notice in told


def test_what_is_switched_off_restricts_nobody(tmp_path: Path) -> None:
    """It is a notice like any other."""
    assert about(
        read(tmp_path, "general_settings: {enforce_user_param: false, allowed_ips: []}"), "ignored"
    )


def test_a_limit_that_litellm_has_elsewhere_is_served(tmp_path: Path) -> None:
    """Unless our own section says the same."""
    text = "general_settings: {global_max_parallel_requests: 7}\n"
    assert read(tmp_path, text).tollgate.proxy_max_parallel_requests == 7
    assert (
        read(
            tmp_path, text + "tollgate: {proxy_max_parallel_requests: 3}"
        ).tollgate.proxy_max_parallel_requests
        == 3
    )


def test_callbacks_and_guardrails_are_told(tmp_path: Path) -> None:
    """One line each; a guardrail that always applies is told as one that calls pass without."""
    found = read(
        tmp_path,
        """
guardrails:
  - {guardrail_name: always, litellm_params: {guardrail: presidio, mode: pre_call,
      default_on: true, base: os.environ/P}}
  - {guardrail_name: asked, litellm_params: {guardrail: lakera_v2, mode: during_call,
      api_key: os.environ/L}}
callback_settings: {otel: {message_logging: false}}
litellm_settings: {callbacks: [prometheus], success_callback: [s3]}
""",
        LITELLM_MASTER_KEY="sk-a",
    )
    assert sorted(found.notices) == [
        "callback_settings: not served by Tollgate, ignored",
        "guardrails: always: not served by Tollgate: calls pass without it",
        "guardrails: asked: not served by Tollgate, ignored",
        "litellm_settings.callbacks: not served by Tollgate, ignored",
        "litellm_settings.success_callback: not served by Tollgate, ignored",
    ]


def test_prices_may_stand_under_model_info(tmp_path: Path) -> None:
    """Those of litellm_params win where both stand."""
    found = read(
        tmp_path,
        """
model_list:
  - model_name: rented
    litellm_params: {model: openai/x}
    model_info: {input_cost_per_token: 0.000001, output_cost_per_token: 0.000004}
  - model_name: both
    litellm_params: {model: openai/x, input_cost_per_token: 0.000001,
        output_cost_per_token: 0.000002}
    model_info: {input_cost_per_token: 0.5, output_cost_per_token: 0.5}
  - model_name: own
    litellm_params: {model: openai/x}
    model_info: {input_cost_per_token: 0, output_cost_per_token: 0}
""",
    )
    assert prices(found) == {"rented": ("1", "4"), "both": ("1", "2"), "own": ("0", "0")}
    assert not about(found, "cost_per_token")


def test_a_base_model_is_priced_whoever_serves_it(tmp_path: Path) -> None:
    """One that the table does not know is told."""
    found = read(
        tmp_path,
        """
model_list:
  - {model_name: sonnet, litellm_params: {model: openai/hub},
      model_info: {base_model: anthropic/claude-sonnet-4-5}}
  - {model_name: 4o, litellm_params: {model: hosted_vllm/y, api_base: "http://h"},
      model_info: {base_model: openai/gpt-4o}}
  - {model_name: lost, litellm_params: {model: openai/hub},
      model_info: {base_model: openai/nobodys-model}}
""",
    )
    assert prices(found) == {"sonnet": ("3", "15"), "4o": ("2.5", "10")}
    (line,) = [each for each in report.describe(found, {}) if "base_model" in each]
    assert "lost" in line
    assert "nobodys-model" in line


def test_keys_that_are_not_set_are_named(tmp_path: Path) -> None:
    """A file that is only looked at has no fault; a start names each."""
    found = deployment(tmp_path, "model: openai/x, api_key: os.environ/OPENAI_API_KEY")
    assert "key in OPENAI_API_KEY (not set)" in "\n".join(report.describe(found, {}))
    assert found.missing_variables({}) == ["m: the environment variable OPENAI_API_KEY is not set"]


def test_a_wildcard_has_one_cluster_and_each_model_its_own_price(tmp_path: Path) -> None:
    """In Envoy's configuration it is a deployment like any other."""
    found = read(
        tmp_path,
        "model_list: [{model_name: 'openai/*', litellm_params: {model: 'openai/*', api_key: k}}]",
    )
    names = [each["name"] for each in clusters(found, TOPOLOGY)]
    assert [each for each in names if each.startswith("deployment/")] == [
        "deployment/openai/*",
        "deployment/tollgate-probe",
    ]
    assert "each model's own price" in "\n".join(report.describe(found, {}))


WHOEVER = "model_list: [{{model_name: '{}', litellm_params: {{model: '*'{}}}}}]"


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("anthropic/claude-haiku-4-5", ("anthropic", "claude-haiku-4-5")),
        ("claude-haiku-4-5", ("anthropic", "claude-haiku-4-5")),
        ("gemini-2.5-flash", ("gemini", "gemini-2.5-flash")),
        ("groq/llama-3.3-70b-versatile", ("groq", "llama-3.3-70b-versatile")),
        ("grok-4", ("xai", "grok-4")),
        ("gpt-4o-mini", ("openai", "gpt-4o-mini")),
        ("openai/gpt-4o-mini", ("openai", "gpt-4o-mini")),
        ("nobodys-model", ("openai", "nobodys-model")),
    ],
)
@pytest.mark.parametrize("before", ["", "our/"])
def test_a_model_that_is_a_star_goes_to_the_provider_that_callers_name(
    tmp_path: Path, before: str, asked: str, served: tuple[str, str]
) -> None:
    """By its prefix, or by who makes it; what nobody is known to make is OpenAI's."""
    found = read(tmp_path, WHOEVER.format(f"{before}*", ""))
    name = Wildcards(each.model_name for each in found.deployments).find_wildcard(before + asked)
    assert name is not None
    first = next(each for each in found.deployments if each.model_name == name)
    assert (first.provider, fill(name, before + asked, first.model)) == served


def test_a_model_that_is_a_star_with_an_address_is_one_server(tmp_path: Path) -> None:
    """It takes whatever is asked for."""
    found = read(tmp_path, WHOEVER.format("*", ", api_base: 'http://h/v1', api_key: k"))
    assert [(each.model_name, each.model) for each in found.deployments] == [("*", "*")]


def prices(settings: Settings) -> dict[str, tuple[str, str]]:
    """Dollars per million tokens of input and output, by deployment."""
    book = PriceBook(settings.deployments, settings.prices).at(datetime(2026, 11, 27, tzinfo=UTC))
    return {
        name: tuple(
            f"{Decimal(rate).scaleb(-9).normalize():f}"
            for rate in (price.tiers[0].input, price.tiers[0].output)
        )  # type: ignore[misc]
        for name, price in book.items()
    }


@pytest.mark.parametrize(
    ("params", "served", "api_base"),
    [
        ("model: anthropic/claude-x", "claude-x", "https://api.anthropic.com/v1"),
        ('model: anthropic/c, api_base: "http://h/p/v1"', "c", "http://h/p/v1"),
        (
            "model: gemini/gemini-x",
            "gemini-x",
            "https://generativelanguage.googleapis.com/v1beta/openai",
        ),
        (
            "model: vertex_ai/gemini-x, vertex_project: p, vertex_location: l",
            "google/gemini-x",
            "https://l-aiplatform.googleapis.com/v1/projects/p/locations/l/endpoints/openapi",
        ),
        (
            "model: bedrock/openai.gpt-oss-20b-1:0, aws_region_name: r",
            "openai.gpt-oss-20b-1:0",
            "https://bedrock-runtime.r.amazonaws.com/openai/v1",
        ),
    ],
)
def test_a_vendors_model_is_served_to_openais_clients_too(
    tmp_path: Path, params: str, served: str, api_base: str
) -> None:
    """At the address that the vendor has for them, with the same key and at the same price."""
    found = deployment(tmp_path, params, ANTHROPIC_API_KEY="a", GEMINI_API_KEY="g")
    own, beside = found.deployments
    assert (beside.model, beside.api_base, beside.model_name) == (served, api_base, own.model_name)
    assert found.credentials.get(beside.id) == found.credentials.get(own.id)
    prices = PriceBook(found.deployments, found.prices).at(datetime(2026, 11, 27, tzinfo=UTC))
    assert prices.get(beside.id) == prices.get(own.id)


@pytest.mark.parametrize(
    "params",
    [
        "model: openai/gpt-4o",
        "model: cohere/command-a",
        "model: bedrock/anthropic.claude-x-v1:0, aws_region_name: r",
        "model: vertex_ai/claude-x, vertex_project: p, vertex_location: l",
        "model: vertex_ai/gemini-x, vertex_location: l",
    ],
)
def test_what_no_vendor_serves_to_openais_clients_is_served_one_way(
    tmp_path: Path, params: str
) -> None:
    """By its own API alone; Vertex' address names a project."""
    assert len(deployment(tmp_path, params).deployments) == 1


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        (
            'proxy_rpm_limit: 5, limits: [{meter: requests, amount: 9, per: "1m"}]',
            "tollgate: proxy_rpm_limit and limits limit the requests of one window differently",
        ),
        (
            "limits: [{meter: tokens, amount: 5, per: 1d}, {meter: tokens, amount: 9, per: 24h}]",
            "tollgate: limits and limits limit the tokens of one window differently",
        ),
    ],
)
def test_two_amounts_for_one_window_of_all_calls_are_a_fault(
    tmp_path: Path, ours: str, expected: str
) -> None:
    """Both would count with the same counter, each call twice."""
    assert [line.partition(" (got")[0] for line in faults(tmp_path, f"tollgate: {{{ours}}}")] == [
        expected
    ]


def test_a_limit_of_all_calls_that_is_said_twice_is_one(tmp_path: Path) -> None:
    """However it is spelled."""
    twice = 'proxy_rpm_limit: 5, limits: [{meter: requests, amount: 5, per: "1m"}]'
    policy = terms(read(tmp_path, f"tollgate: {{{twice}}}")).policy
    assert [each.amount for each in policy.proxy.limits] == [5]
