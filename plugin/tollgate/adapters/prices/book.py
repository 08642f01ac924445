"""Keep the prices of configured models, and of other models by name.

Names that clients invent are looked up only where a wildcard serves them, and only a bounded number
is kept. Admission and metering read a plain dictionary. It is rebuilt off the event loop at each
full minute, because some prices depend on the date or the time of day.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from genai_prices.data_snapshot import get_snapshot

from tollgate import shipped_tables, telemetry
from tollgate.adapters.prices.builtin import listed, named_provider
from tollgate.adapters.prices.layers import Layers
from tollgate.adapters.prices.price_file import (
    NO_PRICES,
    PriceFile,
    costs_in_file,
    read_price_file,
)
from tollgate.core.errors import SettingsError
from tollgate.core.memo import Bounded
from tollgate.core.models.deployment import Deployment
from tollgate.core.models.model_names import parse_model_name
from tollgate.core.models.wildcards import is_wildcard
from tollgate.core.money.costs import CostName, Costs, OwnPrice
from tollgate.core.money.price_rows import PriceRow, rows_of
from tollgate.core.money.pricing import Price
from tollgate.core.requests.catalog import Catalog

_NOTHING = OwnPrice()
_MOST_OTHERS_BYTES = 1024 * 1024
_FREE: Costs = {CostName("input"): Decimal(0), CostName("output"): Decimal(0)}


class PriceBook:
    """The prices of some deployments: the configuration's, over a price file's,
    over the tables'.
    """

    def __init__(
        self,
        deployments: Iterable[Deployment],
        own: Mapping[str, OwnPrice],
        file: Path | None = None,
        before: PriceBook | None = None,
    ) -> None:
        """Read the price file. Raises SettingsError if it cannot be used.

        `before`: a book whose prices are taken over where nothing has changed, since finding those
        of hundreds of deployments takes a tenth of a second.
        """
        self._deployments = {each.id: each for each in deployments}
        self._own = own
        self._file = file
        self._before = before
        self._minute: datetime | None = None
        self._prices: Mapping[str, Price | None] = {}
        self._read_ns = 0
        self._document = NO_PRICES
        # None stands for no price, which is kept as well.
        self._others: Bounded[tuple[str, str], tuple[Price | None]] = Bounded(_MOST_OTHERS_BYTES)
        self._read()

    def at(self, now: datetime) -> dict[str, Price]:
        """Return prices by deployment id, for those that have one.

        If the price file has become unusable, its last good content still applies.
        """
        try:
            self._read()
        except SettingsError as error:
            telemetry.prices_not_read(error)
        self._others.clear()
        known, self._before = self._taken_over(now), None
        self._prices = {
            name: known[name]
            if name in known
            else _price_of(each, self._own.get(name, _NOTHING), now, self._document)
            for name, each in self._deployments.items()
        }
        self._minute = _minute_of(now)
        return _known(self._prices)

    def _taken_over(self, now: datetime) -> Mapping[str, Price | None]:
        """Return the prices of this minute that the book before has found."""
        before = self._before
        if (
            before is None
            or before._minute != _minute_of(now)
            or (before._file, before._read_ns) != (self._file, self._read_ns)
        ):
            return {}
        return {
            name: before._prices[name]
            for name, each in self._deployments.items()
            if before._deployments.get(name) == each
            and before._own.get(name) == self._own.get(name)
        }

    def find_price(self, deployment: Deployment, model: str) -> Price | None:
        """Return the price of another model at a deployment's provider, named by a reply or by a
        wildcard.

        A price that the configuration gives a wildcard applies to everything it serves. Found
        prices are kept until the next rebuild, within a bound of bytes.
        """
        name = (deployment.id, model)
        known = self._others.get(name)
        if known is None:
            other = replace(deployment, model=model)
            own = (
                self._own.get(deployment.id, _NOTHING)
                if is_wildcard(deployment.model)
                else _NOTHING
            )
            known = (_price_of(other, own, datetime.now(UTC), self._document),)
            self._others.put(name, known, 1024 + 4 * len(model))
        return known[0]

    def _read(self) -> None:
        """Read the price file if it has changed."""
        if self._file is None:
            return
        try:
            changed_ns = self._file.stat().st_mtime_ns
            if changed_ns != self._read_ns:
                self._read_ns = changed_ns
                document = read_price_file(self._file)
                for each in self._deployments.values():
                    costs_in_file(document, each, self._own.get(each.id, _NOTHING).base_model)
                self._document = document
        except OSError as error:
            raise SettingsError(
                f"cannot read the price file {self._file}: {error.strerror}"
            ) from error


async def keep_current(catalog: Catalog, book: PriceBook) -> None:
    """Update the catalog's prices at each full minute, forever."""
    while True:
        now = datetime.now(UTC)
        await asyncio.sleep(60 - now.second - now.microsecond / 1e6)
        catalog.reprice(await asyncio.to_thread(book.at, datetime.now(UTC)))


def price_table(
    deployments: Iterable[Deployment],
    own: Mapping[str, OwnPrice],
    now: datetime | None = None,
    document: Mapping[str, Any] | None = None,
) -> dict[str, Price]:
    """Return prices by deployment id, for those that have one.

    `own`: the configuration's prices by deployment id; `document`: the price file.
    """
    now = now or datetime.now(UTC)
    file = PriceFile.of(document or {})
    return _known(
        {each.id: _price_of(each, own.get(each.id, _NOTHING), now, file) for each in deployments}
    )


def _known(prices: Mapping[str, Price | None]) -> dict[str, Price]:
    return {identity: price for identity, price in prices.items() if price is not None}


def _minute_of(now: datetime) -> datetime:
    """Return the minute for which prices are found: they change with the time of day."""
    return now.replace(second=0, microsecond=0)


def _price_of(
    deployment: Deployment, own: OwnPrice, now: datetime, file: PriceFile
) -> Price | None:
    provider, model = deployment.provider, deployment.model
    if own.base_model is not None:
        provider, model = named_provider(provider, own.base_model, now)
    layers = _listed(provider, model, deployment, now)
    for source, costs, pictures in (
        ("price_file", *costs_in_file(file, deployment, own.base_model)),
        ("file", own.costs, own.pictures),
    ):
        if costs or pictures:
            layers.put(source, costs, pictures)
    if not layers.known:
        return None
    return layers.price()


def _listed(provider: str, model: str, deployment: Deployment, now: datetime) -> Layers:
    """Return the built-in price with our corrections and fees."""
    name = parse_model_name(model)
    layers = listed(provider, model, now)
    rows = rows_of(_table(), provider, name)
    layers.correct(rows, regional=_is_regional(deployment, provider, name.zone))
    if name.tuned and not any(row.costs for row in rows):
        layers.unpriced = ("fine_tuned",)
    if name.variant == "free":
        layers.put(layers.source, _FREE)
    elif name.variant == "online" and layers.rows:
        # An OpenRouter plug-in that searches for a fee:
        # https://openrouter.ai/docs/guides/features/plugins/web-search
        layers.unpriced = ("online",)
    return layers


@lru_cache(maxsize=1)
def _table() -> tuple[PriceRow, ...]:
    return shipped_tables.price_rows()


def load_tables() -> None:
    """Read all tables of prices, so that processes that are forked later share them."""
    _table()
    get_snapshot()


def _is_regional(deployment: Deployment, provider: str, zone: str) -> bool:
    """Return whether a call runs in a requested region, for which some providers charge more."""
    if provider == "vertex_ai":
        return deployment.vertex_location not in (None, "global")
    if provider == "bedrock":
        return zone != "global"
    if provider.startswith("azure"):
        return zone in ("eu", "us")
    # https://platform.openai.com/docs/guides/your-data: us.api.openai.com, eu.api.openai.com
    host = urlsplit(deployment.api_base).hostname or ""
    return host.endswith(".api.openai.com")
