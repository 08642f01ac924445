"""Envoy's configuration as data: what e2e tests cannot show, or not as plainly."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tollgate.commands.main import rendered
from tollgate.core.errors import SettingsError
from tollgate.envoy_config.bootstrap import bootstrap
from tollgate.envoy_config.clusters.clusters import clusters
from tollgate.envoy_config.listener.listener import connection_manager
from tollgate.envoy_config.parts import ConfigPart
from tollgate.gateway.supervisor import Programs
from tollgate.settings import EXAMPLE_FILE, Settings, load
from tollgate.settings.edge_settings import TlsSettings
from tollgate.topology import Address, Topology

ENVOY_FOLDER = Path(__file__).parents[3] / "envoy"
TOPOLOGY = Topology(
    listen=Address(host="127.0.0.1", port=4000),
    workers=(Address(path="/run/w0.sock"), Address(host="127.0.0.1", port=4001)),
    admin=Address(path="/run/admin.sock"),
    mock=Address(path="/run/mock.sock"),
    envoy_admin=Address(path="/run/envoy.sock"),
    workers_http=(Address(path="/run/a0.sock"), Address(path="/run/a1.sock")),
)


def settings_of(
    tmp_path: Path, api_base: str, provider: str = "openai", api_key: str = "os.environ/KEY"
) -> Settings:
    file = tmp_path / "file.yaml"
    params = {"model": f"{provider}/m", "api_base": api_base, "api_key": api_key}
    file.write_text(json.dumps({"model_list": [{"model_name": "m", "litellm_params": params}]}))
    return load(file)


def in_mode(settings: Settings, mode: str) -> Settings:
    return replace(settings, tollgate=settings.tollgate.model_copy(update={"mode": mode}))


def provider_cluster(settings: Settings) -> Any:
    name = f"deployment/{settings.deployments[0].id}"
    return next(each for each in clusters(settings, TOPOLOGY) if each["name"] == name)


def provider_route(settings: Settings) -> Any:
    return deployment_routes(settings)[0]["route"]


def deployment_routes(settings: Settings) -> Any:
    routes = connection_manager(settings)["route_config"]["virtual_hosts"][0]["routes"]
    return [each for each in routes if each["name"].startswith("tollgate/deployment/")]


def socket_of(cluster: Any) -> Any:
    return cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]


@pytest.mark.parametrize("mode", ["grpc", "native"])
def test_the_committed_configuration_is_current(mode: str) -> None:
    """envoy/grpc.yaml and envoy/native.yaml are what `make envoy` writes."""
    settings = in_mode(load(ENVOY_FOLDER / "settings.yaml"), mode)
    assert (ENVOY_FOLDER / f"{mode}.yaml").read_text() == rendered(settings, ConfigPart.BOOTSTRAP)


@pytest.mark.parametrize("mode", ["grpc", "native"])
def test_envoy_accepts_the_committed_configuration(mode: str) -> None:
    """`envoy --mode validate` on the file that platform teams copy."""
    command = [*Programs().envoy, "--mode", "validate", "-c", str(ENVOY_FOLDER / f"{mode}.yaml")]
    environment = {"OPENAI_API_KEY": "x", "ANTHROPIC_API_KEY": "x", "PATH": os.environ["PATH"]}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[-300:] if done.returncode else "") == (0, "")


def test_no_provider_key_stands_in_the_configuration() -> None:
    """Literal keys of the file go to Envoy's environment, not into its file."""
    assert "mock-provider-key" not in json.dumps(bootstrap(load(EXAMPLE_FILE), TOPOLOGY))


def test_every_deployment_has_a_cluster_and_a_route() -> None:
    """Neither names what the other lacks."""
    document = bootstrap(load(EXAMPLE_FILE), TOPOLOGY)["static_resources"]
    manager = document["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    routed = {
        route["route"]["cluster"]
        for route in manager["route_config"]["virtual_hosts"][0]["routes"]
        if "cluster" in route.get("route", {})
    }
    assert routed | {"tollgate"} == {cluster["name"] for cluster in document["clusters"]}


def test_the_mock_provider_is_reached_through_its_socket(tmp_path: Path) -> None:
    """A deployment at mock-llm is the supervisor's to place."""
    assert socket_of(provider_cluster(settings_of(tmp_path, "http://mock-llm/v1"))) == {
        "pipe": {"path": "/run/mock.sock"}
    }


@pytest.mark.parametrize(
    ("api_base", "port", "authority"),
    [
        ("https://api.openai.com/v1", 443, "api.openai.com"),
        ("http://llm.internal", 80, "llm.internal"),
        ("https://llm.internal:8443/v1", 8443, "llm.internal:8443"),
        ("http://[::1]:11434/v1", 11434, "[::1]:11434"),
    ],
)
def test_host_and_port_are_those_of_the_api_base(
    tmp_path: Path, api_base: str, port: int, authority: str
) -> None:
    """The Host header leaves the scheme's own port out."""
    settings = settings_of(tmp_path, api_base)
    place = socket_of(provider_cluster(settings))["socket_address"]
    assert (place["port_value"], provider_route(settings)["host_rewrite_literal"]) == (
        port,
        authority,
    )


@pytest.mark.parametrize(
    ("provider", "api_base", "prefix"),
    [
        ("openai", "http://h/v1", "/v1/"),
        ("openai", "http://h", "/"),
        ("groq", "http://h/openai/v1", "/openai/v1/"),
        ("anthropic", "http://h", "/v1/"),
        ("anthropic", "http://h/v1", "/v1/"),
        ("anthropic", "http://h/claude", "/claude/v1/"),
    ],
)
def test_paths_get_the_providers_prefix(
    tmp_path: Path, provider: str, api_base: str, prefix: str
) -> None:
    """What replaces `/v1/` or `/` at the beginning of the client's path."""
    assert (
        provider_route(settings_of(tmp_path, api_base, provider))["regex_rewrite"]["substitution"]
        == prefix
    )


def test_https_is_verified_by_name(tmp_path: Path) -> None:
    """The certificate must be for the host of the api_base, by an authority of the system's."""
    context = provider_cluster(settings_of(tmp_path, "https://llm.internal/v1"))[
        "transport_socket"
    ]["typed_config"]
    trusted = context["common_tls_context"]["validation_context"]
    assert (
        context["sni"],
        trusted["match_typed_subject_alt_names"][0],
        trusted["trusted_ca"]["filename"],
    ) == (
        "llm.internal",
        {"san_type": "DNS", "matcher": {"exact": "llm.internal"}},
        TOPOLOGY.trust_bundle,
    )


def test_a_deployment_without_a_key_has_no_injector(tmp_path: Path) -> None:
    """A model server of one's own may need none."""
    assert "credential_injector" not in json.dumps(
        provider_cluster(settings_of(tmp_path, "http://h/v1", api_key=""))
    )


def test_each_worker_is_an_endpoint() -> None:
    """Unix sockets and ports alike."""
    workers = clusters(load(EXAMPLE_FILE), TOPOLOGY)[0]["load_assignment"]["endpoints"][0][
        "lb_endpoints"
    ]
    assert [each["endpoint"]["address"] for each in workers] == [
        {"pipe": {"path": "/run/w0.sock"}},
        {"socket_address": {"address": "127.0.0.1", "port_value": 4001}},
    ]


def test_a_workers_health_is_asked_at_its_own_http_address_if_there_are_several() -> None:
    cluster, *_ = clusters(load(EXAMPLE_FILE), TOPOLOGY)
    members = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    asked = [each["endpoint"]["health_check_config"]["address"] for each in members]
    assert asked == [{"pipe": {"path": "/run/a0.sock"}}, {"pipe": {"path": "/run/a1.sock"}}]
    assert len(cluster["health_checks"]) == 1
    shared = replace(TOPOLOGY, workers=TOPOLOGY.workers[:1], workers_http=TOPOLOGY.workers_http[:1])
    alone, *_ = clusters(load(EXAMPLE_FILE), shared)
    assert "health_checks" not in alone


def test_a_stand_in_gets_calls_only_while_no_other_worker_lives() -> None:
    """By Envoy's priorities."""
    cluster, *_ = clusters(load(EXAMPLE_FILE), replace(TOPOLOGY, stand_ins=1))
    first, second = cluster["load_assignment"]["endpoints"]
    assert (first.get("priority", 0), second["priority"]) == (0, 1)
    assert [len(each["lb_endpoints"]) for each in (first, second)] == [1, 1]
    assert "health_check_config" in second["lb_endpoints"][0]["endpoint"]


@pytest.mark.parametrize(
    "text", ["unix:/run/a.sock", "127.0.0.1:4001", "[::1]:4001", "host.internal:1"]
)
def test_an_address_is_written_as_it_is_read(text: str) -> None:
    """Both forms of the settings."""
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize("text", ["", "host", "host:port", ":80", "h:99999"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """With a sentence that says what would be right."""
    with pytest.raises(SettingsError, match="is not an address: write host:port or unix:/path"):
        Address.parse(text)


def beside_serve(folder: Path, **ours: str) -> Any:
    """The clusters of the workers and the admin server, as `envoy-config` prints them."""
    file = folder / "file.yaml"
    file.write_text(json.dumps({"tollgate": ours}))
    return {
        each["name"]: each
        for each in yaml.safe_load(rendered(in_mode(load(file), "native"), ConfigPart.CLUSTERS))
    }


def test_what_listens_everywhere_is_reached_on_this_machine(tmp_path: Path) -> None:
    """0.0.0.0 is no address to call."""
    found = beside_serve(tmp_path, serve_grpc="0.0.0.0:5001", serve_native="[::]:5003")
    places = [socket_of(found[name])["socket_address"] for name in ("tollgate", "tollgate_http")]
    assert [(each["address"], each["port_value"]) for each in places] == [
        ("127.0.0.1", 5001),
        ("::1", 5003),
    ]


def test_where_to_be_reached_may_be_a_name(tmp_path: Path) -> None:
    """Envoy looks it up, takes each address that it stands for as a server, and asks whether that
    serves.
    """
    reach = {
        "reach_grpc": "tollgate.internal:5001",
        "reach_native": "tollgate.internal:5003",
        "reach_http": "admin.internal:80",
    }
    found = beside_serve(tmp_path, serve_grpc="0.0.0.0:5001", **reach)
    for name, host in (
        ("tollgate", "tollgate.internal"),
        ("tollgate_http", "tollgate.internal"),
        ("tollgate_admin", "admin.internal"),
    ):
        assert "type" not in found[name]
        assert found[name]["cluster_type"]["name"] == "envoy.cluster.dns"
        assert not found[name]["cluster_type"]["typed_config"].get(
            "all_addresses_in_single_endpoint", False
        )
        assert socket_of(found[name])["socket_address"]["address"] == host
    assert "grpc_health_check" in found["tollgate"]["health_checks"][0]
    assert "tcp_health_check" in found["tollgate_http"]["health_checks"][0]


def test_envoy_accepts_workers_by_name(tmp_path: Path) -> None:
    (tmp_path / "file.yaml").write_text(
        json.dumps({"tollgate": {"reach_grpc": "localhost:5001", "reach_http": "localhost:1"}})
    )
    (tmp_path / "envoy.yaml").write_text(
        rendered(load(tmp_path / "file.yaml"), ConfigPart.BOOTSTRAP)
    )
    command = [*Programs().envoy, "--mode", "validate", "-c", str(tmp_path / "envoy.yaml")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_where_every_body_is_short_no_key_is_checked_before_it(tmp_path: Path) -> None:
    """Envoy would never answer a longer body whose key it has checked."""
    loaded = settings_of(tmp_path, "https://a.example/v1")
    found = []
    for most in (128 * 1024, 128 * 1024 + 1):
        ours = loaded.tollgate.model_copy(update={"max_request_bytes": most})
        (host,) = connection_manager(replace(loaded, tollgate=ours))["route_config"][
            "virtual_hosts"
        ]
        found.append("tollgate/long-body" in {each["name"] for each in host["routes"]})
    assert found == [False, True]


def test_http_2_is_offered_over_tls_and_http_3_to_nobody(tmp_path: Path) -> None:
    """No UDP listener, no codec for it, and no header that announces it."""
    settings = settings_of(tmp_path, "https://m.example/v1")
    tls = TlsSettings(certificate=tmp_path / "c.pem", key=tmp_path / "k.pem")
    ours = settings.tollgate.model_copy(update={"tls": tls})
    (listener,) = bootstrap(replace(settings, tollgate=ours), TOPOLOGY)["static_resources"][
        "listeners"
    ]
    (chain,) = listener["filter_chains"]
    common = chain["transport_socket"]["typed_config"]["common_tls_context"]
    assert common["alpn_protocols"] == ["h2", "http/1.1"]
    said = json.dumps(listener).lower()
    assert not any(each in said for each in ("quic", "udp", "http3", "alt-svc", "alternate"))
