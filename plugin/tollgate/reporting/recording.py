"""The recorder: it carries the ledger, which the store keeps for some days, into the history.

The path of a request never waits for it. While it is away, records stay in the store for as long
as the ledger keeps them, and it goes on where it stopped.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from tollgate import telemetry
from tollgate.core.errors import HistoryUnavailable, StoreUnavailable
from tollgate.history_ports import History, LedgerStream
from tollgate.ports import Clock

_IDLE_S = 0.25
_BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0)
_FORGET_EVERY_US = 3_600_000_000


class Recorder:
    """Records what the ledger of every organization holds. `kept_us`: how long the history keeps
    single records; None: for ever.
    """

    def __init__(
        self, stream: LedgerStream, history: History, clock: Clock, kept_us: int | None
    ) -> None:
        self._stream = stream
        self._history = history
        self._clock = clock
        self._kept_us = kept_us
        self._forget_at_us = 0
        self._prepared = False
        self._stopping = asyncio.Event()
        self._positions: dict[str, str | None] = {}

    async def drain(self) -> int:
        """Record all that is new; return how many records were.

        Raises StoreUnavailable, HistoryUnavailable.
        """
        new = 0
        for organization in await self._stream.organizations():
            if organization not in self._positions:
                self._positions[organization] = await self._history.position(organization)
            while not self._stopping.is_set() and (
                streamed := await self._stream.after(organization, self._positions[organization])
            ):
                new += await self._history.keep(organization, streamed)
                self._positions[organization] = streamed.position
        return new

    async def forget(self) -> None:
        """Remove what the history keeps no longer; once an hour at most."""
        now_us = self._clock.now_us()
        if self._kept_us is not None and now_us >= self._forget_at_us:
            await self._history.forget_before(now_us - self._kept_us)
            self._forget_at_us = now_us + _FORGET_EVERY_US

    async def run(self) -> None:
        """Record until `stop`. What fails is tried again, with a back-off.

        It is not ended by cancellation: the store's client may take one that comes while it waits
        for an answer for an error of the connection.
        """
        failures = 0
        while not self._stopping.is_set():
            pause_s = _IDLE_S
            try:
                if not self._prepared:
                    await self._history.prepare()
                    self._prepared = True
                await self.drain()
                await self.forget()
                failures = 0
            except (StoreUnavailable, HistoryUnavailable) as error:
                pause_s = _BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)]
                failures += 1
                telemetry.not_recorded(error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)

    def stop(self) -> None:
        """End `run` after the part that is being recorded."""
        self._stopping.set()
