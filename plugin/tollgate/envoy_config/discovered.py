"""What Envoy takes from files while it runs: the deployments' clusters, and the route table.

A cluster is named by its content here. So a changed deployment is a new cluster beside the old one,
and the route table moves to it in one step: no request meets one half of a change. Metrics keep the
deployment's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec

from tollgate.core.envoy_contract import ROUTE_HEADER
from tollgate.envoy_config.clusters.provider_clusters import provider_clusters
from tollgate.envoy_config.listener.route_table import route_configuration
from tollgate.envoy_config.literals import Json
from tollgate.settings import Settings
from tollgate.topology import Topology

CLUSTER = "envoy.config.cluster.v3.Cluster"
ROUTE_TABLE = "envoy.config.route.v3.RouteConfiguration"
_NAMING = ("cluster", "cluster_name")


@dataclass(frozen=True, slots=True)
class ResourceFile:
    """Resources of one type (`message`), and the file that holds them."""

    message: str
    resources: list[Json]
    version: str
    text: bytes

    @classmethod
    def of(cls, message: str, resources: list[Json]) -> ResourceFile:
        """Name them by their content."""
        kind = f"type.googleapis.com/{message}"
        typed = msgspec.json.encode([{"@type": kind, **each} for each in resources])
        version = _version(typed)
        text = b'{"version_info":"%s","resources":%s}' % (version.encode(), typed)
        return cls(message, resources, version, text)


@dataclass(frozen=True, slots=True)
class Discovered:
    """Clusters, and the route table that names them."""

    clusters: list[Json]
    routes: Json

    @classmethod
    def of(cls, settings: Settings, topology: Topology) -> Discovered:
        """What these settings need."""
        names: dict[str, str] = {}
        clusters = []
        for cluster in provider_clusters(settings, topology):
            name = cluster["name"]
            names[name] = versioned = f"{name}@{_version(msgspec.json.encode(cluster))}"
            assignment = {**cluster["load_assignment"], "cluster_name": versioned}
            own = {"name": versioned, "alt_stat_name": name, "load_assignment": assignment}
            clusters.append({**cluster, **own})
        table = route_configuration(settings)
        for host in table["virtual_hosts"]:
            for route in filter(_is_deployment, host["routes"]):
                route["route"] = _renamed(route["route"], names)
        return cls(clusters, table)

    @classmethod
    def read(cls, clusters: bytes, routes: bytes) -> Discovered:
        """What two files hold that Envoy reads."""
        (table,) = _resources(routes)
        return cls(_resources(clusters), table)

    def beside(self, earlier: Discovered) -> Discovered:
        """These, with what calls that were admitted earlier still need."""
        known = {each["name"] for each in self.clusters}
        old = [each for each in earlier.clusters if each["name"] not in known]
        (host,) = self.routes["virtual_hosts"]
        named = {each["name"] for each in host["routes"]}
        (earlier_host,) = earlier.routes["virtual_hosts"]
        kept = [
            each
            for each in earlier_host["routes"]
            if each["name"] not in named and _is_deployment(each)
        ]
        merged = {**host, "routes": [*kept, *host["routes"]]}
        return Discovered([*self.clusters, *old], {**self.routes, "virtual_hosts": [merged]})

    def files(self) -> tuple[ResourceFile, ResourceFile]:
        """The two files, as Envoy reads them. Their version is that of their content."""
        return ResourceFile.of(CLUSTER, self.clusters), ResourceFile.of(ROUTE_TABLE, [self.routes])


def _is_deployment(route: Json) -> bool:
    return any(each.get("name") == ROUTE_HEADER for each in route["match"].get("headers", ()))


def _renamed(value: Any, names: dict[str, str]) -> Any:
    """The action of a route with every name of a cluster replaced."""
    if isinstance(value, dict):
        return {
            name: names.get(each, each)
            if name in _NAMING and isinstance(each, str)
            else _renamed(each, names)
            for name, each in value.items()
        }
    return [_renamed(each, names) for each in value] if isinstance(value, list) else value


def _version(content: bytes) -> str:
    return sha256(content).hexdigest()[:12]


def _resources(text: bytes) -> list[Json]:
    return [
        {name: value for name, value in each.items() if name != "@type"}
        for each in msgspec.json.decode(text)["resources"]
    ]
