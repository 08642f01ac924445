"""An Envoy of a few dozen lines: it takes one request through our doors, and knows every name only
from the rendered configuration.

So doors and configuration that name something differently lead to another outcome, as they would
with the real Envoy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

STREAM_ID = "7-1"


def every(document: object, member: str) -> Iterator[Any]:
    """The values of a member, wherever it stands."""
    if isinstance(document, dict):
        for name, value in document.items():
            if name == member:
                yield value
            yield from every(value, member)
    elif isinstance(document, list):
        for each in document:
            yield from every(each, member)


def fits(name: str, matchers: Json) -> bool:
    """Whether a list of string matchers takes a name."""
    return any(
        name == each.get("exact") or ("prefix" in each and name.startswith(each["prefix"]))
        for each in matchers["patterns"]
    )


@dataclass
class Answer:
    """What ext_authz was answered, whichever protocol it came in.

    `upstream`: headers for the request; `told`: headers for the client.
    """

    status: int
    upstream: dict[str, str] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)


class SmallEnvoy:
    """One mode's configuration: its connection manager and its clusters."""

    def __init__(self, manager: Json, clusters: list[Json]) -> None:
        self.manager = manager
        self.clusters = clusters
        self.filters: dict[str, Json] = {each["name"]: each for each in manager["http_filters"]}
        self.routes: list[Json] = manager["route_config"]["virtual_hosts"][0]["routes"]

    def cleaned(self, headers: Mapping[str, str]) -> dict[str, str]:
        """A client's headers after those that are not for it to set were removed, and
        others set.
        """
        prefixes = [
            each["prefix"]
            for each in every(self.manager["early_header_mutation_extensions"], "key_matcher")
        ]
        left = {n: v for n, v in headers.items() if not n.startswith(tuple(prefixes))}
        for each in every(self.manager["http_filters"], "append"):
            if each["header"]["value"].startswith("%CONNECTION_ID%"):
                left[each["header"]["key"]] = STREAM_ID
            elif each["header"]["value"].startswith("%DYNAMIC_METADATA("):
                left[each["header"]["key"]] = "verified"
        return left

    def admission(self) -> tuple[str, Json]:
        """The filter that asks with the body: its name and its configuration."""
        [found] = [
            (name, each["typed_config"])
            for name, each in self.filters.items()
            if "with_request_body" in each["typed_config"]
        ]
        return found

    def key_check(self) -> Json | None:
        """The filter that asks for the key alone, where a route switches it on by its name."""
        for route in self.routes:
            for name, own in route.get("typed_per_filter_config", {}).items():
                if "check_settings" in own and name in self.filters:
                    return {**self.filters[name]["typed_config"], **own["check_settings"]}
        return None

    def asked_over_http(self, config: Json, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers that a native ext_authz sends."""
        asked = {n: v for n, v in headers.items() if fits(n, config["allowed_headers"])}
        added = config["http_service"].get("authorization_request", {}).get("headers_to_add", ())
        return asked | {each["key"]: each["value"] for each in added}

    def heard_over_http(self, config: Json, status: int, headers: Mapping[str, str]) -> Answer:
        """What a native ext_authz takes from a response."""
        taken = config["http_service"]["authorization_response"]
        if status != 200:
            told = {n: v for n, v in headers.items() if fits(n, taken["allowed_client_headers"])}
            return Answer(self._shown_status(status), told=told)

        def allowed(to: str) -> dict[str, str]:
            return {n: v for n, v in headers.items() if to in taken and fits(n, taken[to])}

        return Answer(
            status,
            allowed("allowed_upstream_headers"),
            allowed("allowed_client_headers_on_success"),
            allowed("dynamic_metadata_from_headers"),
        )

    def _shown_status(self, status: int) -> int:
        """The status of a local reply, after its mappers."""
        for each in self.manager["local_reply_config"]["mappers"]:
            compared = each["filter"].get("status_code_filter", {}).get("comparison", {})
            if "status_code" in each and compared["value"]["default_value"] == status:
                found: int = each["status_code"]
                return found
        return status

    def route(self, headers: Mapping[str, str]) -> Json | None:
        """The deployment's route that a request matches; None: there is none."""
        for each in self.routes:
            matched = each["match"].get("headers", ())
            if matched and all(
                "exact" in one.get("string_match", {})
                and headers.get(one["name"]) == one["string_match"]["exact"]
                for one in matched
            ):
                return each
        return None

    def chosen(self, headers: Mapping[str, str]) -> Iterator[Json]:
        """The chains of filters that a request's headers choose."""
        for each in self.filters.values():
            for tree in every(
                each["typed_config"].get("xds_matcher", {}).get("matcher_tree"), "map"
            ):
                header = each["typed_config"]["xds_matcher"]["matcher_tree"]["input"][
                    "typed_config"
                ]["header_name"]
                if headers.get(header) in tree:
                    yield tree[headers[header]]

    def log_takes(self, metadata: Mapping[str, Mapping[str, Any]]) -> bool:
        """Whether the access log is told of a request by what it carries."""
        return any(
            each["matcher"]["path"][0]["key"] in metadata.get(each["matcher"]["filter"], {})
            for each in every(self.manager["access_log"], "metadata_filter")
        )


def kinds(chain: object) -> list[str]:
    """The kinds of the filters in a chain, as Envoy's types name them."""
    return sorted({each.rsplit(".", 1)[1] for each in every(chain, "@type")})


LUA_READS = re.compile(r'dynamicMetadata\(\):get\("([^"]*)"\)|said\["([^"]*)"\]')
LUA_WRITES = re.compile(r'dynamicMetadata\(\):set\("([^"]*)", "([^"]*)"')
CEL_READS = re.compile(r"filter_metadata\['([^']*)'\]\['([^']*)'\]\.matches\(r'([^']*)'\)")


def lua_of(chain: object) -> str:
    """The Lua of a chain."""
    return "".join(each["inline_string"] for each in every(chain, "default_source_code"))


def found_by_lua(source: str, metadata: Mapping[str, Mapping[str, Any]]) -> list[bool]:
    """Whether each member that a script looks up is there, in the script's order."""
    namespace: Mapping[str, Any] = {}
    found = []
    for match in LUA_READS.finditer(source):
        if match[1] is not None:
            namespace = metadata.get(match[1], {})
        else:
            found.append(match[2] in namespace)
    return found


def worded_as(manager: Json, metadata: Mapping[str, Mapping[str, Any]]) -> list[bool]:
    """Which of the families that local replies are worded for a request's metadata names."""
    return [
        re.search(pattern, metadata.get(namespace, {}).get(key, "")) is not None
        for expression in every(manager["local_reply_config"], "expression")
        for namespace, key, pattern in CEL_READS.findall(expression)
    ]


def read_by_filters(chain: object, told: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """What Envoy's own filters leave in metadata of a reply that tells `told`, by rule.

    Where the first of several values is kept, it is the one that tells; the last is null.
    """
    metadata: dict[str, dict[str, object]] = {}
    rules = list(every(chain, "rule")) + [
        each for rules in every(chain, "rules") for each in rules if "selectors" in each
    ]
    for rule in rules:
        place, kept = ".".join(each["key"] for each in rule["selectors"]), rule["on_present"]
        if place in told:
            value = told[place]
            if isinstance(value, Mapping):
                first = kept.get("preserve_existing_metadata_value", False)
                value = json.dumps(value) if first else "null"
            metadata.setdefault(kept["metadata_namespace"], {})[kept["key"]] = value
    return metadata
