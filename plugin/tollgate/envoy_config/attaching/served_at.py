"""Where in somebody's routes Tollgate is served: a host of its own, or a prefix of every host."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain
from typing import Any

from tollgate.core.envoy_contract import NO_CLUSTER_HEADER, ROUTE_HEADER, ROUTE_PREFIX
from tollgate.core.errors import SettingsError
from tollgate.envoy_config.attaching.their_files import listed
from tollgate.envoy_config.listener.route_table import virtual_host
from tollgate.envoy_config.literals import Json
from tollgate.envoy_config.typed_messages import lua_message, packed
from tollgate.settings import Settings

PREFIX_FILTER = "tollgate.prefix"
"""The filter that takes the prefix off a call's path."""
FILTER_CONFIG = "type.googleapis.com/envoy.config.route.v3.FilterConfig"


@dataclass(frozen=True, slots=True)
class Domain:
    """A host of Tollgate's own."""

    name: str

    @property
    def filters(self) -> list[Json]:
        """What it needs before Tollgate's filters."""
        return []

    @property
    def _domains(self) -> list[str]:
        return [self.name] if "*" in self.name else [self.name, f"{self.name}:*"]

    def put(self, table: Json, settings: Settings, switched: Json) -> object:
        """Add the host to a route table, and return it. `switched`: what of the other filters is
        off for it.

        Raises SettingsError when the table has that host. Envoy compares hosts without regard to
        case.
        """
        hosts, ours = _hosts(table), {each.lower() for each in self._domains}
        for each in hosts:
            if ours.intersection(str(domain).lower() for domain in each.get("domains") or ()):
                raise SettingsError(
                    f"the host {self.name} is served by {each.get('name')!r} already: name another,"
                    " or use --path-prefix"
                )
        host = virtual_host(settings)
        host["domains"] = self._domains
        host["routes"] = [_switching(each, switched) for each in host["routes"]]
        hosts.append(host)
        return host

    def inherited(self, table: Json) -> list[str]:
        """Return a line for each setting of the table that holds for Tollgate's routes too."""
        return _inherited("routes", table)


@dataclass(frozen=True, slots=True)
class PathPrefix:
    """A prefix of the paths of every host, such as `/llm`."""

    path: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", self.path):
            raise SettingsError(f"--path-prefix: {self.path!r} is no prefix of paths, such as /llm")

    @property
    def filters(self) -> list[Json]:
        """What takes the prefix off before Tollgate's filters see the path."""
        script = lua_message("prefix", PREFIX=f'"{self.path}"')
        # The route stays: without its prefix the path could be one of another's.
        config = packed(script, clear_route_cache=False)
        return [{"name": PREFIX_FILTER, "typed_config": config, "disabled": True}]

    def put(self, table: Json, settings: Settings, switched: Json) -> object:
        """Put routes before all others of each host, and return them. `switched`: as for a
        Domain.
        """
        ours = virtual_host(settings)
        shown = ours["typed_per_filter_config"]
        routes = [_switching(self._beneath(each), {**shown, **switched}) for each in ours["routes"]]
        at = next(at for at, each in enumerate(routes) if not _is_deployment(each))
        routes.insert(at, _switching(_named_in_vain(), switched))
        if table.get("vhds"):
            raise SettingsError(
                f"{table.get('name')!r}: vhds: a server sends its hosts: use --domain"
            )
        for host in _hosts(table):
            if "matcher" in host:
                raise SettingsError(
                    f"{host.get('name')!r}: matcher: it has one instead of routes: use --domain"
                )
            host["routes"] = [*deepcopy(routes), *(host.get("routes") or [])]
        return routes

    def inherited(self, table: Json) -> list[str]:
        """Return a line for each setting that holds for Tollgate's routes too: of the table, and of
        each host.
        """
        hosts = (_inherited(f"host {each.get('name')!r}", each) for each in _hosts(table))
        return [*_inherited("routes", table), *chain.from_iterable(hosts)]

    def _beneath(self, route: Json) -> Json:
        """The route for paths with the prefix. Deployments are told by Tollgate's header alone."""
        if _is_deployment(route):
            return route
        match = dict(route["match"])
        if match.get("prefix") == "/":
            del match["prefix"]
            match["path_separated_prefix"] = self.path
        elif "safe_regex" in match:
            expression = re.escape(self.path) + match["safe_regex"]["regex"]
            match["safe_regex"] = {**match["safe_regex"], "regex": expression}
        else:
            for kind in ("prefix", "path"):
                if kind in match:
                    match[kind] = self.path + match[kind]
        moved = {**route, "match": match}
        if moved["name"] == f"{ROUTE_PREFIX}management":
            off = {"pattern": {"regex": f"^{re.escape(self.path)}"}, "substitution": ""}
            moved["route"] = {**route["route"], "regex_rewrite": off}
            return moved
        on = {PREFIX_FILTER: {"@type": FILTER_CONFIG, "config": {}}}
        return _switching(moved, on)


_INHERITED = {
    "request_mirror_policies": "copies of calls go there, with what their clients asked",
    "retry_policy": "a call that failed is sent to its provider again",
    "hedge_policy": "a call may be sent to its provider twice",
}


def _inherited(where: str, holder: Json) -> list[str]:
    return [
        f"{where}: {name} holds for Tollgate's routes too: {what}"
        for name, what in _INHERITED.items()
        if holder.get(name)
    ]


def _named_in_vain() -> Json:
    """404 for a call whose deployment this configuration does not have: without the prefix its path
    would be another's.
    """
    header = {"name": ROUTE_HEADER, "present_match": True}
    return {
        "name": f"{ROUTE_PREFIX}nowhere",
        "match": {"prefix": "/", "headers": [header]},
        "route": {
            "cluster_header": NO_CLUSTER_HEADER,
            "cluster_not_found_response_code": "NOT_FOUND",
        },
    }


def _is_deployment(route: Json) -> bool:
    headers: Sequence[Any] = route["match"].get("headers") or ()
    return any(each.get("name") == ROUTE_HEADER for each in headers)


def _switching(route: Json, filters: Json) -> Json:
    """The route with filters switched on or off for its requests, as far as it does not say it."""
    own = route.get("typed_per_filter_config", {})
    return {**route, "typed_per_filter_config": {**filters, **own}}


def _hosts(table: Json) -> list[Json]:
    table["virtual_hosts"] = hosts = listed(table, "virtual_hosts", f"routes {table.get('name')!r}")
    for each in hosts:
        listed(each, "routes", f"host {each.get('name')!r}")
    return hosts
