"""Small bootstraps of somebody's own, and what `tollgate attach` makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tollgate.envoy_config.attaching.attach import Attached, attach
from tollgate.envoy_config.attaching.served_at import Domain, PathPrefix
from tollgate.settings import EXAMPLE_FILE, load

TYPES = "type.googleapis.com/envoy.extensions.filters"
MANAGER = f"{TYPES}.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = {"name": "router", "typed_config": {"@type": f"{TYPES}.http.router.v3.Router"}}
OURS = Domain("llm.example")


def manager(**more: Any) -> dict[str, Any]:
    """A connection manager with one host."""
    host = {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}}]}
    return {
        "@type": MANAGER,
        "http_filters": [ROUTER],
        "route_config": {"virtual_hosts": [host]},
        **more,
    }


def bootstrap(folder: Path, *managers: dict[str, Any], **static: Any) -> Path:
    """A file with a listener for each connection manager."""
    listeners = [
        {"name": f"l{number}", "filter_chains": [{"filters": [{"typed_config": each}]}]}
        for number, each in enumerate(managers)
    ]
    document = {"static_resources": {"listeners": listeners, **static}}
    (folder / "envoy.yaml").write_text(yaml.safe_dump(document))
    return folder / "envoy.yaml"


def attached(file: Path, place: Domain | PathPrefix = OURS, *listeners: str) -> Attached:
    return attach(file, load(EXAMPLE_FILE), place, listeners)
