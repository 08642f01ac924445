"""Combine prices from several sources: each source puts its layer over the earlier ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from tollgate.core.money.costs import CostName, Costs
from tollgate.core.money.picture_rates import PictureCosts, PictureKind, PictureRate
from tollgate.core.money.price_rows import PriceRow
from tollgate.core.money.pricing import FEMTO_PER_DOLLAR, Price, Rates

Row = dict[str, int]
"""Femto-dollars by kind of unit. A missing kind costs what the kind that includes it does."""
Rows = dict[tuple[str, int], Row]
"""Rows by service tier and by the input tokens above which they apply."""

TOKENS = frozenset(
    {
        "input",
        "output",
        "cache_read",
        "cache_write_5m",
        "cache_write_1h",
        "input_audio",
        "input_image",
        "input_video",
        "output_audio",
        "output_image",
        "output_video",
        "reasoning",
        "cache_read_audio",
        "cache_read_image",
    }
)
"""Kinds that multipliers apply to; fees are the same everywhere."""
_OUTPUTS = ("output", "output_image", "reasoning")
_CACHES = ("cache_read", "cache_write_5m", "cache_write_1h", "cache_read_audio", "cache_read_image")


@dataclass(slots=True)
class Layers:
    """The price of one model as known so far, and what modifies it."""

    source: str = ""
    as_of: str = ""
    rows: Rows = field(default_factory=dict)
    geographies: dict[str, Decimal] = field(default_factory=dict)
    unpriced: tuple[str, ...] = ()
    pictures: dict[PictureKind, Decimal] = field(default_factory=dict)

    @property
    def known(self) -> bool:
        """Return whether there is any price."""
        return bool(self.rows or self.pictures)

    def put(self, name: str, costs: Costs, pictures: PictureCosts | None = None) -> None:
        """Put a file's prices over these; with both input and output it is a complete price.

        Prices of pictures replace all others of pictures.
        """
        whole = CostName("input") in costs and CostName("output") in costs
        if whole or not self.known or (pictures and not self.rows):
            self.source, self.as_of, self.rows = name, "", {}
            self.geographies, self.unpriced, self.pictures = {}, (), {}
        else:
            self.source = f"{name} over {self.source}"
        if pictures:
            self.pictures = dict(pictures)
        self.rows = _with_costs(self.rows, costs)

    def correct(self, rows: Iterable[PriceRow], *, regional: bool) -> None:
        """Put rows of our tables over these; of several rows for one kind, the first counts."""
        rows = list(rows)
        if any(row.replaces for row in rows):
            self.rows = {}
        for row in reversed(rows):
            self._put_row(row)
            if row.pictures:
                self.pictures |= row.pictures
                self._name(row)
        if not self.rows:
            return
        tiers: dict[str, Decimal] = {}
        for row in reversed(rows):
            tiers |= row.tiers
            self.geographies |= row.geographies
        for tier, other in {
            tier: other for row in rows for tier, other in row.same_as.items()
        }.items():
            self._open_tier(tier, other, Decimal(1))
        for tier, times in tiers.items():
            self._open_tier(tier, "", times)
        for kind in {kind for row in rows for kind in row.as_text}:
            for each in self.rows.values():
                each.setdefault(kind, each.get(kind.partition("_")[0], 0))
        uplift = next((row.regional for row in rows if row.regional is not None), None)
        if regional and uplift is not None:
            self.rows = {place: multiplied(row, uplift) for place, row in self.rows.items()}

    def _open_tier(self, tier: str, other: str, times: Decimal) -> None:
        """Create a service tier at a multiple of another's prices, unless it has its own."""
        if all(each != tier for each, _ in self.rows):
            self.rows |= {
                (tier, above): multiplied(row, times)
                for (each, above), row in self.rows.items()
                if each == other
            }

    def _put_row(self, row: PriceRow) -> None:
        costs = {CostName(kind, "", above): dollars for (kind, above), dollars in row.costs.items()}
        tokens = any(name.kind in TOKENS for name in costs)
        if not (self.rows or tokens or "audio_second" in {name.kind for name in costs}):
            return  # a fee alone is no price
        if tokens:
            self._name(row)
        discounts = {place: _discounts(self.rows, place) for place in self.rows}
        self.rows = _with_costs(self.rows, costs)
        for place, (into, out) in discounts.items():
            for name in costs:
                if name.kind in TOKENS and place[0]:
                    times = out if name.kind.startswith(("output", "reasoning")) else into
                    self.rows[place][name.kind] = round(self.rows[place][name.kind] * times)
        for each in self.rows.values():
            each.update(row.bounds)

    def _name(self, row: PriceRow) -> None:
        """Name a row as a source of the price."""
        names = (*self.source.split(", "), row.source) if self.source else (row.source,)
        self.source = ", ".join(dict.fromkeys(names))
        self.as_of = row.written

    def price(self) -> Price:
        """Return the combined price.

        Prices of pictures count only where no token of output has one: models that have both report
        tokens.
        """
        rows = self.rows or {("", 0): {}}
        by_token = any(row.get(kind) for row in rows.values() for kind in _OUTPUTS)
        pictures = (
            ()
            if by_token
            else tuple(PictureRate(kind, femto(dollars)) for kind, dollars in self.pictures.items())
        )
        geographies = {
            name: _price(
                self.source,
                {place: multiplied(row, times) for place, row in rows.items()},
                pictures=pictures,
            )
            for name, times in self.geographies.items()
        }
        return _price(self.source, rows, geographies, self.as_of, self.unpriced, pictures)


def price_of_file(input_cost: Decimal, output_cost: Decimal, source: str) -> Price:
    """Return a price of so many dollars per token; cached tokens cost the same as others."""
    costs = {CostName("input"): input_cost, CostName("output"): output_cost}
    return _price(source, _with_costs({}, costs))


def _discounts(rows: Rows, place: tuple[str, int]) -> tuple[Decimal, Decimal]:
    """Return a service tier's input and output prices as fractions of the ordinary tier's."""
    ordinary, row = rows.get(("", place[1]), rows["", 0]), rows[place]
    into, out = (
        Decimal(row[kind]) / ordinary[kind] if row.get(kind) and ordinary.get(kind) else Decimal(1)
        for kind in ("input", "output")
    )
    return into, out


def multiplied(row: Row, times: Decimal) -> Row:
    """Return a row with token prices multiplied."""
    return {kind: round(rate * times) if kind in TOKENS else rate for kind, rate in row.items()}


def _with_costs(rows: Rows, costs: Costs) -> Rows:
    """Return the rows with these prices applied.

    A price without input tier and service tier applies to all rows; others apply to their own row
    and to higher input tiers.
    """
    rows = {place: dict(row) for place, row in rows.items()} or {("", 0): {}}
    for name, dollars in sorted(costs.items(), key=_general_first):
        _open(rows, name.service_tier, name.above_input_tokens)
        everywhere = not name.service_tier and not name.above_input_tokens
        for (service_tier, above), row in rows.items():
            if everywhere or (
                service_tier == name.service_tier and above >= name.above_input_tokens
            ):
                row[name.kind] = femto(dollars)
                if everywhere and name.kind == "input":
                    for kind in _CACHES:
                        row.pop(kind, None)  # the table's discount applied to another price
    return rows


def _general_first(item: tuple[CostName, Decimal]) -> tuple[str, int, bool]:
    name = item[0]
    return name.service_tier, name.above_input_tokens, name.kind != "input"


def _open(rows: Rows, service_tier: str, above: int) -> None:
    """Create a row, if missing, from the one that applied so far."""
    if all(each != service_tier for each, _ in rows):
        rows |= {
            (service_tier, start): dict(row) for (each, start), row in rows.items() if not each
        }
    if (service_tier, above) not in rows:
        below = max(start for each, start in rows if each == service_tier and start < above)
        rows[service_tier, above] = dict(rows[service_tier, below])


def _price(
    source: str,
    rows: Rows,
    geographies: Mapping[str, Price] | None = None,
    as_of: str = "",
    unpriced: tuple[str, ...] = (),
    pictures: tuple[PictureRate, ...] = (),
) -> Price:
    tiers: dict[str, tuple[Rates, ...]] = {}
    for service_tier, above in sorted(rows):
        tiers[service_tier] = (
            *tiers.get(service_tier, ()),
            _rates(rows[service_tier, above], above),
        )
    return Price(source, tiers.pop(""), tiers, geographies or {}, as_of, unpriced, pictures)


def _rates(row: Row, above: int) -> Rates:
    into = row.get("input", 0)
    write = row.get("cache_write_5m", into)
    filled = {
        "input": into,
        "output": 0,
        "cache_read": into,
        "cache_write_5m": write,
        "cache_write_1h": write,
    } | row
    return Rates(**filled, above_input_tokens=above)


def femto(dollars: Decimal) -> int:
    """Return dollars in femto-dollars."""
    return round(dollars * FEMTO_PER_DOLLAR)
