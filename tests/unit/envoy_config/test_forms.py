"""Objects for control planes: current, whole, and refused where they could not be served."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tollgate.core.envoy_contract import ROUTE_HEADER
from tollgate.core.errors import SettingsError
from tollgate.envoy_config.forms.kubernetes_objects import Place
from tollgate.envoy_config.forms.rendered_forms import rendered_form
from tollgate.gateway.supervisor import Programs
from tollgate.settings import Settings, load
from tollgate.settings.entries.identity_settings import IdentitySettings
from tollgate.topology import ControlPlane

ENVOY_FOLDER = Path(__file__).parents[3] / "envoy"
PLACE = Place("llm.example", "tollgate")
FILES = {
    ControlPlane.ENVOY_GATEWAY: "kubernetes-settings.yaml",
    ControlPlane.ISTIO: "kubernetes-settings.yaml",
    ControlPlane.ISTIO_MESH_CONFIG: "kubernetes-settings.yaml",
    ControlPlane.CONTOUR: "contour-settings.yaml",
}
Objects = dict[tuple[str, str], dict[str, Any]]


def settings_of(folder: Path, model: str, *lines: str) -> Settings:
    ours = "tollgate: {serve_grpc: '0.0.0.0:4001', serve_http: '0.0.0.0:4002'}\n"
    params = "\n".join(f"      {each}" for each in (f"model: {model}", *lines))
    text = f"model_list:\n  - model_name: m\n    litellm_params:\n{params}\n{ours}"
    (folder / "file.yaml").write_text(text, encoding="utf-8")
    return load(folder / "file.yaml", {})


def objects_of(plane: ControlPlane, settings: Settings) -> Objects:
    documents = yaml.safe_load_all(rendered_form(plane, settings, PLACE))
    return {(each["kind"], each["metadata"]["name"]): each for each in documents}


@pytest.mark.parametrize("plane", FILES)
def test_the_committed_objects_are_current(plane: ControlPlane) -> None:
    """They are what `make envoy` writes."""
    loaded = load(ENVOY_FOLDER / FILES[plane])
    assert (ENVOY_FOLDER / f"{plane}.yaml").read_text() == rendered_form(plane, loaded, PLACE)


def references(value: Any) -> list[tuple[str, str]]:
    """Everything in an object that names another one of ours."""
    found = []
    if isinstance(value, dict):
        if "kind" in value and "name" in value and "metadata" not in value:
            found.append((value["kind"], value["name"]))
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            found += references(each)
    return found


def test_what_an_object_names_is_there() -> None:
    """But for secrets and the service, which are not Envoy Gateway's."""
    found = objects_of(ControlPlane.ENVOY_GATEWAY, load(ENVOY_FOLDER / "kubernetes-settings.yaml"))
    named = {each for value in found.values() for each in references(value["spec"])}
    assert {each for each in named if each not in found} == {
        ("Secret", "openai-api-key"),
        ("Secret", "anthropic-api-key"),
    }
    labels = [each["metadata"]["labels"] for key, each in found.items() if key[0] == "HTTPRoute"]
    for kind in ("SecurityPolicy", "EnvoyExtensionPolicy"):
        (selector,) = found[kind, "tollgate"]["spec"]["targetSelectors"]
        assert any(selector["matchLabels"].items() <= each.items() for each in labels)


def test_a_deployment_s_route_is_the_one_that_admission_names() -> None:
    """By the header that clients cannot set, also for ids that are no names of objects."""
    settings = load(ENVOY_FOLDER / "kubernetes-settings.yaml")
    other = replace(settings.deployments[0], id="Größe/1")
    same = replace(settings.deployments[0], id="größe-1")
    prices = settings.prices | dict.fromkeys((other.id, same.id), settings.prices["gpt-4o"])
    settings = replace(settings, deployments=(other, same), prices=prices, credentials={})
    found = objects_of(ControlPlane.ENVOY_GATEWAY, settings)
    values = [
        header["value"]
        for (kind, _), each in found.items()
        if kind == "HTTPRoute"
        for rule in each["spec"]["rules"]
        for match in rule["matches"]
        for header in match.get("headers", ())
        if header["name"] == ROUTE_HEADER
    ]
    assert values == ["Gr%C3%B6%C3%9Fe/1", "gr%C3%B6%C3%9Fe-1", "tollgate-probe"]


def assembled() -> dict[str, Any]:
    """Envoy's configuration as Istio makes it of the patches, with an ext_authz of its own."""
    objects = objects_of(ControlPlane.ISTIO, load(ENVOY_FOLDER / "kubernetes-settings.yaml"))
    patches = objects["EnvoyFilter", "tollgate"]["spec"]["configPatches"]
    found: dict[str, list[Any]] = {}
    for each in patches:
        found.setdefault(each["applyTo"], []).append(each["patch"]["value"])
    service = {"envoy_grpc": {"cluster_name": "tollgate"}, "timeout": "2.15s"}
    kind = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"
    authz = {"@type": kind, "grpc_service": service, "transport_api_version": "V3"}
    router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
    (manager,) = found["NETWORK_FILTER"]
    (bootstrap,) = found["BOOTSTRAP"]
    manager["typed_config"] |= {
        "stat_prefix": "istio",
        "http_filters": [
            {"name": "envoy.filters.http.ext_authz", "typed_config": authz},
            *found["HTTP_FILTER"],
            {"name": "envoy.filters.http.router", "typed_config": {"@type": router}},
        ],
        "route_config": {"name": "http.80", "virtual_hosts": found["VIRTUAL_HOST"]},
    }
    network_filter = {"name": "envoy.filters.network.http_connection_manager", **manager}
    listener = {
        "name": "0.0.0.0_80",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 18080}},
        "filter_chains": [{"filters": [network_filter]}],
    }
    resources = bootstrap["static_resources"]
    return {
        "static_resources": {**resources, "listeners": [listener], "clusters": found["CLUSTER"]}
    }


def test_envoy_takes_what_istio_makes_of_the_patches(tmp_path: Path) -> None:
    """Filters, routes, clusters and secrets fit each other."""
    (tmp_path / "envoy.json").write_text(json.dumps(assembled()), encoding="utf-8")
    command = [*Programs().envoy, "--mode", "validate", "-c", str(tmp_path / "envoy.json")]
    environment = {"OPENAI_API_KEY": "x", "ANTHROPIC_API_KEY": "x", "PATH": os.environ["PATH"]}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[-300:] if done.returncode else "") == (0, "")


@pytest.mark.parametrize(
    ("plane", "model", "lines", "words"),
    [
        (ControlPlane.ENVOY_GATEWAY, "bedrock/x", (), "cannot sign for AWS"),
        (ControlPlane.CONTOUR, "openai/x", ("api_key: k",), "adds no credentials"),
    ],
)
def test_what_a_control_plane_cannot_serve_is_refused(
    tmp_path: Path, plane: ControlPlane, model: str, lines: tuple[str, ...], words: str
) -> None:
    """In a sentence that names the model, not in a call that fails later."""
    with pytest.raises(SettingsError, match=words):
        rendered_form(plane, settings_of(tmp_path, model, *lines), PLACE)


@pytest.mark.parametrize("plane", FILES)
def test_sockets_and_native_mode_are_refused(tmp_path: Path, plane: ControlPlane) -> None:
    """No other pod reaches a socket, and control planes do not know native mode's filters."""
    settings = settings_of(tmp_path, "openai/x", "pass_credentials: true")
    for change, words in (
        ({"serve_grpc": "unix:/run/grpc.sock"}, "host and a port"),
        ({"mode": "native"}, "grpc"),
    ):
        ours = settings.tollgate.model_copy(update=change)
        with pytest.raises(SettingsError, match=words):
            rendered_form(plane, replace(settings, tollgate=ours), PLACE)


@pytest.mark.parametrize("plane", FILES)
def test_an_identity_is_refused_where_nothing_would_verify_it(
    plane: ControlPlane, tmp_path: Path
) -> None:
    """Rendered without a word, it would refuse everybody."""
    settings = settings_of(tmp_path, "openai/m", "api_base: https://m.example/v1")
    identity = IdentitySettings.model_validate({"user": {"certificate": "uri"}})
    ours = settings.tollgate.model_copy(update={"identity": identity})
    with pytest.raises(SettingsError, match="identity"):
        rendered_form(plane, replace(settings, tollgate=ours), PLACE)
