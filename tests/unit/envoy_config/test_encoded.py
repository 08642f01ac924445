"""What Envoy discovers, as it travels by gRPC: every field of every deployment has its number."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf.json_format import ParseError
from tests.unit.envoy_config.test_discovered import TOPOLOGY

from tollgate.envoy_config.discovered import Discovered
from tollgate.envoy_config.encoded import encoded_file, encoded_secrets
from tollgate.pb.discovery_pb2 import DiscoveryResponse, NamedResource
from tollgate.settings import load
from tollgate.topology import Discovery

MODELS = """
model_list:
  - {model_name: a, litellm_params: {model: openai/a, api_key: k}}
  - {model_name: a, litellm_params: {model: openai/a, api_base: "https://10.0.0.1/v1"}}
  - {model_name: an, litellm_params: {model: anthropic/claude, api_key: k}}
  - {model_name: p, litellm_params: {model: anthropic/claude, pass_credentials: true}}
  - {model_name: az, litellm_params: {model: azure/d, api_base: "https://r.openai.azure.com"}}
  - {model_name: g, litellm_params: {model: gemini/gemini-2.0, api_key: k}}
  - model_name: v
    litellm_params: {model: vertex_ai/gemini-2.0, vertex_project: p, vertex_location: global}
  - {model_name: b, litellm_params: {model: bedrock/x, aws_region_name: us-east-1}}
  - model_name: b2
    litellm_params: {model: bedrock/x, aws_access_key_id: i, aws_secret_access_key: s}
  - {model_name: b3, litellm_params: {model: bedrock/openai.x, api_key: k}}
  - {model_name: o, litellm_params: {model: ollama/x, api_base: "http://[::1]:11434"}}
  - {model_name: m, litellm_params: {model: openai/m, api_base: "http://mock-llm/v1"}}
  - {model_name: "w/*", litellm_params: {model: "openai/*", api_key: k}}
"""
SEVERAL = [
    "",
    "cors_origins: ['https://a.example'], unknown_paths: allow, max_request_bytes: 2000",
    "cors_origins: ['*'], pass_client_headers: [openai-project], upstream_timeout_seconds: 7",
]


def names(response: bytes) -> list[str]:
    """The names of a response's resources."""
    resources = DiscoveryResponse.FromString(response).resources
    return [NamedResource.FromString(each.value).name for each in resources]


@pytest.mark.parametrize("by_ads", [False, True])
@pytest.mark.parametrize("more", SEVERAL)
@pytest.mark.parametrize("version", ["1.37", "1.40"])
@pytest.mark.parametrize("mode", ["grpc", "native"])
def test_everything_that_files_tell_is_told_by_grpc(
    tmp_path: Path, mode: str, version: str, more: str, by_ads: bool
) -> None:
    """A field without a number in proto/resources would end here, not in a running gateway."""
    ours = f"mode: {mode}, envoy_version: '{version}', {more}"
    (tmp_path / "file.yaml").write_text(f"{MODELS}\ntollgate: {{{ours}}}")
    settings = load(tmp_path / "file.yaml", {})
    secrets = {each.variable: "/secret-1.json" for each in settings.credentials.values()}
    topology = replace(TOPOLOGY, discovery=Discovery("/watched", secrets, by_ads=by_ads))
    found = Discovered.of(settings, topology)
    files = [tmp_path / "clusters.json", tmp_path / "routes.json"]
    for file, text in zip(files, found.texts(), strict=True):
        file.write_text(text)
    clusters, routes = (encoded_file(each, ()) for each in files)
    assert names(clusters) == [each["name"] for each in found.clusters]
    assert names(routes) == ["tollgate"]
    told = [DiscoveryResponse.FromString(each).version_info for each in (clusters, routes)]
    assert told == [json.loads(each.read_text())["version_info"] for each in files]


def test_a_cluster_that_was_encoded_is_taken_as_it_is(tmp_path: Path) -> None:
    """Its name tells its content. That of a route table tells nothing."""
    kind = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    earlier = DiscoveryResponse()
    earlier.resources.add(type_url=kind, value=NamedResource(name="one").SerializeToString())
    (tmp_path / "clusters.pb").write_bytes(earlier.SerializeToString())
    cluster = {"@type": kind, "name": "one", "alt_stat_name": "another"}
    for name, reused in (("clusters.json", True), ("routes.json", False)):
        file = tmp_path / name
        file.write_text(json.dumps({"version_info": "1", "resources": [cluster]}))
        response = DiscoveryResponse.FromString(encoded_file(file, [tmp_path / "clusters.pb"]))
        assert (response.resources[0].value == earlier.resources[0].value) is reused


def test_a_field_without_a_number_is_an_error(tmp_path: Path) -> None:
    """It is not left out without a word."""
    kind = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    file = tmp_path / "clusters.json"
    resources = [{"@type": kind, "name": "one", "no_such_field": 1}]
    file.write_text(json.dumps({"version_info": "1", "resources": resources}))
    with pytest.raises(ParseError, match="no_such_field"):
        encoded_file(file, ())


def test_secrets_are_told_by_their_names(tmp_path: Path) -> None:
    kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
    secret = {"generic_secret": {"secret": {"inline_string": "k"}}}
    file = tmp_path / "secret-1.json"
    file.write_text(json.dumps({"resources": [{"@type": kind, "name": "secret-1", **secret}]}))
    assert names(encoded_secrets([file])) == ["secret-1"]
