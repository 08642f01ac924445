"""What `tollgate attach` refuses, and what it leaves alone, without an Envoy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.envoy_config.bootstraps import OURS, ROUTER, TYPES, attached, bootstrap, manager
from typer.testing import CliRunner

from tollgate.commands.main import app
from tollgate.core.envoy_contract import AUTHZ_FILTER, VERIFIED_FILTER
from tollgate.core.errors import SettingsError
from tollgate.envoy_config.attaching.attach import attach
from tollgate.envoy_config.attaching.served_at import Domain, PathPrefix
from tollgate.settings import EXAMPLE_FILE, load
from tollgate.settings.entries.identity_settings import IdentitySettings


def test_only_the_named_listener_changes(tmp_path: Path) -> None:
    """Of several that speak HTTP one has to be named."""
    file = bootstrap(tmp_path, manager(), manager())
    with pytest.raises(SettingsError, match=r"several listeners speak HTTP \(l0, l1\)"):
        attached(file)
    found = attached(file, OURS, "l1")
    before, after = (
        each[file]["static_resources"]["listeners"] for each in (found.before, found.files)
    )
    assert before[0] == after[0]
    assert before[1] != after[1]


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"http_filters": []}, "http_filters are empty"),
        ({"route_config": None, "rds": {"config_source": {"ads": {}}}}, "come from a server"),
        (
            {"route_config": {"virtual_hosts": [{"name": "own", "domains": ["llm.example"]}]}},
            "served by 'own' already",
        ),
        (
            {"route_config": {"virtual_hosts": [{"name": "own", "domains": ["LLM.example:*"]}]}},
            "served by 'own' already",
        ),
        (
            {"route_config": None, "scoped_routes": {"scoped_rds": {}}},
            r"listener 'l0': scoped_routes\.scoped_rds: scopes that are sent",
        ),
        ({"route_config": None}, "listener 'l0': it has neither route_config nor rds"),
    ],
)
def test_what_cannot_be_merged_is_one_sentence(
    tmp_path: Path, more: dict[str, Any], fault: str
) -> None:
    with pytest.raises(SettingsError, match=fault):
        attached(bootstrap(tmp_path, manager(**more)))


@pytest.mark.parametrize("path", ["llm", "/", "/a b", '/"', "/llm/"])
def test_a_prefix_has_to_be_one(path: str) -> None:
    with pytest.raises(SettingsError, match="no prefix of paths"):
        PathPrefix(path)


def test_it_is_not_attached_twice(tmp_path: Path) -> None:
    """The second time would double its filters."""
    file = bootstrap(tmp_path, manager(), clusters=[{"name": "tollgate"}])
    with pytest.raises(SettingsError, match="has a cluster 'tollgate' already"):
        attached(file)


@pytest.mark.parametrize("place", [OURS, PathPrefix("/llm")])
def test_envoys_other_spelling_of_fields_is_read(
    tmp_path: Path, place: Domain | PathPrefix
) -> None:
    """JSON of Envoy's own is in camelCase."""
    told = manager()
    told["httpFilters"], told["routeConfig"] = told.pop("http_filters"), told.pop("route_config")
    file = bootstrap(tmp_path, told)
    (changed,) = attached(file, place).changed.values()
    (listener,) = changed["static_resources"]["listeners"]
    config = listener["filter_chains"][0]["filters"][0]["typed_config"]
    assert "httpFilters" not in config
    assert config["http_filters"][-1] == ROUTER
    assert len(config["http_filters"]) > 4


def test_a_filter_that_asks_for_another_credential_is_off_and_named(tmp_path: Path) -> None:
    """For Tollgate's routes alone."""
    jwt = {
        "name": "jwt",
        "typed_config": {"@type": f"{TYPES}.http.jwt_authn.v3.JwtAuthentication"},
    }
    rbac = {"name": "rbac", "typed_config": {"@type": f"{TYPES}.http.rbac.v3.RBAC"}}
    file = bootstrap(tmp_path, manager(http_filters=[jwt, rbac, ROUTER]))
    found = attached(file)
    assert [each.split()[0] for each in found.notes] == ["jwt"]
    (listener,) = found.files[file]["static_resources"]["listeners"]
    table = listener["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]
    theirs, ours = table["virtual_hosts"]
    assert theirs == manager()["route_config"]["virtual_hosts"][0]
    assert all(each["typed_per_filter_config"]["jwt"]["disabled"] for each in ours["routes"])
    assert not any("rbac" in each["typed_per_filter_config"] for each in ours["routes"])


def test_a_filter_that_says_who_asks_stays_on(tmp_path: Path) -> None:
    """Where a source reads the metadata of their JWT filter. Management takes keys."""
    jwt = {
        "name": "jwt",
        "typed_config": {"@type": f"{TYPES}.http.jwt_authn.v3.JwtAuthentication"},
    }
    file = bootstrap(tmp_path, manager(http_filters=[jwt, ROUTER]))
    source = {"metadata": "envoy.filters.http.jwt_authn", "at": "token.sub"}
    identity = IdentitySettings.model_validate({"user": source})
    settings = load(EXAMPLE_FILE)
    ours = settings.tollgate.model_copy(update={"identity": identity})
    found = attach(file, replace(settings, tollgate=ours), Domain("llm.example"))
    assert [each.split(":")[0] for each in found.notes] == [
        "jwt is off for Tollgate's routes",
        "jwt is on for calls of models",
    ]
    config = found.files[file]["static_resources"]["listeners"][0]["filter_chains"][0]["filters"]
    names = [each["name"] for each in config[0]["typed_config"]["http_filters"]]
    assert names.index("jwt") < names.index(VERIFIED_FILTER) < names.index(AUTHZ_FILTER)
    _, ours_host = config[0]["typed_config"]["route_config"]["virtual_hosts"]
    told = [each["typed_per_filter_config"] for each in ours_host["routes"]]
    assert {VERIFIED_FILTER in each for each in told} == {True, False}
    assert all(("jwt" in each) != (VERIFIED_FILTER in each) for each in told)


def test_a_diff_shows_what_is_added(tmp_path: Path) -> None:
    """And nothing is taken away."""
    file = bootstrap(tmp_path, manager())
    done = CliRunner().invoke(app, ["attach", str(file), "--domain", "llm.example", "--diff"])
    lines = done.stdout.splitlines()
    assert done.exit_code == 0
    assert sum(line.startswith("+") for line in lines) > 100
    assert [line for line in lines if line.startswith("-") and not line.startswith("---")] == []


@pytest.mark.parametrize("options", [[], ["--domain", "a", "--path-prefix", "/b"]])
def test_one_place_has_to_be_named(tmp_path: Path, options: list[str]) -> None:
    file = bootstrap(tmp_path, manager())
    done = CliRunner().invoke(app, ["attach", str(file), *options])
    assert done.exit_code == 1
    assert "give one of --domain and --path-prefix" in done.stderr


def test_scopes_that_stand_in_the_listener_are_served_each(tmp_path: Path) -> None:
    """Each has a table of its own; one may be taken from a file."""
    host = {"name": "all", "domains": ["*"], "routes": []}
    table = {"name": "filed", "virtual_hosts": [host]}
    (tmp_path / "rds.yaml").write_text(yaml.safe_dump({"resources": [table]}))
    scopes = [
        {"name": "a", "route_configuration": {"name": "own", "virtual_hosts": [host]}},
        {"name": "b", "route_configuration_name": "filed"},
    ]
    scoped = {
        "rds_config_source": {"path_config_source": {"path": str(tmp_path / "rds.yaml")}},
        "scoped_route_configurations_list": {"scoped_route_configurations": scopes},
    }
    found = attached(bootstrap(tmp_path, manager(route_config=None, scoped_routes=scoped)))
    told = yaml.safe_dump(found.files[tmp_path / "rds.yaml"])
    assert len(found.changed) == 2
    assert "llm.example" in told
    assert "llm.example" in yaml.safe_dump(found.files[tmp_path / "envoy.yaml"])


def test_a_table_of_two_listeners_is_served_by_both_or_by_none(tmp_path: Path) -> None:
    """Through the other one, calls would reach providers and nobody would decide."""
    host = {"name": "all", "domains": ["*"], "routes": []}
    table = {"name": "shared", "virtual_hosts": [host]}
    (tmp_path / "rds.yaml").write_text(yaml.safe_dump({"resources": [table]}))
    source = {"path_config_source": {"path": str(tmp_path / "rds.yaml")}}
    rds = {"route_config_name": "shared", "config_source": source}
    file = bootstrap(
        tmp_path, manager(route_config=None, rds=rds), manager(route_config=None, rds=rds)
    )
    with pytest.raises(SettingsError, match="listener 'l1' has the routes 'shared' too"):
        attached(file, OURS, "l0")
    found = attached(file, OURS, "l0", "l1")
    (told,) = found.files[tmp_path / "rds.yaml"]["resources"]
    assert [each["name"] for each in told["virtual_hosts"]].count("tollgate") == 1
    for each in found.files[file]["static_resources"]["listeners"]:
        assert len(each["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]) > 4


def test_a_filter_gets_its_other_name_wherever_it_is_configured(tmp_path: Path) -> None:
    """For a cluster among several, and within a matcher, too."""
    own = {"typed_per_filter_config": {AUTHZ_FILTER: {"disabled": True}}}
    several = {"weighted_clusters": {"clusters": [{"name": "c", "weight": 1, **own}]}}
    hosts = [
        {"name": "a", "domains": ["a"], "routes": [{"match": {"prefix": "/"}, "route": several}]},
        {"name": "b", "domains": ["b"], "matcher": {"on_no_match": {"action": own}}},
    ]
    theirs = {"name": AUTHZ_FILTER, "typed_config": {"@type": f"{TYPES}.http.rbac.v3.RBAC"}}
    file = bootstrap(
        tmp_path,
        manager(http_filters=[theirs, ROUTER], route_config={"virtual_hosts": hosts}),
    )
    told = yaml.safe_dump(
        attached(file).files[file]["static_resources"]["listeners"][0]["filter_chains"][0][
            "filters"
        ][0]["typed_config"]["route_config"]["virtual_hosts"][:2]
    )
    assert told.count(f"{AUTHZ_FILTER}.own") == 2
    assert f"{AUTHZ_FILTER}:" not in told


def test_hosts_that_a_server_sends_take_no_prefix(tmp_path: Path) -> None:
    """Those that are there are not all."""
    table = {"name": "r", "vhds": {"config_source": {}}, "virtual_hosts": []}
    with pytest.raises(SettingsError, match="'r': vhds: a server sends its hosts"):
        attached(bootstrap(tmp_path, manager(route_config=table)), PathPrefix("/llm"))


def test_listeners_that_a_server_sends_are_said_so(tmp_path: Path) -> None:
    """With the field, and what to send instead."""
    file = tmp_path / "envoy.yaml"
    file.write_text(yaml.safe_dump({"dynamic_resources": {"lds_config": {"ads": {}}}}))
    with pytest.raises(SettingsError, match=r"dynamic_resources\.lds_config: listeners come"):
        attached(file)


def test_a_part_is_printed_singly(tmp_path: Path) -> None:
    """As it is merged: the host with the domain, the log for Tollgate's routes alone."""
    file = bootstrap(tmp_path, manager())

    def printed(what: str) -> Any:
        command = ["attach", str(file), "--domain", "llm.example", "--what", what]
        done = CliRunner().invoke(app, command)
        return yaml.safe_load(done.stdout) if done.exit_code == 0 else done.stderr

    assert printed("virtual-host")["domains"] == ["llm.example", "llm.example:*"]
    assert {each["name"] for each in printed("filters")} > {AUTHZ_FILTER}
    assert all("filter" in each for each in printed("access-log"))
    assert "tollgate" in {each["name"] for each in printed("clusters")}
    assert "access-log" in printed("bounds")


def test_what_holds_for_tollgates_routes_too_is_said(tmp_path: Path) -> None:
    """A table's settings hold for each host of it, a host's for the routes with the prefix."""
    mirrored, again = [{"cluster": "copy"}], {"retry_on": "5xx"}
    host = {"name": "all", "domains": ["*"], "routes": [], "retryPolicy": again}
    table = {"virtual_hosts": [host], "request_mirror_policies": mirrored}
    file = bootstrap(tmp_path, manager(route_config=table))
    assert [each.split(" holds")[0] for each in attached(file).notes] == [
        "routes: request_mirror_policies"
    ]
    assert [each.split(" holds")[0] for each in attached(file, PathPrefix("/llm")).notes] == [
        "routes: request_mirror_policies",
        "host 'all': retry_policy",
    ]
