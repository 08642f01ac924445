"""What is deployed fits the program: its options, ports, paths and version.

`make forms` validates the same files against the schemas of what reads them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from tests.unit.management_fixtures import World

from tollgate import __version__
from tollgate.adapters.http_api import create_api
from tollgate.commands.main import app, rendered
from tollgate.gateway.envoy_updates import told_beside_serve
from tollgate.settings import load
from tollgate.topology import ConfigPart

DEPLOY = Path(__file__).parents[3] / "deploy"
CHART = DEPLOY / "helm" / "tollgate"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
MANIFESTS = {
    each.stem: {(found["kind"]): found for found in yaml.safe_load_all(each.read_text()) if found}
    for each in (DEPLOY / "kubernetes").glob("*.yaml")
}
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
NOBODY = 65532


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Every call of the command in a form: where, and its words."""
    (words,) = re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    yield "Dockerfile", yaml.safe_load(words)
    for unit in (DEPLOY / "systemd").glob("*.service"):
        for line in re.findall(r"^ExecStart=\S+/tollgate (.*)$", unit.read_text(), re.MULTILINE):
            yield unit.name, shlex.split(line)
    for name, objects in MANIFESTS.items():
        pod = objects["Deployment"]["spec"]["template"]["spec"]
        for each in (*pod.get("initContainers", ()), *pod["containers"]):
            if each["name"] != "envoy":
                yield f"{name}: {each['name']}", each["args"]


@pytest.mark.parametrize(("where", "words"), list(command_lines()), ids=lambda each: str(each)[:30])
def test_the_command_takes_what_a_form_gives_it(where: str, words: list[str]) -> None:
    """Its name and every option exist."""
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    command = group.commands[words[0]]
    command.make_context(where, list(words[1:]))


def test_the_configuration_of_compose_is_current() -> None:
    """It is what `make envoy` writes."""
    settings = load(DEPLOY / "compose" / "settings.yaml", {})
    found = (DEPLOY / "compose" / "envoy.yaml").read_text()
    assert found == rendered(settings, ConfigPart.BOOTSTRAP)


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_s_configuration_is_one_that_starts(name: str, tmp_path: Path) -> None:
    """Its ports are those that the pod and the service tell."""
    objects = MANIFESTS[name]
    file = tmp_path / "tollgate.yaml"
    file.write_text(objects["ConfigMap"]["data"]["tollgate.yaml"], encoding="utf-8")
    ours = load(file, {}).tollgate
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    open_ports = {port["containerPort"] for each in pod["containers"] for port in each["ports"]}
    listening = [ours.serve_http, ours.metrics.address or ""]
    if name == "shared":
        listening += [ours.serve_grpc, ours.serve_native]
        host = f"{objects['Service']['metadata']['name']}.tollgate.svc"
        reached = {ours.reach_grpc, ours.reach_http, ours.reach_native}
        assert reached == {f"{host}:{port}" for port in (4001, 4002, 4003)}
    else:
        listening.append(f"{ours.host}:{ours.port}")
    assert open_ports == {int(each.rpartition(":")[2]) for each in listening}
    names = {port["name"] for each in pod["containers"] for port in each["ports"]}
    assert {each["targetPort"] for each in objects["Service"]["spec"]["ports"]} == names


@pytest.mark.parametrize("form", ["sidecar", "compose"])
def test_a_form_with_an_envoy_tells_it_of_changes(form: str, tmp_path: Path) -> None:
    """A model that is added over the API needs no rollout; Tollgate has the keys to hand over."""
    file = DEPLOY / "compose" / "settings.yaml"
    if form == "sidecar":
        file = tmp_path / "tollgate.yaml"
        file.write_text(MANIFESTS[form]["ConfigMap"]["data"]["tollgate.yaml"], encoding="utf-8")
        pod = MANIFESTS[form]["Deployment"]["spec"]["template"]["spec"]
        (ours,) = (each for each in pod["containers"] if each["name"] == "tollgate")
        assert ours["envFrom"] == [
            {"secretRef": {"name": VALUES["envoy"]["providerKeys"]["existingSecret"]}}
        ]
    else:
        assert "OPENAI_API_KEY" in COMPOSE["services"]["tollgate"]["environment"]
    told = told_beside_serve(load(file, {}), {"OPENAI_API_KEY": "k"}, tmp_path)
    assert told is not None
    assert told.ads_folder is not None


@pytest.mark.parametrize("name", MANIFESTS)
def test_nothing_runs_as_root_or_can_change_its_image(name: str) -> None:
    """No container, neither ours nor Envoy's."""
    pod = MANIFESTS[name]["Deployment"]["spec"]["template"]["spec"]
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsNonRoot"]) == (
        NOBODY,
        True,
    )
    for each in (*pod.get("initContainers", ()), *pod["containers"]):
        context = each["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}


def test_probes_ask_paths_that_are_served() -> None:
    paths = set(
        create_api((world := World()).management, version="t", watched=world.watched).openapi()[
            "paths"
        ]
    )
    asked = {VALUES[f"{each}Probe"]["httpGet"]["path"] for each in ("startup", "liveness")}
    assert {*asked, VALUES["readinessProbe"]["httpGet"]["path"]} <= paths | {"/health/liveliness"}


def test_the_chart_is_of_the_program_s_version_and_holds_no_secret() -> None:
    """Secrets are named, never values."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    for each in ("masterKey", "store", "history"):
        assert set(VALUES[each]) == {"existingSecret", "key"}
    assert "sk-" not in (CHART / "values.yaml").read_text()


def test_the_image_is_built_of_files_that_are_there_and_runs_as_nobody() -> None:
    """And of wheels alone."""
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
    assert all((DEPLOY.parent / each).exists() for line in copied for each in line.split())
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE) == [f"{NOBODY}:{NOBODY}"]
    assert DOCKERFILE.count("pip install") == DOCKERFILE.count("--only-binary=:all:")
    assert "RUN" not in DOCKERFILE.rpartition("FROM")[2]


def test_compose_gives_its_store_what_the_survey_asks_for() -> None:
    """Nothing is dropped, and a restart forgets nothing."""
    command = " ".join(COMPOSE["services"]["valkey"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    settings = (DEPLOY / "compose" / "settings.yaml").read_text()
    for host in ("valkey", "postgres"):
        assert host in COMPOSE["services"]
        assert f"{host}:" in settings
