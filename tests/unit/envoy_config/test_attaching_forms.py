"""`tollgate attach` reads a bootstrap in any form that Envoy takes, or says what it cannot read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.envoy_config.bootstraps import OURS, ROUTER, attached, bootstrap, manager
from typer.testing import CliRunner

from tollgate.commands.main import app
from tollgate.core.envoy_contract import ROUTE_PREFIX
from tollgate.core.errors import SettingsError
from tollgate.envoy_config.attaching.served_at import Domain, PathPrefix
from tollgate.topology import ConfigPart

_AUTHZ = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"
_FILTER = {"typed_config": {"@type": _AUTHZ}}


@pytest.mark.parametrize(
    "written",
    [
        _FILTER | {"disabled": True},
        {
            "typed_config": {
                "@type": "type.googleapis.com/xds.type.v3.TypedStruct",
                "type_url": _AUTHZ,
                "value": {},
            }
        },
        {
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.common.matching.v3"
                ".ExtensionWithMatcher",
                "extension_config": {"name": "x"} | _FILTER,
            }
        },
        {"config_discovery": {"type_urls": [_AUTHZ], "config_source": {"ads": {}}}},
        {"configDiscovery": {"typeUrls": [_AUTHZ], "configSource": {"ads": {}}}},
    ],
    ids=["switched-on-by-the-table", "struct", "matcher", "discovered", "other-spelling"],
)
def test_a_filter_is_known_in_whatever_form_it_is_written(
    tmp_path: Path, written: dict[str, Any]
) -> None:
    """Else it would refuse Tollgate's callers, who have no credential of its kind."""
    routes = manager()["route_config"] | {"typed_per_filter_config": {"own": {"@type": "x"}}}
    file = bootstrap(
        tmp_path, manager(http_filters=[{"name": "own"} | written, ROUTER], route_config=routes)
    )
    found = attached(file)
    assert "own is off for Tollgate's routes" in " ".join(found.notes)
    host = found.parts[ConfigPart.VIRTUAL_HOST]
    assert isinstance(host, dict)
    assert all(each["typed_per_filter_config"]["own"]["disabled"] for each in host["routes"])


@pytest.mark.parametrize("place", [OURS, PathPrefix("/llm")])
def test_tollgates_routes_take_no_upgrade(tmp_path: Path, place: Domain | PathPrefix) -> None:
    """Nobody could read the usage of a WebSocket. The owner's own routes keep it."""
    file = bootstrap(
        tmp_path,
        manager(upgrade_configs=[{"upgrade_type": "websocket"}, {"upgrade_type": "CONNECT"}]),
    )
    (table,) = (
        each["typed_config"]["route_config"]
        for each in attached(file, place).files[file]["static_resources"]["listeners"][0][
            "filter_chains"
        ][0]["filters"]
    )
    routes = [route for host in table["virtual_hosts"] for route in host["routes"]]
    ours = [each for each in routes if each.get("name", "").startswith(ROUTE_PREFIX)]
    refused = [{"upgrade_type": "websocket", "enabled": False}]
    assert ours
    assert all(each["route"]["upgrade_configs"] == refused for each in ours if "route" in each)
    assert all(
        "upgrade_configs" not in each.get("route", {}) for each in routes if each not in ours
    )


def test_listeners_without_a_name_are_told_apart(tmp_path: Path) -> None:
    """By their ports: Envoy needs no name."""
    file = bootstrap(tmp_path, manager(), manager())
    document = yaml.safe_load(file.read_text())
    for number, each in enumerate(document["static_resources"]["listeners"]):
        del each["name"]
        each["address"] = {"socket_address": {"address": "0.0.0.0", "port_value": 8080 + number}}
    file.write_text(yaml.safe_dump(document))
    with pytest.raises(SettingsError, match=r"several listeners speak HTTP \(8080, 8081\)"):
        attached(file)
    found = attached(file, OURS, "8081")
    first, second = found.files[file]["static_resources"]["listeners"]
    assert "llm.example" not in str(first)
    assert "llm.example" in str(second)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is no Envoy configuration"),
        ("static_resources:\ndynamic_resources:\n", "none has an HTTP connection manager"),
        ("static_resources: [a]\n", "static_resources must be a mapping"),
        ("static_resources: {listeners: {name: a}}\n", "listeners must be a list of mappings"),
        ("static_resources: {listeners: [a]}\n", "listeners must be a list of mappings"),
        (
            "static_resources: {listeners: [{name: a, filter_chains: [{filters: [x]}]}]}\n",
            "filters must be a list of mappings",
        ),
        (
            "static_resources: {listeners: [{name: a, filter_chains: [{filters:"
            " [{name: envoy.http_connection_manager, config: {stat_prefix: x}}]}]}]}\n",
            "write typed_config with",
        ),
        (
            "static_resources: {listeners: [{name: a, filter_chains: [{filters: [{name: x,"
            " typed_config: {'@type': type.googleapis.com/envoy.config.filter.network"
            ".http_connection_manager.v2.HttpConnectionManager}}]}]}]}\n",
            "write typed_config with",
        ),
    ],
)
def test_a_bootstrap_that_cannot_be_read_is_one_sentence(
    tmp_path: Path, text: str, told: str
) -> None:
    """With what would be right."""
    file = tmp_path / "envoy.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=told):
        attached(file)


def test_json_stays_json(tmp_path: Path) -> None:
    """Envoy reads a file by its name. Tabs may indent it, which YAML refuses."""
    document = yaml.safe_load(bootstrap(tmp_path, manager()).read_text())
    file = tmp_path / "envoy.json"
    file.write_text(json.dumps(document, indent="\t"))
    told = CliRunner().invoke(app, ["attach", str(file), "--domain", "llm.example"])
    assert told.exit_code == 0, told.output
    assert "llm.example" in str(json.loads(told.stdout))


def test_values_of_other_types_than_envoys_are_one_sentence(tmp_path: Path) -> None:
    """Wherever they stand."""
    file = bootstrap(tmp_path, manager(http_filters=[{"name": ["a"]}, ROUTER]))
    told = CliRunner().invoke(app, ["attach", str(file), "--domain", "llm.example"])
    assert told.exit_code == 1
    assert "`envoy --mode validate -c" in told.stderr
