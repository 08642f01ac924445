"""Load the table of APIs that Tollgate ships.

Workers meter by it, and Envoy's filters in native mode are built from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import yaml

from tollgate.core.usage import Api, load_apis


@cache
def api_table() -> Mapping[str, Api]:
    """Return where each API keeps its usage, by the API's name. Reads the files once a process."""
    folder = files("tollgate.core.usage.apis")
    texts = (
        folder.joinpath(name).read_text(encoding="utf-8")
        for name in ("providers.yaml", "rare_apis.yaml")
    )
    table = {name: api for text in texts for name, api in load_apis(yaml.safe_load(text)).items()}
    return MappingProxyType(table)
