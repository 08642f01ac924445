"""Somebody's Envoy configuration: a bootstrap, and the files that it takes listeners, clusters and
routes from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tollgate.core.errors import SettingsError
from tollgate.envoy_config.literals import Json

_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
# Envoy reads both spellings of a field. These are looked at here.
_FIELDS = (
    "access_log access_log_options access_log_flush_interval cds_config config_source "
    "default_filter_chain dynamic_resources early_header_mutation_extensions filter_chains "
    "http_filters layered_runtime lds_config local_reply_config path_config_source rds "
    "route_config route_config_name scoped_routes static_resources typed_config "
    "typed_per_filter_config virtual_hosts"
)
_SNAKE = {re.sub(r"_(\w)", lambda match: match[1].upper(), name): name for name in _FIELDS.split()}


@dataclass(frozen=True, slots=True)
class Manager:
    """One HTTP connection manager, and where its routes stand."""

    listener: str
    config: Json
    routes: Json


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

    def managers(self, listener: str | None) -> list[Manager]:
        """The connection managers of one listener: of the named one, or of the only one that has
        any.

        Raises SettingsError when none or several could be meant.
        """
        found: dict[str, list[Json]] = {}
        for each in self._listeners():
            if configs := list(_manager_configs(each)):
                found.setdefault(str(each.get("name", "")), []).extend(configs)
        if listener is None and len(found) > 1:
            raise SettingsError(
                f"{self.bootstrap}: several listeners speak HTTP ({', '.join(found)}): "
                "name one with --listener"
            )
        chosen = (
            found.get(listener, [])
            if listener is not None
            else [each for several in found.values() for each in several]
        )
        if not chosen:
            named = f"{listener!r}, of {', '.join(found) or 'none'}" if listener else "a listener"
            raise SettingsError(f"{self.bootstrap}: no HTTP connection manager: {named}")
        name = listener if listener is not None else next(iter(found))
        return [Manager(name, each, self._routes(each)) for each in chosen]

    def clusters(self) -> list[str]:
        """The names of the clusters that are there."""
        static = self.document.get("static_resources", {}).get("clusters") or []
        return [str(each.get("name")) for each in (*static, *self._discovered("cds_config"))]

    def _listeners(self) -> list[Json]:
        static = self.document.get("static_resources", {}).get("listeners") or []
        return [*static, *self._discovered("lds_config")]

    def _discovered(self, source: str) -> list[Json]:
        config = self.document.get("dynamic_resources", {}).get(source)
        path = _path(config)
        return [] if path is None else self._document(path).get("resources") or []

    def _routes(self, manager: Json) -> Json:
        """The route table of a connection manager. Raises SettingsError where nobody
        can change it.
        """
        if isinstance(manager.get("route_config"), dict):
            table: Json = manager["route_config"]
            return table
        rds = manager.get("rds")
        path = _path(rds.get("config_source")) if isinstance(rds, dict) else None
        if path is None:
            raise SettingsError(
                f"{self.bootstrap}: the routes come from a server: put what "
                "`tollgate envoy-config --what virtual-host` prints into what that server sends"
            )
        name = rds.get("route_config_name") if isinstance(rds, dict) else None
        for each in self._document(path).get("resources") or []:
            if each.get("name") == name:
                found: Json = each
                return found
        raise SettingsError(f"{path}: no route table {name!r}")

    def _document(self, path: Path) -> Json:
        if path not in self.documents:
            try:
                document = yaml.safe_load(path.read_text(encoding="utf-8"))
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


def _snake(value: Any) -> Any:
    if isinstance(value, dict):
        return {_SNAKE.get(name, name): _snake(each) for name, each in value.items()}
    return [_snake(each) for each in value] if isinstance(value, list) else value


def _path(source: object) -> Path | None:
    """The file of a configuration source; None: it is no file."""
    if not isinstance(source, dict):
        return None
    given = source.get("path_config_source")
    path = given.get("path") if isinstance(given, dict) else source.get("path")
    return None if path is None else Path(str(path))


def _manager_configs(listener: Json) -> Iterator[Json]:
    chains = [*(listener.get("filter_chains") or []), listener.get("default_filter_chain") or {}]
    for chain in chains:
        for each in chain.get("filters") or []:
            config = each.get("typed_config") or {}
            if str(config.get("@type", "")).endswith(_MANAGER):
                yield config
