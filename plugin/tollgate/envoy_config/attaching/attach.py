"""Merges Tollgate into somebody's Envoy configuration.

Hosts and routes that are not Tollgate's behave as before: its filters are disabled for them, its
words are for its own routes, and nothing of a listener or connection manager is set that its owner
has not asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tollgate.core.envoy_contract import ROUTE_PREFIX, TOKEN_NAMESPACE, VERIFIED_FILTER
from tollgate.core.errors import SettingsError
from tollgate.envoy_config.attaching.served_at import FILTER_CONFIG, Domain, PathPrefix
from tollgate.envoy_config.attaching.their_files import Manager, TheirFiles
from tollgate.envoy_config.bootstrap import GRACEFUL_CLOSE
from tollgate.envoy_config.clusters.clusters import clusters, secrets
from tollgate.envoy_config.http_filters.filters import http_filters
from tollgate.envoy_config.http_filters.verifying import verified_sources
from tollgate.envoy_config.listener.access_logging import access_log
from tollgate.envoy_config.listener.listener import early_mutations, local_replies
from tollgate.envoy_config.literals import Json
from tollgate.envoy_config.typed_messages import plain
from tollgate.settings import Settings
from tollgate.topology import ConfigPart, beside_serve

_TOKENS = "JwtAuthentication"
_OFF = {
    _TOKENS: "a key of Tollgate's is no such token",
    "OAuth2": "clients come with a key",
    "BasicAuth": "clients come with a key",
    "ApiKeyAuth": "it does not know Tollgate's keys",
    "ExtAuthz": "Tollgate decides there",
    "ExternalProcessor": "one more reader of replies beside Tollgate's loses data",
    "Decompressor": "beside Tollgate's reader a reply would never end",
    "CredentialInjector": "each deployment has a credential of its own",
    "AwsRequestSigning": "each deployment has a credential of its own",
    "CacheConfig": "a cached reply is no call",
    "CacheV2Config": "a cached reply is no call",
}
"""Filters of theirs that are off for Tollgate's routes, by the last word of their type, and why."""

_CONNECTS = ("connect", "connect-udp")
"""Upgrades that match none of Tollgate's routes: those match by path."""
_OURS = f"xds.route_name.startsWith('{ROUTE_PREFIX}')"
_PERIODIC = "DownstreamPeriodic"


@dataclass(slots=True)
class Attached:
    """The files as they shall be, by their path, and what their owner has to know.

    `parts`: what was added, part by part, for who merges it by hand.
    """

    files: dict[Path, Json]
    before: dict[Path, Json]
    notes: list[str] = field(default_factory=list)
    parts: dict[ConfigPart, object] = field(default_factory=dict)

    @property
    def changed(self) -> dict[Path, Json]:
        """Those that differ."""
        return {path: each for path, each in self.files.items() if each != self.before[path]}


def attach(
    bootstrap: Path, settings: Settings, place: Domain | PathPrefix, listeners: Sequence[str] = ()
) -> Attached:
    """Merge Tollgate into a bootstrap, and into the files that it takes routes from.

    Raises SettingsError when that cannot be done.
    """
    theirs = TheirFiles.read(bootstrap)
    managers, taken = theirs.managers(listeners), theirs.clusters()
    found = Attached(theirs.documents, deepcopy(theirs.documents))
    _check_clusters(bootstrap, taken, settings)
    for each in managers:
        _rename_filters(each, settings)
    for each in managers:
        _manager(each, settings, place, found)
    ours = {each["name"] for each in http_filters(settings)}
    done: list[Json] = []
    for table in (table for each in managers for table in each.tables):
        if any(table is each for each in done):
            continue
        done.append(table)
        users = [each for each in managers if each.uses(table)]
        off: Json = {}
        for each in users:
            off |= _switched_off(each, ours, found.notes)
        found.parts[ConfigPart.VIRTUAL_HOST] = place.put(table, settings, off)
        found.notes += place.inherited(table)
        for each in users:
            _leave_on(each, table, settings, found.notes)
            _refuse_upgrades(each, table)
    _resources(theirs.document, settings, found)
    found.notes = list(dict.fromkeys(found.notes))
    return found


def _check_clusters(bootstrap: Path, taken: list[str], settings: Settings) -> None:
    ours = {each["name"] for each in clusters(settings, beside_serve(settings.tollgate))}
    if both := ours.intersection(taken):
        raise SettingsError(
            f"{bootstrap}: has a cluster {min(both)!r} already; is Tollgate attached to it?"
        )


def _rename_filters(manager: Manager, settings: Settings) -> None:
    ours = {each["name"] for each in http_filters(settings)}
    for each in manager.config.get("http_filters") or []:
        if each.get("name") in ours:
            each["name"] = _renamed(manager, each["name"])


def _renamed(manager: Manager, name: str) -> str:
    """Another name for a filter of theirs that goes by the name of one of ours.

    Routes address filters by name, so theirs would be configured with ours. What their routes say
    of it follows.
    """
    other = f"{name}.own"
    for each in manager.tables:
        _rename_in(each, name, other)
    return other


def _rename_in(value: Any, name: str, other: str) -> None:
    """Rename a filter wherever a route table configures it: for a table, a host, a route, a
    cluster among several, and within matchers.
    """
    if isinstance(value, list):
        for each in value:
            _rename_in(each, name, other)
    elif isinstance(value, dict):
        own = value.get("typed_per_filter_config")
        if isinstance(own, dict) and name in own:
            own[other] = own.pop(name)
        for each in value.values():
            _rename_in(each, name, other)


def _manager(
    manager: Manager, settings: Settings, place: Domain | PathPrefix, found: Attached
) -> None:
    config = manager.config
    theirs = config.get("http_filters") or []
    if not theirs:
        raise SettingsError(f"listener {manager.listener!r}: http_filters are empty")
    ours = [*place.filters, *http_filters(settings)]
    found.parts[ConfigPart.FILTERS] = ours
    config["http_filters"] = [*theirs[:-1], *ours, theirs[-1]]
    early = config.get("early_header_mutation_extensions") or []
    ours = [plain(early_mutations())]
    found.parts[ConfigPart.EARLY_MUTATIONS] = ours
    config["early_header_mutation_extensions"] = [*ours, *early]
    _access_log(config, settings, found)
    _local_replies(config, settings, found)


def _leave_on(manager: Manager, table: Json, settings: Settings, notes: list[str]) -> None:
    """Leave filters of theirs on for calls, where what they find out about tokens says who asks.

    Management takes keys.
    """
    if all(each.namespace != TOKEN_NAMESPACE for each in verified_sources(settings.tollgate)):
        return
    names = [each["name"] for each in manager.config["http_filters"] if _kind(each) == _TOKENS]
    for host in table["virtual_hosts"]:
        for route in host.get("routes") or []:
            own = route.get("typed_per_filter_config") or {}
            if VERIFIED_FILTER in own:
                for name in names:
                    own.pop(name, None)
    notes.extend(f"{name} is on for calls of models: it says who asks" for name in names)


def _refuse_upgrades(manager: Manager, table: Json) -> None:
    """Refuse on our routes what the manager lets clients upgrade to, as Tollgate's own Envoy does.

    Nobody could read the usage of a WebSocket, and an upgrade may have a chain of filters of its
    own, without Tollgate's.
    """
    kinds = [
        each.get("upgrade_type")
        for each in manager.config.get("upgrade_configs") or []
        if str(each.get("upgrade_type")).lower() not in _CONNECTS
    ]
    if not kinds:
        return
    refused = [{"upgrade_type": each, "enabled": False} for each in kinds]
    for host in table["virtual_hosts"]:
        for route in host.get("routes") or []:
            if str(route.get("name", "")).startswith(ROUTE_PREFIX) and "route" in route:
                route["route"] = {**route["route"], "upgrade_configs": refused}


def _kind(http_filter: Json) -> str:
    """Return the last word of a filter's type, also where it stands in a struct, within a matcher,
    or comes from a server.
    """
    discovery = http_filter.get("config_discovery")
    if isinstance(discovery, dict):
        kinds = [_last_word(each) for each in discovery.get("type_urls") or ()]
        return next((each for each in kinds if each in _OFF), "")
    config = http_filter.get("typed_config") or {}
    kind = _last_word(config.get("@type", ""))
    if kind == "TypedStruct":
        return _last_word(config.get("type_url", ""))
    if kind.startswith("ExtensionWithMatcher"):
        return _kind(config.get("extension_config") or {})
    return kind


def _last_word(kind: object) -> str:
    return str(kind).rpartition(".")[2]


def _switched_off(manager: Manager, ours: set[str], notes: list[str]) -> Json:
    """What their filters are told by our routes. A table or host may switch on one that is off."""
    off: Json = {}
    for each in manager.config["http_filters"]:
        kind = _kind(each)
        if kind in _OFF and each["name"] not in ours:
            off[each["name"]] = {"@type": FILTER_CONFIG, "disabled": True}
            notes.append(f"{each['name']} is off for Tollgate's routes: {_OFF[kind]}")
    return off


def _access_log(config: Json, settings: Settings, found: Attached) -> None:
    """Ours beside theirs. Running calls are told of periodically: theirs leave that out."""
    options = dict(config.get("access_log_options") or {})
    theirs = config.get("access_log") or []
    every = f"{settings.tollgate.lease_seconds / 3:g}s"
    if "access_log_flush_interval" in options or "access_log_flush_interval" in config:
        found.notes.append(
            "access_log_flush_interval stays as it is; it has to be shorter than "
            f"{settings.tollgate.lease_seconds} s, or long calls are charged as held"
        )
    else:
        config["access_log_options"] = options | {"access_log_flush_interval": every}
        once = {"log_type_filter": {"types": [_PERIODIC], "exclude": True}}
        theirs = [each | {"filter": _both(once, each.get("filter"))} for each in theirs]
    ours = plain(access_log(settings))
    ours["filter"] = _both(_cel(_OURS), ours.get("filter"))
    config["access_log"] = [*theirs, ours]
    found.parts[ConfigPart.ACCESS_LOG] = [ours]


def _local_replies(config: Json, settings: Settings, found: Attached) -> None:
    """Our words for our routes; theirs, and none, for all others."""
    theirs = config.get("local_reply_config") or {}
    ours = [
        each | {"filter": _both(_cel(_OURS), each.get("filter"))}
        for each in local_replies(settings)["mappers"]
    ]
    found.parts[ConfigPart.LOCAL_REPLIES] = {"mappers": ours}
    mappers = [*ours, *(theirs.get("mappers") or [])]
    config["local_reply_config"] = {**theirs, "mappers": mappers}


def _both(first: Json, second: Json | None) -> Json:
    return first if second is None else {"and_filter": {"filters": [first, second]}}


def _cel(expression: str) -> Json:
    kind = "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
    return {
        "extension_filter": {
            "name": "envoy.access_loggers.extension_filters.cel",
            "typed_config": {"@type": kind, "expression": expression},
        }
    }


def _resources(document: Json, settings: Settings, found: Attached) -> None:
    static = document.setdefault("static_resources", {})
    added = {
        ConfigPart.CLUSTERS: clusters(settings, beside_serve(settings.tollgate)),
        ConfigPart.SECRETS: secrets(settings),
    }
    for part, each in added.items():
        found.parts[part], name = each, str(part)
        if each:
            static[name] = [*(static.get(name) or []), *each]
    runtime = document.setdefault("layered_runtime", {})
    layers: list[Any] = runtime.get("layers") or []
    # The first: whatever they have set themselves stands.
    runtime["layers"] = [{"name": "tollgate", "static_layer": dict(GRACEFUL_CLOSE)}, *layers]
