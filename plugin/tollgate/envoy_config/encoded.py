"""Encode what Envoy discovers, as it reads files and as it travels by gRPC.

Envoy takes three times as long to read the same as JSON.

The library that reads JSON takes milliseconds for a cluster, and a change of one among hundreds has
to be quick. So what was encoded before is taken as it is, and what several resources have in common
is encoded once. Encoded fields may follow each other in any order:
https://protobuf.dev/programming-guides/encoding/#order.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files as resources_of
from pathlib import Path
from typing import Any

import msgspec
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass

from tollgate.envoy_config.discovered import CLUSTER, ROUTE_TABLE, Discovered, ResourceFile
from tollgate.envoy_config.literals import Json
from tollgate.pb.discovery_pb2 import DeltaDiscoveryResponse, DiscoveryResponse

_ROUTE = "envoy.config.route.v3.Route"
_SECRET = "envoy.extensions.transport_sockets.tls.v3.Secret"


class Encoder:
    """Encodes the files of one change. `by_ads`: for gRPC."""

    def __init__(self, *, by_ads: bool) -> None:
        self._by_ads = by_ads
        # A cluster is named by its content; a route is not.
        self._clusters: dict[str, bytes] = {}
        self._routes: dict[bytes, bytes] = {}
        self._parts: dict[tuple[str, str, bytes], bytes] = {}

    def learn(self, earlier: Discovered, clusters: bytes, routes: bytes) -> None:
        """Take over what was encoded before."""
        names = (each["name"] for each in earlier.clusters)
        self._clusters |= dict(zip(names, self._values(clusters), strict=True))
        (table,) = self._values(routes)
        message = _class_of(ROUTE_TABLE).FromString(table)
        hosts = zip(earlier.routes["virtual_hosts"], message.virtual_hosts, strict=True)
        for host, told in hosts:
            for route, encoded in zip(host["routes"], told.routes, strict=True):
                self._routes[msgspec.json.encode(route)] = encoded.SerializeToString()

    def encoded_file(self, file: ResourceFile) -> bytes:
        """Return a file for Envoy; by gRPC, as a response without its nonce.

        Raises ParseError for a field that proto/resources lacks.
        """
        if file.message == ROUTE_TABLE:
            found = [(each["name"], file.version, self._table(each)) for each in file.resources]
        else:
            found = [(each["name"], each["name"], self._cluster(each)) for each in file.resources]
        if self._by_ads:
            return _response(file.message, file.version, found)
        response = DiscoveryResponse(version_info=file.version)
        for _, _, value in found:
            response.resources.add(type_url=_type_url(file.message), value=value)
        return response.SerializeToString()

    def _values(self, encoded: bytes) -> list[bytes]:
        if self._by_ads:
            found = DeltaDiscoveryResponse.FromString(encoded).resources
            return [each.resource.value for each in found]
        return [each.value for each in DiscoveryResponse.FromString(encoded).resources]

    def encoded_secrets(self, files: Iterable[Path]) -> bytes:
        """Return the secrets of files as one response, without version and nonce."""
        found = []
        for file in files:
            (secret,) = msgspec.json.decode(file.read_bytes())["resources"]
            del secret["@type"]
            # The name tells the content.
            found.append((secret["name"], secret["name"], self._encoded(_SECRET, secret)))
        return _response(_SECRET, "", found)

    def _cluster(self, cluster: Json) -> bytes:
        name = cluster["name"]
        if name not in self._clusters:
            self._clusters[name] = self._encoded(CLUSTER, cluster)
        return self._clusters[name]

    def _table(self, table: Json) -> bytes:
        hosts = [{**each, "routes": []} for each in table["virtual_hosts"]]
        message = _parsed(ROUTE_TABLE, {**table, "virtual_hosts": hosts})
        for host, told in zip(table["virtual_hosts"], message.virtual_hosts, strict=True):
            for route in host["routes"]:
                told.routes.add().MergeFromString(self._route(route))
        encoded: bytes = message.SerializeToString(deterministic=True)
        return encoded

    def _route(self, route: Json) -> bytes:
        text = msgspec.json.encode(route)
        if text not in self._routes:
            self._routes[text] = self._encoded(_ROUTE, route)
        return self._routes[text]

    def _encoded(self, message: str, content: Json) -> bytes:
        return b"".join(self._part(message, name, value) for name, value in content.items())

    def _part(self, message: str, name: str, value: object) -> bytes:
        """Return a message of which one field is set."""
        key = message, name, msgspec.json.encode(value)
        if key not in self._parts:
            self._parts[key] = _parsed(message, {name: value}).SerializeToString()
        return self._parts[key]


def _response(message: str, version: str, found: Iterable[tuple[str, str, bytes]]) -> bytes:
    """Return a response of incremental discovery. `found`: names, versions and contents."""
    response = DeltaDiscoveryResponse(system_version_info=version)
    for name, own_version, value in found:
        added = response.resources.add(name=name, version=own_version)
        added.resource.type_url, added.resource.value = _type_url(message), value
    return response.SerializeToString()


def _type_url(message: str) -> str:
    return f"type.googleapis.com/{message}"


def _parsed(message: str, content: Json) -> Any:
    # ParseDict moves members of what it reads, which other resources may share.
    own = msgspec.json.decode(msgspec.json.encode(content))
    return ParseDict(own, _class_of(message)(), descriptor_pool=_described())


def _class_of(message: str) -> Any:
    return GetMessageClass(_described().FindMessageTypeByName(message))


@cache
def _described() -> DescriptorPool:
    """Return Envoy's messages, apart from those that libraries may bring under the same names."""
    pool = DescriptorPool()
    described = resources_of("tollgate.pb").joinpath("resources.binpb").read_bytes()
    for file in FileDescriptorSet.FromString(described).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool
