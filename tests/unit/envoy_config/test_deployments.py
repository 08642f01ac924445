"""What the file says of deployments: addresses, credentials, weights, and what Envoy's
configuration makes of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.make import account_of

from tollgate.core.answers.headers import standing_headers
from tollgate.core.errors import SettingsError
from tollgate.core.limits.accounts import Scope, ScopeKind, Standing, untouched
from tollgate.core.models.probe_model import PROBE
from tollgate.core.requests.dialects import Family
from tollgate.envoy_config.bootstrap import bootstrap
from tollgate.envoy_config.clusters.clusters import clusters
from tollgate.envoy_config.clusters.failover import chains
from tollgate.envoy_config.clusters.upstream import path_rule
from tollgate.envoy_config.listener.listener import connection_manager
from tollgate.settings import Credential, Settings, load
from tollgate.topology import Address, Topology

AWS = {"aws_region_name": "eu-west-1"}
KEYS = {"aws_access_key_id": "AKID", "aws_secret_access_key": "os.environ/SECRET"}
TOPOLOGY = Topology(Address(host="127.0.0.1", port=4000), (Address(path="/w"),), Address(path="/a"))


def settings(
    tmp_path: Path, *params: dict[str, Any], environment: dict[str, str] | None = None
) -> Settings:
    file = tmp_path / "file.yaml"
    file.write_text(
        json.dumps({"model_list": [{"model_name": "m", "litellm_params": each} for each in params]})
    )
    return load(file, environment or {})


def test_stream_options_are_asked_for_where_the_provider_knows_them(tmp_path: Path) -> None:
    """By the provider's own reference, or as `additional_drop_params` says; what else that names is
    told as not dropped.
    """
    found = settings(
        tmp_path,
        {"model": "openai/x"},
        {"model": "mistral/x"},
        {"model": "hosted_vllm/x", "api_base": "http://h/v1"},
        {"model": "openai/x", "additional_drop_params": ["stream_options", "logit_bias"]},
        {"model": "openai/x", "additional_drop_params": None},
    )
    asked = [
        (each.stream_usage.asked, each.stream_usage.running, each.stream_usage.dropped)
        for each in found.deployments
    ]
    assert asked == [
        (True, False, False),
        (False, False, False),
        (True, True, False),
        (False, False, True),
        (True, False, False),
    ]
    (notice,) = [each for each in found.notices if "additional_drop_params" in each]
    assert "logit_bias" in notice


@pytest.mark.parametrize(
    ("params", "api_base"),
    [
        ({"model": "gpt-4o"}, "https://api.openai.com/v1"),
        ({"model": "groq/llama"}, "https://api.groq.com/openai/v1"),
        ({"model": "gemini/g"}, "https://generativelanguage.googleapis.com"),
        ({"model": "bedrock/b", **AWS}, "https://bedrock-runtime.eu-west-1.amazonaws.com"),
        (
            {"model": "vertex_ai/g", "vertex_location": "europe-west1"},
            "https://europe-west1-aiplatform.googleapis.com",
        ),
        (
            {"model": "vertex_ai/g", "vertex_location": "global"},
            "https://aiplatform.googleapis.com",
        ),
        ({"model": "openai/x", "api_base": "http://h/v1/"}, "http://h/v1"),
    ],
)
def test_a_provider_has_its_own_address(
    tmp_path: Path, params: dict[str, Any], api_base: str
) -> None:
    """Unless the file names another."""
    assert settings(tmp_path, params).deployments[0].api_base == api_base


def test_aws_credentials_of_the_file_go_to_envoys_environment(tmp_path: Path) -> None:
    """As a credentials file of their own, so that each deployment may have other ones; the
    configuration holds none.
    """
    loaded = settings(
        tmp_path, {"model": "bedrock/b", **AWS, **KEYS}, environment={"SECRET": "s/1"}
    )
    text = "[default]\naws_access_key_id=AKID\naws_secret_access_key=s/1\n"
    assert loaded.credentials == {"m": Credential("TOLLGATE_AWS_CREDENTIALS_0", text, aws=True)}
    assert "AKID" not in json.dumps(bootstrap(loaded, TOPOLOGY))


def test_a_process_without_the_variable_starts_too(tmp_path: Path) -> None:
    """Workers are not given the providers' keys."""
    loaded = settings(tmp_path, {"model": "bedrock/b", **AWS, **KEYS})
    assert loaded.credentials["m"].value is None


def test_aws_variables_reach_envoy_where_the_file_names_no_credentials(tmp_path: Path) -> None:
    """Those that are set; Envoy looks further by itself."""
    loaded = settings(
        tmp_path, {"model": "bedrock/b", **AWS}, environment={"AWS_ACCESS_KEY_ID": "AKID"}
    )
    assert loaded.credentials == {"AWS_ACCESS_KEY_ID": Credential("AWS_ACCESS_KEY_ID")}
    assert bootstrap(loaded, TOPOLOGY)["static_resources"]["secrets"] == []


def test_azures_version_may_be_written_bare(tmp_path: Path) -> None:
    """YAML takes 2024-10-21 for a date."""
    file = tmp_path / "file.yaml"
    file.write_text(
        "model_list: [{model_name: m, litellm_params: {model: azure/d, api_base: 'http://h',"
        " api_version: 2024-10-21}}]"
    )
    assert load(file, {}).deployments[0].api_version == "2024-10-21"


@pytest.mark.parametrize(
    ("provider", "api_base", "pattern", "prefix"),
    [
        ("openai", "http://h/v1", "^(/openai)?(/v1)?/", "/v1"),
        ("groq", "http://h/openai/v1", "^(/openai)?(/v1)?/", "/openai/v1"),
        ("anthropic", "http://h/claude", "^(/v1)?/", "/claude/v1"),
        ("azure", "http://h", "^/", ""),
        ("gemini", "http://h/v1beta", "^/", ""),
        ("vertex_ai", "http://h/base/v1", "^/", "/base"),
        ("cohere", "http://h/v2", "^/", ""),
        ("ollama", "http://h/v1", "^/", ""),
        ("bedrock", "http://h/proxy", "^/", "/proxy"),
    ],
)
def test_an_address_may_end_as_the_paths_begin(
    tmp_path: Path, provider: str, api_base: str, pattern: str, prefix: str
) -> None:
    """What is in both is written once."""
    loaded = settings(tmp_path, {"model": f"{provider}/x", "api_base": api_base, **AWS})
    rule = path_rule(loaded.deployments[0])
    assert (rule.pattern, rule.prefix) == (pattern, prefix)


@pytest.mark.parametrize(
    ("provider", "family"), [("openai", Family.OPENAI), ("anthropic", Family.ANTHROPIC)]
)
def test_what_tollgate_says_of_limits_a_provider_says_under_another_name(
    tmp_path: Path, provider: str, family: Family
) -> None:
    """By what its cluster does with replies, before anybody else sees them."""
    account = account_of(Scope(ScopeKind.TEAM, "t"), rpm=1, tpm=1)
    said = {
        h.name
        for h in standing_headers((account,), Standing(0, (untouched(account),)), family, "m")
    }
    (filters,) = [
        each["http_filters"]
        for cluster in clusters(settings(tmp_path, {"model": f"{provider}/x"}), TOPOLOGY)[-2:-1]
        for each in cluster["typed_extension_protocol_options"].values()
    ]
    (mutations,) = [
        each["typed_config"]["mutations"]["response_mutations"]
        for each in filters
        if "mutation" in each["name"]
    ]
    moved = [each["append"]["header"] for each in mutations if "append" in each]
    dropped = tuple(
        each["remove_on_match"]["key_matcher"]["prefix"]
        for each in mutations
        if "remove_on_match" in each
    )
    assert [name for name in said if not name.startswith(dropped)] == []
    assert {(each["key"], each["value"]) for each in moved} >= {
        (f"llm_provider-{name}", f"%RESP({name})%") for name in said
    }


def test_deployments_that_would_be_edited_alike_stand_in_for_each_other(tmp_path: Path) -> None:
    """Same name, provider, upstream model and price; in the file's order, each first for itself."""
    loaded = settings(
        tmp_path,
        {"model": "openai/a", "api_base": "http://one/v1"},
        {"model": "openai/b", "api_base": "http://two/v1"},
        {"model": "openai/a", "api_base": "http://three/v1"},
        {"model": "openai/a", "api_base": "http://four/v1", "input_cost_per_token": 1},
        {"model": "groq/a"},
    )
    found = [[each.id for each in members] for members in chains(loaded)]
    probe = [PROBE.id]
    assert found == [["m", "m-3"], ["m-2"], ["m-3", "m"], ["m-4"], ["m-5"], probe]


def test_a_lone_deployment_is_tried_once(tmp_path: Path) -> None:
    """No retry and no Lua where there is nobody to take over."""
    loaded = settings(tmp_path, {"model": "openai/a"})
    routes = connection_manager(loaded)["route_config"]["virtual_hosts"][0]["routes"]
    found = [each for each in routes if each["name"].startswith("tollgate/deployment/")]
    assert [each for each in found if "retry_policy" in each["route"]] == []
    assert "lua" not in json.dumps(clusters(loaded, TOPOLOGY))


def test_an_address_cannot_break_out_of_its_lua_text(tmp_path: Path) -> None:
    """Whatever stands in an api_base is text."""
    loaded = settings(
        tmp_path,
        *({"model": "openai/a", "api_base": f'http://{host}/"..os.exit()--'} for host in "hi"),
    )
    (source,) = {
        line
        for cluster in clusters(loaded, TOPOLOGY)[-2:-1]
        for each in cluster["typed_extension_protocol_options"].popitem()[1]["http_filters"]
        if "lua" in each["name"]
        for line in each["typed_config"]["default_source_code"]["inline_string"].splitlines()
        if line.startswith("local PREFIX")
    }
    assert source == 'local PREFIX, AUTHORITY = "/\\034..os.exit\\040\\041--", "i"'


def test_a_deployment_that_passes_credentials_has_none_of_its_own(tmp_path: Path) -> None:
    """Its route lets the client's through, its cluster adds none, and no other deployment takes
    over from it or for it.
    """
    theirs = {"model": "anthropic/c", "api_key": "k", "pass_credentials": True}
    read = settings(tmp_path, theirs, {"model": "anthropic/c", "api_key": "k2"})
    assert read.entries[0].pass_credentials
    assert list(read.credentials) == ["m-2", "m-2+openai"]
    assert [len(each) for each in chains(read)] == [1, 1, 1, 1, 1]
    routes = connection_manager(read)["route_config"]["virtual_hosts"][0]["routes"]
    kept = {
        each["name"]: set(each["request_headers_to_remove"])
        for each in routes
        if "request_headers_to_remove" in each
    }
    assert kept["tollgate/deployment/m-2"] - kept["tollgate/deployment/m"] == {
        "authorization",
        "x-api-key",
    }
    injecting = [
        each["name"]
        for each in clusters(read, TOPOLOGY)
        if "credential_injector" in json.dumps(each)
    ]
    assert injecting == ["deployment/m-2", "deployment/m-2+openai"]


@pytest.mark.parametrize("named", ["openai-project", "OpenAI-Project"])
def test_a_header_that_chooses_who_pays_passes_where_a_setting_says_so(
    tmp_path: Path, named: str
) -> None:
    """That one, and no other."""
    file = tmp_path / "file.yaml"
    file.write_text(
        json.dumps({"model_list": [{"model_name": "m", "litellm_params": {"model": "gpt-4o"}}]})
    )
    routes = [json.dumps(connection_manager(load(file, {}))["route_config"])]
    said = json.loads(file.read_text()) | {"tollgate": {"pass_client_headers": [named]}}
    file.write_text(json.dumps(said))
    routes.append(json.dumps(connection_manager(load(file, {}))["route_config"]))
    assert ['"openai-project"' in each for each in routes] == [True, False]
    assert ['"openai-organization"' in each for each in routes] == [True, True]


def test_a_header_that_passes_anyway_or_never_is_no_setting(tmp_path: Path) -> None:
    """The fault names those that could be."""
    file = tmp_path / "file.yaml"
    file.write_text(json.dumps({"tollgate": {"pass_client_headers": ["authorization"]}}))
    with pytest.raises(
        SettingsError, match=r"pass_client_headers.*must be one of .*openai-project"
    ):
        load(file, {})
