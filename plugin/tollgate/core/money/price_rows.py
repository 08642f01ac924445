"""Read Tollgate's own price tables: corrections to the built-in table, fees and multipliers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import translate
from typing import Any

from tollgate.core.models.model_names import ModelName
from tollgate.core.money.picture_rates import PictureCosts, PictureKind, parse_picture_kind

_UNITS = {"per_million": 10**6, "per_thousand": 10**3, "per_unit": 1}
_BOUNDS = ("least_searches", "most_searches", "least_audio_seconds")


@dataclass(frozen=True, slots=True)
class PriceRow:
    """What one provider page states about some models.

    - `providers`: LiteLLM's names; empty means all.
    - `costs`: dollars by kind (a field of core.money.pricing.Rates) and by the input above which
      they apply. `bounds`: the fields of Rates that are no prices.
    - `tiers`: multipliers of token prices by service tier; `geographies`: by where a call ran;
      `regional`: at endpoints bound to a region.
    - `same_as`: service tiers that share another tier's prices.
    - `as_text`: kinds of tokens that cost what text does.
    - `tuned`: the row is for fine-tuned models only.
    - `replaces`: nothing of the built-in row is kept.
    - `pictures`: dollars of drawn pictures.
    """

    providers: frozenset[str]
    pattern: re.Pattern[str]
    costs: Mapping[tuple[str, int], Decimal] = field(default_factory=dict)
    bounds: Mapping[str, int] = field(default_factory=dict)
    tiers: Mapping[str, Decimal] = field(default_factory=dict)
    geographies: Mapping[str, Decimal] = field(default_factory=dict)
    regional: Decimal | None = None
    same_as: Mapping[str, str] = field(default_factory=dict)
    as_text: tuple[str, ...] = ()
    tuned: bool = False
    replaces: bool = False
    pictures: PictureCosts = field(default_factory=dict)
    source: str = ""
    written: str = ""

    def fits(self, provider: str, name: ModelName) -> bool:
        """Return whether the row applies to this model."""
        return (
            self.tuned == name.tuned
            and (not self.providers or provider in self.providers)
            and self.pattern.match(name.bare) is not None
        )


def parse_price_rows(rows: Iterable[Mapping[str, Any]]) -> tuple[PriceRow, ...]:
    """Parse the rows of a file."""
    return tuple(_parse(row) for row in rows)


def rows_of(rows: Sequence[PriceRow], provider: str, name: ModelName) -> list[PriceRow]:
    """Return the rows that apply to a model, in order."""
    return [row for row in rows if row.fits(provider, name)]


def _parse(row: Mapping[str, Any]) -> PriceRow:
    costs: dict[tuple[str, int], Decimal] = {}
    for unit, per in _UNITS.items():
        for kind, dollars in row.get(unit, {}).items():
            costs[kind, 0] = _decimal(dollars) / per
    for above, kinds in row.get("above", {}).items():
        for kind, dollars in kinds.items():
            costs[kind, int(above)] = _decimal(dollars) / _UNITS["per_million"]
    return PriceRow(
        providers=frozenset(row.get("providers", ())),
        pattern=re.compile("|".join(translate(each) for each in row["models"])),
        costs=costs,
        bounds={name: row[name] for name in _BOUNDS if name in row},
        tiers={name: _decimal(times) for name, times in row.get("tiers", {}).items()},
        geographies={name: _decimal(times) for name, times in row.get("geographies", {}).items()},
        regional=_decimal(row["regional"]) if "regional" in row else None,
        same_as=row.get("same_as", {}),
        as_text=tuple(row.get("as_text", ())),
        tuned=row.get("tuned", False),
        replaces=row.get("replaces", False),
        pictures={_kind(name): _decimal(usd) for name, usd in row.get("pictures", {}).items()},
        source=row["source"],
        written=str(row["written"]),
    )


def _kind(name: str) -> PictureKind:
    kind = parse_picture_kind(name.split("/") if name else ())
    if kind is None:
        raise ValueError(f"{name!r} stands for no pictures")
    return kind


def _decimal(value: object) -> Decimal:
    # Through text: 0.3 is meant, not the nearest binary fraction.
    return Decimal(str(value))
