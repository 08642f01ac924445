"""The table of APIs that Tollgate ships, read from its file: for the workers that meter by it, and for Envoy's filters in native mode."""

from __future__ import annotations

from importlib.resources import files

import yaml

from tollgate.core.usage import Api, load_apis


def api_table() -> dict[str, Api]:
    """Where each API keeps its usage, by the API's name."""
    text = files("tollgate.core").joinpath("providers.yaml").read_text(encoding="utf-8")
    return dict(load_apis(yaml.safe_load(text)))
