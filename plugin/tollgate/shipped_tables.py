"""The tables of APIs and models that Tollgate ships, read from their files.

Workers meter by them, and Envoy's filters in native mode are built from the table of APIs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import yaml

from tollgate.core.models.output_limits import DEFAULT_CEILING, OutputLimits
from tollgate.core.money.price_rows import PriceRow, parse_price_rows
from tollgate.core.usage import Api, load_apis

_MONEY = "tollgate.core.money"


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


def output_limits(ceiling: int = DEFAULT_CEILING) -> OutputLimits:
    """Read how much each model can write. `ceiling`: what holds for those that the table lacks."""
    rows = _rows("tollgate.core.models", "output_limits")
    return OutputLimits([(row["models"], row["tokens"]) for row in rows], ceiling)


def price_rows() -> tuple[PriceRow, ...]:
    """Read what our tables say of prices: corrections first, then fees and multipliers."""
    return parse_price_rows([*_rows(_MONEY, "price_corrections"), *_rows(_MONEY, "fees")])


def _rows(package: str, name: str) -> list[dict[str, Any]]:
    text = files(package).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = yaml.safe_load(text)
    return rows
