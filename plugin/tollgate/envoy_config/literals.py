"""Build parts of the configuration as Envoy reads them, without message classes.

For what changes while Envoy runs (deployments' clusters, routes). The message classes take most of
a second to import and 60 ms to print a cluster; a change of 500 deployments has to be quick.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from string import Template
from typing import Any, TypeVar

from tollgate.core import envoy_contract as contract
from tollgate.topology import Address, Discovery

_LUA = Path(__file__).parent / "lua"
_CONTRACT = {name: value for name, value in vars(contract).items() if isinstance(value, str)}
_HTTP_FILTERS = "envoy.extensions.filters.http"

Json = dict[str, Any]
"""A part of the configuration as Envoy reads it."""

Parts = TypeVar("Parts", Json, list[Json])

TOLLGATE_CLUSTER = "tollgate"
"""The workers."""
ADMIN_CLUSTER = "tollgate_admin"
"""The management API."""


def typed(message: str, **fields: object) -> Json:
    """Return a `typed_config` of a message by its full name."""
    return {"@type": f"type.googleapis.com/{message}", **fields}


def filter_literal(kind: str, message: str, **fields: object) -> Json:
    """Return an entry of `http_filters` under Envoy's name for its kind."""
    config = typed(f"{_HTTP_FILTERS}.{kind}.v3.{message}", **fields)
    return {"name": f"envoy.filters.http.{kind}", "typed_config": config}


def endpoint_address(address: Address) -> Json:
    """Return the address in Envoy's form."""
    if address.path:
        return {"pipe": {"path": address.path}}
    return {"socket_address": {"address": address.host, "port_value": address.port}}


def config_source(discovery: Discovery, file: str) -> Json:
    """Return where Envoy gets what a file of ours holds."""
    found: Json = {"ads": {}} if discovery.by_ads else {"path_config_source": {"path": file}}
    return {**found, "resource_api_version": "V3"}


def overwritten(headers: Mapping[str, str]) -> list[Json]:
    """Return headers that a route or filter sets, replacing existing ones."""
    return [
        {
            "header": {"key": name, "value": value},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }
        for name, value in headers.items()
    ]


def unshared(parts: Parts) -> Parts:
    """Return a copy in which nothing occurs twice: YAML would print that as aliases."""
    copy: Parts = json.loads(json.dumps(parts))
    return copy


def lua_source(*names: str, **values: str) -> str:
    """Return some files of the folder lua/ as one script.

    Placeholders are names of the contract, or of `values`.
    """
    return _script(*names).substitute(_CONTRACT, **values)


@cache
def _script(*names: str) -> Template:
    return Template("".join((_LUA / f"{each}.lua").read_text(encoding="utf-8") for each in names))
