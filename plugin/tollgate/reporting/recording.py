"""The recorder: it carries the ledger, which the store keeps for some days, into the history.

The path of a request never waits for it. While it is away, records stay in the store for as long
as the ledger keeps them, and it goes on where it stopped. The position is kept in the database, in
the transaction that holds the records: a consumer group's would be acknowledged apart from them.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from tollgate.core.errors import HistoryUnavailable, StoreUnavailable
from tollgate.ports import Clock
from tollgate.ports.history_ports import (
    DAY_US,
    HOUR_US,
    NEWEST,
    History,
    Lease,
    LedgerStream,
    Overflow,
    SettledMetrics,
    position_order,
)
from tollgate.reporting import history_telemetry
from tollgate.reporting.call_events import EventPublisher
from tollgate.reporting.telling.outage_lines import OutageLines
from tollgate.reporting.telling.stream_recording import StreamRecorder

# Reports add what is not recorded yet, so the pause is no age of theirs.
_IDLE_S = 1.0
_BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0)
_FORGET_EVERY_US = HOUR_US
_REMOVE_EVERY_US = 30_000_000
_TO_A_FILE = "records went to a file, and are taken in later: the store had no room"


@dataclass(frozen=True, slots=True)
class RecorderTerms:
    """How much is kept where.

    - `kept_us`: how long the history keeps single records; None: for ever.
    - `stream_kept_us`: how long the store keeps what is recorded, for the newest lists.
    - `most_entries`: of one organization's ledger in the store while the database is away.
    - `most_age_us`: age at which the store itself removes what nobody recorded.
    """

    kept_us: int | None = None
    stream_kept_us: int = HOUR_US
    most_entries: int = 1_000_000
    most_age_us: int = 30 * DAY_US


class Recorder:
    """Records what the ledger of every organization holds, while it has the lease."""

    def __init__(
        self,
        stream: LedgerStream,
        history: History,
        clock: Clock,
        lease: Lease,
        overflow: Overflow,
        terms: RecorderTerms = RecorderTerms(),
        metrics: SettledMetrics | None = None,
        events: EventPublisher | None = None,
        streams: StreamRecorder | None = None,
    ) -> None:
        self._stream = stream
        self._history = history
        self._clock = clock
        self._lease = lease
        self._overflow = overflow
        self._terms = terms
        self._events = events
        self._metrics = metrics
        self._streams = streams
        self._forget_at_us = 0
        self._remove_at_us = 0
        self._prepared = False
        self._overflow_waits = True
        self._stopping = asyncio.Event()
        self._positions: dict[str, str | None] = {}
        self._outage = OutageLines("the history")

    async def prepare(self) -> None:
        """Bring the database to this version's form. Raises HistoryUnavailable."""
        if not self._prepared:
            await self._history.prepare()
            self._prepared = True

    async def drain(self) -> int:
        """Record all that is new; return how many records were.

        Raises StoreUnavailable, HistoryUnavailable.
        """
        new = await self._take_in_overflow()
        for organization in await self._stream.organizations():
            self._positions[organization] = await self._history.position(organization)
            while (
                streamed := await self._stream.after(organization, self._positions[organization])
            ) and await self._may_go_on():
                kept = await self._history.keep(organization, streamed.records, streamed.position)
                self._positions[organization] = streamed.position
                history_telemetry.recorded(kept)
                new += kept
                if self._metrics is not None:
                    self._metrics.count([each.read().record for each in streamed.records])
        return new

    async def remove_recorded(self) -> None:
        """Remove from the store what has been recorded for a while; twice a minute at most."""
        now_us = self._clock.now_us()
        if now_us < self._remove_at_us:
            return
        self._remove_at_us = now_us + _REMOVE_EVERY_US
        for organization, position in self._positions.items():
            if position is None:
                continue
            removable: str | None = position
            if self._events is not None:
                await self._make_room(organization, position)
                removable = await self._events.furthest_removable(organization, position)
            if removable is not None:
                older_us = now_us - self._terms.stream_kept_us
                await self._stream.remove_until(organization, removable, older_us)

    async def forget(self) -> None:
        """Remove what the history keeps no longer; once an hour at most."""
        now_us = self._clock.now_us()
        if self._terms.kept_us is not None and now_us >= self._forget_at_us:
            await self._history.forget_before(now_us - self._terms.kept_us)
            if self._streams is not None:
                await self._streams.forget_before(now_us - self._terms.kept_us)
            self._forget_at_us = now_us + _FORGET_EVERY_US

    async def relieve_store(self) -> None:
        """Write to the overflow what the store has no more room for, the oldest first.

        It is for the time when the database is away. Raises StoreUnavailable, HistoryUnavailable.
        """
        for organization in await self._stream.organizations():
            position = self._positions.get(organization)
            while (until := await self._too_much(organization, position)) is not None:
                streamed = await self._stream.after(organization, position, until=until)
                if streamed is None or not await self._lease.take():
                    break
                await self._overflow.write(organization, streamed)
                await self._remove(organization, streamed.position)
                self._overflow_waits = True
                history_telemetry.overflowed(len(streamed.records))
                self._outage.noted(len(streamed.records), _TO_A_FILE)

    async def run(self) -> None:
        """Record until `stop`. What fails is tried again, with a back-off.

        It is not ended by cancellation: the store's client may take one that comes while it waits
        for an answer for an error of the connection.
        """
        failures = 0
        while not self._stopping.is_set():
            pause_s = _IDLE_S
            try:
                if await self._lease.take():
                    await self._work()
                else:
                    # No other recorder may read our files.
                    await self._take_in_overflow()
                self._outage.worked()
                failures = 0
            except (StoreUnavailable, HistoryUnavailable) as error:
                pause_s = _BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)]
                failures += 1
                self._outage.failed(error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)
        with suppress(StoreUnavailable):
            await self._lease.give_back()

    def stop(self) -> None:
        """End `run` after the part that is being recorded."""
        self._stopping.set()

    async def _work(self) -> None:
        """Do what is due. Raises StoreUnavailable, HistoryUnavailable."""
        try:
            await self.prepare()
            await self.drain()
            if self._streams is not None:
                await self._streams.drain(self._may_go_on, self._outage)
            await self.forget()
        except HistoryUnavailable:
            await self.relieve_store()
            raise
        finally:
            await self._tell_lag()
        await self.remove_recorded()

    async def _may_go_on(self) -> bool:
        return not self._stopping.is_set() and await self._lease.take()

    async def _make_room(self, organization: str, position: str) -> None:
        """Remove the oldest of what is recorded, as far as sinks of events are too slow for it."""
        while (until := await self._too_much(organization, None)) is not None:
            until = min(until, position, key=position_order)
            recorded = await self._stream.after(organization, None, until=until)
            if recorded is None or not await self._may_go_on():
                break
            await self._remove(organization, recorded.position)

    async def _remove(self, organization: str, position: str) -> None:
        """Remove the ledger up to a position, whether sinks of events have it or not."""
        if self._events is not None:
            await self._events.lose(organization, position)
        await self._stream.remove_until(organization, position)

    async def _take_in_overflow(self) -> int:
        new = 0
        if self._overflow_waits:
            await self.prepare()
            async for organization, records in self._overflow.waiting():
                new += await self._history.keep(organization, records)
            self._overflow_waits = False
        return new

    async def _too_much(self, organization: str, position: str | None) -> str | None:
        """Return up to where the store has no room for what is behind a position; None: it has."""
        if await self._stream.length(organization) > self._terms.most_entries:
            return NEWEST
        # The store itself would remove it in a day at most.
        most_age_us = self._terms.most_age_us
        kept_us = max(most_age_us - DAY_US, most_age_us * 9 // 10)
        too_old_us = self._clock.now_us() - kept_us
        oldest_us = await self._stream.oldest_us(organization, position)
        if oldest_us is None or oldest_us >= too_old_us:
            return None
        return f"{too_old_us // 1000}-0"

    async def _tell_lag(self) -> None:
        waiting = [
            oldest_us
            for organization in await self._stream.organizations()
            if (
                oldest_us := await self._stream.oldest_us(
                    organization, self._positions.get(organization)
                )
            )
            is not None
        ]
        lag_us = self._clock.now_us() - min(waiting) if waiting else 0
        history_telemetry.lags(max(0, lag_us) / 1_000_000)
