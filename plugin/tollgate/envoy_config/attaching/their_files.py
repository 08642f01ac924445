"""Somebody's Envoy configuration: a bootstrap, and the files that it takes listeners, clusters and
routes from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tollgate.core.errors import SettingsError
from tollgate.envoy_config.literals import Json

_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ANY_MANAGER = re.compile(r"http_connection_manager|HttpConnectionManager")
# Envoy reads both spellings of a field. These are looked at here.
_FIELDS = (
    "access_log access_log_flush_interval access_log_options cds_config config_discovery "
    "config_source default_filter_chain dynamic_resources early_header_mutation_extensions "
    "extension_config filter_chains "
    "hedge_policy http_filters layered_runtime lds_config local_reply_config path_config_source "
    "rds rds_config_source request_mirror_policies retry_policy route_config route_config_name "
    "route_configuration route_configuration_name scoped_route_configurations "
    "scoped_route_configurations_list scoped_routes static_resources type_url type_urls "
    "typed_config typed_per_filter_config upgrade_configs upgrade_type virtual_hosts"
)
_SNAKE = {re.sub(r"_(\w)", lambda match: match[1].upper(), name): name for name in _FIELDS.split()}
_READ = frozenset((*_SNAKE, *_SNAKE.values()))


@dataclass(frozen=True, slots=True)
class Manager:
    """One HTTP connection manager, and its tables of routes: several where they are scoped."""

    listener: str
    config: Json
    tables: tuple[Json, ...]

    def uses(self, table: Json) -> bool:
        """Return whether a table is one of its own; several managers may share one."""
        return any(table is each for each in self.tables)


@dataclass(slots=True)
class TheirFiles:
    """The files, by path; the bootstrap is the first. `changed`: as they shall be."""

    bootstrap: Path
    documents: dict[Path, Json] = field(default_factory=dict)

    @classmethod
    def read(cls, bootstrap: Path) -> TheirFiles:
        """Read a bootstrap. Raises SettingsError when it is none."""
        found = cls(bootstrap)
        found._document(bootstrap)
        return found

    @property
    def document(self) -> Json:
        """The bootstrap."""
        return self.documents[self.bootstrap]

    def managers(self, names: Sequence[str] = ()) -> list[Manager]:
        """The connection managers of the named listeners, or of the only one that has any.

        Raises SettingsError when none or several could be meant, or when another listener takes its
        routes from a table that would change.
        """
        found: dict[str, list[Json]] = {}
        for each in self._listeners():
            name = _name_of(each)
            if configs := list(_manager_configs(each, f"{self.bootstrap}: listener {name!r}")):
                found.setdefault(name, []).extend(configs)
        if not found:
            raise SettingsError(f"{self.bootstrap}: {self._where_listeners_are()}")
        if unknown := [each for each in names if each not in found]:
            raise SettingsError(
                f"{self.bootstrap}: no HTTP connection manager: {unknown[0]!r}, of"
                f" {', '.join(found)}"
            )
        if not names and len(found) > 1:
            raise SettingsError(
                f"{self.bootstrap}: several listeners speak HTTP ({', '.join(found)}): "
                "name one with --listener, or several"
            )
        chosen = [
            Manager(name, config, self._tables(name, config))
            for name in names or found
            for config in found[name]
        ]
        self._check_others(
            chosen, {name: each for name, each in found.items() if names and name not in names}
        )
        return chosen

    def _check_others(self, chosen: list[Manager], others: dict[str, list[Json]]) -> None:
        """Raise SettingsError for a table that another listener uses.

        Clients of that listener would reach Tollgate's routes, and nothing would decide there.
        """
        for name, configs in others.items():
            for config in configs:
                for table in self._known_tables(name, config):
                    if any(each.uses(table) for each in chosen):
                        raise SettingsError(
                            f"{self.bootstrap}: the listener {name!r} has the routes"
                            f" {table.get('name')!r} too: name it with --listener as well"
                        )

    def _known_tables(self, listener: str, manager: Json) -> tuple[Json, ...]:
        try:
            return self._tables(listener, manager)
        except SettingsError:
            return ()  # routes that cannot be changed here are shared with nobody

    def _where_listeners_are(self) -> str:
        dynamic = self.document.get("dynamic_resources")
        source = dynamic.get("lds_config") if isinstance(dynamic, dict) else None
        if isinstance(source, dict) and _path(source) is None:
            return (
                "dynamic_resources.lds_config: listeners come from a server: put what "
                "`tollgate envoy-config --what filters`, `--what virtual-host` and "
                "`--what access-log` print into what that server sends"
            )
        return "static_resources.listeners: none has an HTTP connection manager"

    def clusters(self) -> list[str]:
        """The names of the clusters that are there."""
        static = self._static("clusters")
        return [str(each.get("name")) for each in (*static, *self._discovered("cds_config"))]

    def _listeners(self) -> list[Json]:
        return [*self._static("listeners"), *self._discovered("lds_config")]

    def _static(self, name: str) -> list[Json]:
        static = self.document.get("static_resources") or {}
        if not isinstance(static, dict):
            raise SettingsError(f"{self.bootstrap}: static_resources must be a mapping")
        return listed(static, name, f"{self.bootstrap}: static_resources")

    def _discovered(self, source: str) -> list[Json]:
        dynamic = self.document.get("dynamic_resources")
        path = _path(dynamic.get(source)) if isinstance(dynamic, dict) else None
        return [] if path is None else listed(self._document(path), "resources", str(path))

    def _tables(self, listener: str, manager: Json) -> tuple[Json, ...]:
        """The route tables of a connection manager. Raises SettingsError where nobody
        can change them.
        """
        where = f"{self.bootstrap}: listener {listener!r}"
        if isinstance(manager.get("route_config"), dict):
            return (manager["route_config"],)
        if isinstance(manager.get("rds"), dict):
            rds = manager["rds"]
            name = rds.get("route_config_name")
            return (self._table(name, rds.get("config_source"), f"{where}: rds.config_source"),)
        if isinstance(manager.get("scoped_routes"), dict):
            return tuple(self._scoped_tables(manager["scoped_routes"], f"{where}: scoped_routes"))
        raise SettingsError(f"{where}: it has neither route_config nor rds nor scoped_routes")

    def _scoped_tables(self, scoped: Json, where: str) -> Iterator[Json]:
        """Yield the table of each scope that stands in the manager itself."""
        listed = scoped.get("scoped_route_configurations_list") or {}
        scopes = listed.get("scoped_route_configurations")
        if not scopes:
            raise SettingsError(f"{where}.scoped_rds: scopes that are sent cannot be merged into")
        for scope in scopes:
            if isinstance(scope.get("route_configuration"), dict):
                yield scope["route_configuration"]
            else:
                source = scoped.get("rds_config_source")
                name = scope.get("route_configuration_name")
                yield self._table(name, source, f"{where}.rds_config_source")

    def _table(self, name: object, source: object, where: str) -> Json:
        path = _path(source)
        if path is None:
            raise SettingsError(
                f"{where}: the routes come from a server: put what "
                "`tollgate envoy-config --what virtual-host` prints into what that server sends"
            )
        for each in listed(self._document(path), "resources", str(path)):
            if each.get("name") == name:
                found: Json = each
                return found
        raise SettingsError(f"{where}: {path} has no route table {name!r}")

    def _document(self, path: Path) -> Json:
        if path not in self.documents:
            try:
                document = _parsed(path.read_text(encoding="utf-8"))
            except OSError as error:
                raise SettingsError(f"cannot read {path}: {error.strerror}") from error
            except (yaml.YAMLError, UnicodeDecodeError) as error:
                raise SettingsError(
                    f"{path} is not valid YAML: {' '.join(str(error).split())}"
                ) from error
            if not isinstance(document, dict):
                raise SettingsError(f"{path} is no Envoy configuration")
            self.documents[path] = _snake(document)
        return self.documents[path]


def listed(holder: Json, name: str, where: str) -> list[Json]:
    """Return a list of mappings that a mapping holds; empty if it holds none.

    Raises SettingsError for anything else.
    """
    found = holder.get(name) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise SettingsError(f"{where}: {name} must be a list of mappings")
    return found


def _parsed(text: str) -> object:
    """Return what a text holds. JSON may be indented by tabs, which YAML refuses."""
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except ValueError:
            pass  # YAML may begin so too
    return yaml.safe_load(text)


def _snake(value: Any) -> Any:
    """Return a value with one spelling of the fields that are read here. A null is no value."""
    if isinstance(value, dict):
        return {
            _SNAKE.get(name, name): _snake(each)
            for name, each in value.items()
            if each is not None or name not in _READ
        }
    return [_snake(each) for each in value] if isinstance(value, list) else value


def _path(source: object) -> Path | None:
    """The file of a configuration source; None: it is no file."""
    if not isinstance(source, dict):
        return None
    given = source.get("path_config_source")
    path = given.get("path") if isinstance(given, dict) else source.get("path")
    return None if path is None else Path(str(path))


def _name_of(listener: Json) -> str:
    """Return a listener's name; its port if it has none, as Envoy allows."""
    if name := listener.get("name"):
        return str(name)
    address = listener.get("address")
    socket = address.get("socket_address", address.get("socketAddress")) if address else None
    if not isinstance(socket, dict):
        return ""
    return str(socket.get("port_value", socket.get("portValue", "")))


def _manager_configs(listener: Json, where: str) -> Iterator[Json]:
    """Yield the connection managers of a listener.

    Raises SettingsError for one in a form that is not read here.
    """
    chains = listed(listener, "filter_chains", where)
    for chain in [*chains, listener.get("default_filter_chain") or {}]:
        for each in listed(chain, "filters", where):
            config = each.get("typed_config") or {}
            kind = str(config.get("@type", "")) if isinstance(config, dict) else ""
            if kind.endswith(_MANAGER):
                listed(config, "http_filters", where)
                yield config
            elif each.keys() & {"config", "typed_config"} and _is_another_form(each, kind):
                raise SettingsError(
                    f"{where}: its HTTP connection manager is in a form that is not read (`config`,"
                    " API v2 or a TypedStruct): write typed_config with '@type':"
                    f" type.googleapis.com/{_MANAGER}"
                )


def _is_another_form(network_filter: Json, kind: str) -> bool:
    """Return whether a filter is a connection manager by its older type, its name, or a struct."""
    if "config" in network_filter:
        return bool(_ANY_MANAGER.search(str(network_filter.get("name", ""))))
    inner = str((network_filter.get("typed_config") or {}).get("type_url", ""))
    return bool(_ANY_MANAGER.search(f"{kind} {inner}"))
