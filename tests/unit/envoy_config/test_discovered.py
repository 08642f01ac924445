"""What Envoy takes from files while it runs, and how one version goes over into the next."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tollgate.core.answers.wording import Preset
from tollgate.envoy_config.bootstrap import bootstrap
from tollgate.envoy_config.discovered import Discovered
from tollgate.gateway.live import LIVE_FIELDS
from tollgate.settings import Settings, TollgateSettings, load
from tollgate.topology import Address, Discovery, Topology

TOPOLOGY = Topology(
    listen=Address(host="127.0.0.1", port=4000),
    workers=(Address(path="/w"),),
    admin=Address(path="/a"),
    mock=Address(path="/m"),
    workers_http=(Address(path="/h"),),
    discovery=Discovery("/watched", {}),
)
OTHER: dict[str, Any] = {
    "client_left": "held",
    "default_input_cost_per_token": Decimal(1),
    "default_output_cost_per_token": Decimal(1),
    "default_output_tokens": 7,
    "errors": Preset.OPENAI,
    "ietf_headers": True,
    "max_output_ceiling": 7,
    "pass_client_headers": ("openai-project",),
    "price_file": Path("/prices.json"),
    "proxy_max_parallel_requests": 7,
    "proxy_rpm_limit": 7,
    "proxy_tpm_limit": 7,
    "default_limits": {"key": [{"meter": "requests", "amount": 7}]},
    "enforce": False,
    "limits": [{"meter": "requests", "amount": 7, "per": "1m"}],
    "unknown_paths": "allow",
    "unpriced_models": "free",
}
"""Another value for each field that may change while a gateway runs."""


def read(folder: Path, *models: str, base: str = "https://a.example/v1") -> Settings:
    """A file of some models."""
    entries = "".join(
        f"  - {{model_name: {each}, litellm_params: {{model: openai/{each}, api_base: '{base}',"
        f" api_key: key-{each}}}}}\n"
        for each in models
    )
    (folder / "file.yaml").write_text(f"model_list:\n{entries}")
    return load(folder / "file.yaml")


def named(found: Discovered) -> dict[str, str]:
    """The cluster of each deployment's route."""
    (host,) = found.routes["virtual_hosts"]
    return {
        each["name"]: each["route"]["cluster"]
        for each in host["routes"]
        if "@" in each.get("route", {}).get("cluster", "")
    }


def test_what_lasts_as_long_as_envoy_runs_depends_on_no_model_and_no_live_field(
    tmp_path: Path,
) -> None:
    """So a change of those never asks for a restart, and never goes unseen."""
    first = read(tmp_path, "a")

    def lasting(settings: Settings) -> object:
        document = bootstrap(settings, TOPOLOGY)
        del document["static_resources"]["secrets"]
        return document

    assert set(OTHER) == LIVE_FIELDS <= set(TollgateSettings.model_fields)
    changed = replace(
        read(tmp_path, "b", "c"),
        tollgate=first.tollgate.model_copy(update=OTHER),
        master_key="sk-b",
    )
    assert lasting(changed) == lasting(first)


def test_a_route_names_the_cluster_of_its_own_version(tmp_path: Path) -> None:
    """One that has not changed keeps its name, so Envoy leaves it alone; metrics never change
    theirs.
    """
    first = Discovered.of(read(tmp_path, "a", "b"), TOPOLOGY)
    second = Discovered.of(read(tmp_path, "a", "b", base="https://other.example/v1"), TOPOLOGY)
    third = Discovered.of(read(tmp_path, "a", "b"), TOPOLOGY)
    assert {each["name"] for each in first.clusters} == set(named(first).values())
    assert named(first) == named(third)
    assert set(named(first).values()) & set(named(second).values()) == {
        named(first)["tollgate/deployment/tollgate-probe"]
    }
    stats = [[each["alt_stat_name"] for each in found.clusters] for found in (first, second)]
    assert stats[0] == stats[1]


def test_a_change_is_rendered_without_the_message_classes() -> None:
    """Their import takes longer than the rest of a change."""
    program = "import sys, tollgate.envoy_config.discovered; print('betterproto2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"False\n"


def test_between_two_versions_envoy_serves_both(tmp_path: Path) -> None:
    """Calls that were admitted before a change reach what was; all others what is."""
    first = Discovered.of(read(tmp_path, "kept", "gone"), TOPOLOGY)
    second = Discovered.of(read(tmp_path, "kept", "new"), TOPOLOGY)
    between = second.beside(Discovered.read(*(each.text for each in first.files())))
    assert named(between) == named(first) | named(second)
    assert {each["name"] for each in between.clusters} == set(named(between).values())
    assert named(second.beside(between)) == named(between)


def test_files_say_their_version(tmp_path: Path) -> None:
    """The same content, the same version: nobody waits for what Envoy has."""
    found = [Discovered.of(read(tmp_path, each), TOPOLOGY).files() for each in ("a", "a", "b")]
    clusters, again, other = (
        [json.loads(each.text)["version_info"] for each in pair] for pair in found
    )
    assert clusters == [each.version for each in found[0]]
    assert clusters == again
    assert set(clusters).isdisjoint(other)


@pytest.mark.parametrize("model", ["openai/a", "bedrock/a"])
def test_a_credential_that_envoys_environment_lacks_comes_from_a_file(
    tmp_path: Path, model: str
) -> None:
    """Its name may stand for another one by then."""
    keys = (
        "api_key: k"
        if model.startswith("openai")
        else "aws_access_key_id: a, aws_secret_access_key: b"
    )
    (tmp_path / "file.yaml").write_text(
        f"model_list: [{{model_name: a, litellm_params: {{model: {model}, {keys}}}}}]"
    )
    settings = load(tmp_path / "file.yaml")
    ((_, credential),) = settings.credentials.items()
    files = {credential.variable: "/watched/secret-0.json"}
    topology = replace(TOPOLOGY, discovery=Discovery("/watched", files))
    cluster, _probe = Discovered.of(settings, topology).clusters
    assert "/watched/secret-0.json" in json.dumps(cluster)
    assert "environment_variable" not in json.dumps(cluster)
