"""The configuration as one process has taken it in, and takes in again when it changes."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from tollgate import settings as configuration
from tollgate.adapters.prices import PriceBook, keep_current, known_names
from tollgate.core.errors import SettingsError
from tollgate.core.models.deployment import Deployment
from tollgate.core.money.costs import OwnPrice
from tollgate.core.requests.catalog import Alias, Catalog
from tollgate.settings import Settings
from tollgate.settings.included import uncollected
from tollgate.snapshot import CONFIGURED, NOT_CONFIGURED, Snapshot

KEPT_S = 86_400.0
"""How long a removed deployment can still be charged."""

_log = logging.getLogger("tollgate")


@dataclass(frozen=True, slots=True)
class Priced:
    """Deployments, and the book that keeps their prices current."""

    catalog: Catalog
    book: PriceBook

    @classmethod
    def of(
        cls,
        deployments: tuple[Deployment, ...],
        own_prices: Mapping[str, OwnPrice],
        price_file: Path | None,
        aliases: Mapping[str, Alias],
        before: Priced | None = None,
    ) -> Priced:
        """Price them now. Raises SettingsError when the price file cannot be used.

        `before`: those whose prices are taken over where nothing has changed.
        """
        known = None if before is None else before.book
        book = PriceBook(deployments, own_prices, price_file, known)
        prices = book.at(datetime.now(UTC))
        return cls(Catalog.of(deployments, prices, book.find_price, known_names, aliases), book)

    @classmethod
    def by(cls, settings: Settings, before: Priced | None = None) -> Priced:
        """Those of some settings."""
        file = settings.tollgate.price_file
        return cls.of(settings.routed, settings.prices, file, settings.aliases, before)


@dataclass(frozen=True, slots=True)
class _Read:
    """A file as it was read: its text, what it says, and the prices of its deployments."""

    text: str
    settings: Settings
    priced: Priced


@dataclass(frozen=True, slots=True)
class _Kept:
    """A deployment, its price, and when it was in force at last."""

    deployment: Deployment
    price: OwnPrice
    in_force_s: float


class Configuration:
    """Admission is by the configuration in force.

    Settlement also knows the deployments of the one that comes, since another process may admit
    their calls first, and those that were removed while this process runs, since their calls may
    still be in flight. `admit_by` and `settle_by` are told of each change.
    """

    def __init__(
        self,
        settings: Settings,
        priced: Priced,
        admit_by: Callable[[Settings, Catalog], None],
        settle_by: Callable[[Settings, Catalog], None],
        now_s: Callable[[], float] = monotonic,
    ) -> None:
        self._admit_by = admit_by
        self._settle_by = settle_by
        self._in_force = _Read("", settings, priced)
        self._read: tuple[_Read, ...] = ()
        self._settled = priced
        self._now_s = now_s
        self._deployments: dict[str, _Kept] = {}
        self._keep(settings)

    async def follow(self, snapshot: Snapshot | None) -> None:
        """Keep prices current, and take in a snapshot whenever SIGHUP tells that it has changed.

        For ever. None: the configuration stays as it is.
        """
        told = asyncio.Event()
        if snapshot is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, told.set)
        while True:
            async with AsyncExitStack() as stack:
                for each in {
                    id(found): found for found in (self._in_force.priced, self._settled)
                }.values():
                    keeping = asyncio.create_task(keep_current(each.catalog, each.book))
                    stack.callback(keeping.cancel)
                await told.wait()
            told.clear()
            assert snapshot is not None
            print(await self.take_in(snapshot), flush=True)

    async def take_in(self, snapshot: Snapshot) -> str:
        """Take in the files of a snapshot, and say whether that could be done. Else
        nothing changes.
        """
        try:
            with uncollected():
                in_force = await asyncio.to_thread(self._load, snapshot.in_force)
                coming = await asyncio.to_thread(self._load, snapshot.coming)
            read = tuple(each for each in (in_force, coming) if each is not None)
            if in_force is None:
                return f"{NOT_CONFIGURED}: {snapshot.in_force} is not there"
            self._forget()
            settled = await asyncio.to_thread(self._known_to_settlement, read)
        except SettingsError as error:
            return f"{NOT_CONFIGURED}: {'; '.join(str(error).splitlines())}"
        for each in reversed(read):
            self._keep(each.settings)
        self._read, self._settled = read, settled
        self._settle_by(in_force.settings, settled.catalog)
        if in_force.text != self._in_force.text:
            self._admit_by(in_force.settings, in_force.priced.catalog)
            self._in_force = in_force
            _log.info("a changed configuration is in force")
        return CONFIGURED

    def _load(self, file: Path) -> _Read | None:
        """What a file says; None where there is none. Raises SettingsError."""
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        for each in self._read:
            if each.text == text:
                return each
        settings = configuration.load(file, allow_unenforced=True)
        return _Read(text, settings, Priced.by(settings, self._settled))

    def _keep(self, settings: Settings) -> None:
        now_s = self._now_s()
        self._deployments |= {
            each.id: _Kept(each, settings.prices[each.id], now_s) for each in settings.routed
        }

    def _forget(self) -> None:
        """Forget what was removed longer ago than any call lasts."""
        self._keep(self._in_force.settings)
        since_s = self._now_s() - KEPT_S
        self._deployments = {
            identity: each
            for identity, each in self._deployments.items()
            if each.in_force_s >= since_s
        }

    def _known_to_settlement(self, read: tuple[_Read, ...]) -> Priced:
        in_force, *others = read
        found = {
            identity: (each.deployment, each.price) for identity, each in self._deployments.items()
        }
        for each in (*others, in_force):
            found |= {d.id: (d, each.settings.prices[d.id]) for d in each.settings.routed}
        if len(found) == len(in_force.settings.routed):
            return in_force.priced
        return Priced.of(
            tuple(deployment for deployment, _ in found.values()),
            {identity: price for identity, (_, price) in found.items()},
            in_force.settings.tollgate.price_file,
            {},
            self._settled,
        )
