"""Carry refusals and alerts from the store's bounded streams into the history.

The store keeps its newest ones for as long as before, so nothing is removed there. What a stream
drops while the database is away is missing from the history, and is counted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tollgate.ports.event_ports import AlertHistory, AlertStream, RefusalHistory, RefusalStream
from tollgate.reporting import history_telemetry
from tollgate.reporting.telling import alert_telemetry
from tollgate.reporting.telling.outage_lines import OutageLines

StillOurs = Callable[[], Awaitable[bool]]
"""Returns whether this recorder may go on: it has the lease and is not told to stop."""


@dataclass(frozen=True, slots=True)
class StreamRecorder:
    """Takes refusals and alerts in, each once: the position is kept with the rows."""

    refusals: RefusalStream
    refusal_history: RefusalHistory
    alerts: AlertStream
    alert_history: AlertHistory

    async def drain(self, still_ours: StillOurs, outage: OutageLines) -> None:
        """Take in all that is new, and tell `outage` what is missing.

        Raises StoreUnavailable, HistoryUnavailable.
        """
        for organization in await self.refusals.organizations():
            place = await self.refusal_history.last(organization)
            while (new := await self.refusals.after(organization, place)) and await still_ours():
                await self.refusal_history.keep(new)
                if missing := new[0].missing_since(place):
                    history_telemetry.refusals_lost(missing)
                    outage.noted(missing, "refused requests are lost: the store had no room")
                place = new[-1].place
        at = await self.alert_history.last()
        while (told := await self.alerts.after(at)) and await still_ours():
            await self.alert_history.keep(told)
            if missing := told[0].missing_since(at):
                alert_telemetry.alerts_lost(alert_telemetry.HISTORY, missing)
                outage.noted(missing, "alerts are lost: the store had no room")
            at = told[-1].place

    async def forget_before(self, instant_us: int) -> None:
        """Remove what is older from the history."""
        await self.refusal_history.forget_before(instant_us)
        await self.alert_history.forget_before(instant_us)
