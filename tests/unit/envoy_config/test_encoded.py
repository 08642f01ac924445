"""What Envoy discovers, as it travels by gRPC: every field of every deployment has its number."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf.json_format import ParseError
from tests.unit.envoy_config.test_discovered import TOPOLOGY

from tollgate.envoy_config.discovered import CLUSTER, Discovered, ResourceFile
from tollgate.envoy_config.encoded import Encoder
from tollgate.pb.discovery_pb2 import DeltaDiscoveryResponse, DiscoveryResponse
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


def told(response: bytes) -> list[tuple[str, str]]:
    """The name and version of each of a response's resources."""
    resources = DeltaDiscoveryResponse.FromString(response).resources
    return [(each.name, each.version) for each in resources]


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
    encoder, files = Encoder(by_ads=True), found.files()
    clusters, routes = (encoder.encoded_file(each) for each in files)
    assert told(clusters) == [(each["name"], each["name"]) for each in found.clusters]
    assert told(routes) == [("tollgate", files[1].version)]
    assert [each.version for each in files] == [
        DeltaDiscoveryResponse.FromString(each).system_version_info for each in (clusters, routes)
    ]


def values(encoded: bytes, by_ads: bool) -> list[bytes]:
    """The content of each resource."""
    if by_ads:
        found = DeltaDiscoveryResponse.FromString(encoded)
        return [each.resource.value for each in found.resources]
    return [each.value for each in DiscoveryResponse.FromString(encoded).resources]


def read(folder: Path, *models: str) -> Discovered:
    """What Envoy discovers of some models, each at another address."""
    entries = [
        f"{{model_name: {each}, litellm_params: {{model: openai/x, api_base: 'http://{each}'}}}}"
        for each in models
    ]
    (folder / "file.yaml").write_text(f"model_list: [{', '.join(entries)}]")
    return Discovered.of(load(folder / "file.yaml", {}), TOPOLOGY)


@pytest.mark.parametrize("by_ads", [False, True])
def test_what_was_encoded_before_changes_nothing_in_what_is_encoded_now(
    tmp_path: Path, by_ads: bool
) -> None:
    """Routes that lead elsewhere keep their names; clusters that change do not."""
    earlier, now = read(tmp_path, "a", "b", "c"), read(tmp_path, "d", "b", "a")
    encoder = Encoder(by_ads=by_ads)
    encoder.learn(earlier, *(Encoder(by_ads=by_ads).encoded_file(each) for each in earlier.files()))
    before = [each.text for each in now.files()]
    for file in now.files():
        learned, anew = encoder.encoded_file(file), Encoder(by_ads=by_ads).encoded_file(file)
        assert values(learned, by_ads) == values(anew, by_ads) != []
        assert b"deployment/d@" in anew
        assert b"deployment/c@" not in anew
    assert [each.text for each in now.files()] == before


def test_a_cluster_that_was_encoded_is_taken_as_it_is(tmp_path: Path) -> None:
    """Its name tells its content."""
    found = read(tmp_path, "a")
    clusters, routes = (Encoder(by_ads=False).encoded_file(each) for each in found.files())
    earlier = DiscoveryResponse.FromString(clusters)
    for each in earlier.resources:
        each.value = b"as it was"
    encoder = Encoder(by_ads=False)
    encoder.learn(found, earlier.SerializeToString(), routes)
    assert values(encoder.encoded_file(found.files()[0]), by_ads=False) == [b"as it was"] * 2


def test_a_field_without_a_number_is_an_error() -> None:
    """It is not left out without a word."""
    file = ResourceFile.of(CLUSTER, [{"name": "one", "no_such_field": 1}])
    with pytest.raises(ParseError, match="no_such_field"):
        Encoder(by_ads=False).encoded_file(file)


def test_secrets_are_told_by_their_names(tmp_path: Path) -> None:
    kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
    secret = {"generic_secret": {"secret": {"inline_string": "k"}}}
    file = tmp_path / "secret-1.json"
    file.write_text(json.dumps({"resources": [{"@type": kind, "name": "secret-1", **secret}]}))
    assert told(Encoder(by_ads=True).encoded_secrets([file])) == [("secret-1", "secret-1")]
