"""Where the deployments of a file are: provider, key, address, wildcard."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.unit.settings.config_texts import TOPOLOGY, about, deployment, prices, read

from tollgate.adapters.prices import PriceBook
from tollgate.commands.printing import report
from tollgate.core.models.wildcards import Wildcards, fill
from tollgate.envoy_config.clusters.clusters import clusters
from tollgate.settings import Credential


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
