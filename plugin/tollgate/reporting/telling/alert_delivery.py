"""Tell alerts to sinks, and try again what a sink did not take.

Each sink has its own place in the queue, so one that is down delays no other. Whatever process
serves people tells alerts; of several replicas one takes each alert.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tollgate.core.errors import NotTold, StoreUnavailable
from tollgate.ports.event_ports import AlertQueue, AlertSink, Queued
from tollgate.reporting.telling import alert_telemetry
from tollgate.reporting.telling.outage_lines import OutageLines

LOOK_EVERY_S = 1.0
MOST_TRIES = 15
"""With pauses from ten seconds to ten minutes, an alert is tried for about an hour and a half."""


class AlertDelivery:
    """Carries alerts from a queue to sinks."""

    def __init__(self, queue: AlertQueue, sinks: Sequence[AlertSink]) -> None:
        self._queue = queue
        self._sinks = sinks
        self._outages = {each.name: OutageLines(f"alert receiver {each.name}") for each in sinks}

    async def keep_telling(self) -> None:
        """Tell forever."""
        await asyncio.gather(*(self._keep_telling(each) for each in self._sinks))

    async def tell(self, sink: AlertSink) -> None:
        """Tell a sink what waits for it now, until something fails. Raises StoreUnavailable.

        Each alert is taken when it is its turn: one that waited here behind slow ones would be
        taken for lost, and told by another replica as well.
        """
        while (queued := await self._take(sink)) is not None:
            if not await self._told(sink, queued):
                break

    async def _take(self, sink: AlertSink) -> Queued | None:
        taken = await self._queue.take(sink.name)
        if taken.lost:
            alert_telemetry.alerts_lost(sink.name, taken.lost)
            self._outages[sink.name].noted(taken.lost, "alerts are lost: the store had no room")
        return taken.alert

    async def _keep_telling(self, sink: AlertSink) -> None:
        prepared = False
        while True:
            try:
                if not prepared:
                    await self._queue.prepare(sink.name)
                    prepared = True
                await self.tell(sink)
            except StoreUnavailable:
                # Others report the outage. The queue may have gone with the store's memory.
                prepared = False
            await asyncio.sleep(LOOK_EVERY_S)

    async def _told(self, sink: AlertSink, queued: Queued) -> bool:
        """Tell one alert, which is tried again if it fails; return whether the sink took it."""
        outage = self._outages[sink.name]
        try:
            await sink.tell(queued.alert)
        except NotTold as error:
            given_up = queued.tries >= MOST_TRIES
            alert_telemetry.not_told(sink.name, given_up=given_up)
            outage.failed(error)
            if given_up:
                outage.noted(1, f"alerts are given up after {MOST_TRIES} tries")
                await self._queue.done(sink.name, queued.place)
            return False
        await self._queue.done(sink.name, queued.place)
        alert_telemetry.told(sink.name)
        outage.worked()
        return True
