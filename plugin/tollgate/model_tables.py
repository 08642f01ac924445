"""The tables of models that Tollgate ships, read from their files."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import yaml

from tollgate.core.models.output_limits import DEFAULT_CEILING, OutputLimits
from tollgate.core.money.price_rows import PriceRow, parse_price_rows

_MONEY = "tollgate.core.money"


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
