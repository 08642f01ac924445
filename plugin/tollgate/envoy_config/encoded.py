"""Encode what Envoy discovers as it travels by gRPC, from the JSON that files hold."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files as resources_of
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass

from tollgate.envoy_config.literals import Json
from tollgate.pb.discovery_pb2 import DiscoveryResponse, NamedResource


def encoded_file(file: Path, earlier: Iterable[Path]) -> bytes:
    """Return a file of resources as a response of the discovery service, without its nonce.

    `earlier`: responses from which resources of the same name are taken as they are, if they are
    clusters: a cluster is named by its content. Raises ParseError for a field that proto/resources
    lacks.
    """
    document = json.loads(file.read_text(encoding="utf-8"))
    resources = document["resources"]
    response = DiscoveryResponse(version_info=document["version_info"])
    known = {} if file.name.endswith("routes.json") else _by_name(earlier)
    for each in resources:
        response.type_url = each["@type"]
        value = known.get(each["name"]) or _encoded(each)
        response.resources.add(type_url=each["@type"], value=value)
    return response.SerializeToString()


def encoded_secrets(files: Iterable[Path]) -> bytes:
    """Return the secrets of files as one response, without version and nonce."""
    response = DiscoveryResponse()
    for file in files:
        (secret,) = json.loads(file.read_text(encoding="utf-8"))["resources"]
        response.resources.add(type_url=secret["@type"], value=_encoded(secret))
    return response.SerializeToString()


def _by_name(responses: Iterable[Path]) -> dict[str, bytes]:
    found = {}
    for file in responses:
        if file.exists():
            for each in DiscoveryResponse.FromString(file.read_bytes()).resources:
                found[NamedResource.FromString(each.value).name] = each.value
    return found


def _encoded(resource: Json) -> bytes:
    pool = _described()
    name = resource["@type"].rpartition("/")[2]
    message = GetMessageClass(pool.FindMessageTypeByName(name))()
    content = {key: value for key, value in resource.items() if key != "@type"}
    encoded: bytes = ParseDict(content, message, descriptor_pool=pool).SerializeToString()
    return encoded


@cache
def _described() -> DescriptorPool:
    """Return Envoy's messages, apart from those that libraries may bring under the same names."""
    pool = DescriptorPool()
    described = resources_of("tollgate.pb").joinpath("resources.binpb").read_bytes()
    for file in FileDescriptorSet.FromString(described).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool
