"""Events of settled calls, delivered at least once to sinks that acknowledge them.

docs/events.schema.json describes them. The store's ledger is what they are made from; a sink's
position moves once it has acknowledged, so an event may come twice and has an id to notice that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from msgspec.json import Encoder

from tollgate.core.calls.ledger_sums import charged_parts
from tollgate.core.calls.usage import Counts
from tollgate.core.errors import StoreUnavailable, TollgateError
from tollgate.ports import Settled
from tollgate.ports.history_ports import Lease, LedgerStream, position_order
from tollgate.reporting import history_telemetry
from tollgate.reporting.telling.outage_lines import OutageLines

SCHEMA_VERSION = "1.0"
"""Grows in its second number with new fields, in its first when a field changes or goes."""

_IDLE_S = 1.0
_BACKOFF_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
# Half a megabyte, which receivers take in one body.
_MOST_AT_ONCE = 500
_MANY_OF = frozenset({"tag"})
_LEFT_OUT = frozenset({"proxy", "member", "organization_member"})
_encode = Encoder().encode


class SinkUnavailable(TollgateError):
    """A sink did not acknowledge events; they are delivered again."""


class CallEvent(NamedTuple):
    """An event as JSON, and its id."""

    id: str
    text: bytes


class EventSink(Protocol):
    """Takes events. `name`: tells it apart, also after a restart."""

    name: str

    async def deliver(self, events: Sequence[CallEvent]) -> None:
        """Deliver events. Raises SinkUnavailable unless they are acknowledged."""
        ...

    async def close(self) -> None:
        """Close what is open."""
        ...


class EventPositions(Protocol):
    """How far each sink has each organization's ledger. Errors are StoreUnavailable."""

    async def find(self, sink: str, organization: str) -> str | None:
        """Return how far a sink has an organization's ledger; None: not at all."""
        ...

    async def move(self, sink: str, organization: str, position: str) -> None:
        """Write how far a sink has an organization's ledger."""
        ...


class EventPublisher:
    """Delivers what is settled to all sinks, each by itself: a dead one delays no other."""

    def __init__(
        self,
        stream: LedgerStream,
        positions: EventPositions,
        sinks: Sequence[EventSink],
        lease: Lease,
    ) -> None:
        self._stream = stream
        self._positions = positions
        self._sinks = sinks
        self._lease = lease
        self._outages = {each.name: OutageLines(f"event sink {each.name}") for each in sinks}
        self._stopping = asyncio.Event()

    async def deliver(self, sink: EventSink) -> int:
        """Deliver all that a sink does not have yet; return the number of events.

        Raises SinkUnavailable, StoreUnavailable.
        """
        count = 0
        for organization in await self._stream.organizations():
            position = await self._positions.find(sink.name, organization)
            while streamed := await self._stream.after(organization, position):
                if self._stopping.is_set() or not await self._lease.take():
                    return count
                events = [event(organization, each.read()) for each in streamed.records]
                for first in range(0, len(events), _MOST_AT_ONCE):
                    await sink.deliver(events[first : first + _MOST_AT_ONCE])
                position = streamed.position
                await self._positions.move(sink.name, organization, position)
                history_telemetry.events_delivered(sink.name, len(events))
                count += len(events)
        return count

    async def run(self) -> None:
        """Deliver until `stop`. What fails is tried again, with a back-off.

        It is not ended by cancellation, for the reason that the recorder is not.
        """
        await asyncio.gather(*(self._keep_delivering(each) for each in self._sinks))
        for each in self._sinks:
            await each.close()

    def stop(self) -> None:
        """End `run` after what is being delivered."""
        self._stopping.set()

    async def furthest_removable(self, organization: str, position: str) -> str | None:
        """Return up to where no sink needs the ledger any more, at most a position; None:
        nothing may go.
        """
        found = [position]
        for sink in self._sinks:
            delivered = await self._positions.find(sink.name, organization)
            if delivered is None:
                return None
            found.append(delivered)
        return min(found, key=position_order)

    async def lose(self, organization: str, position: str) -> None:
        """Let sinks go on behind a position, up to which the ledger is removed now.

        What a sink does not have yet is counted as lost.
        """
        for sink in self._sinks:
            delivered = await self._positions.find(sink.name, organization)
            lost = 0
            while streamed := await self._stream.after(organization, delivered, until=position):
                lost += len(streamed.records)
                delivered = streamed.position
            if lost and delivered is not None:
                await self._positions.move(sink.name, organization, delivered)
                history_telemetry.events_lost(sink.name, lost)
                self._outages[sink.name].noted(lost, "events are lost: the store has no room")

    async def _keep_delivering(self, sink: EventSink) -> None:
        failures = 0
        while not self._stopping.is_set():
            pause_s = _IDLE_S
            try:
                if await self._lease.take():
                    await self.deliver(sink)
                    self._outages[sink.name].worked()
                failures = 0
            except (SinkUnavailable, StoreUnavailable) as error:
                pause_s = _BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)]
                failures += 1
                history_telemetry.event_failed(sink.name)
                self._outages[sink.name].failed(error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)


def event(organization: str, settled: Settled) -> CallEvent:
    """Return the event of a settled call, in the form of docs/events.schema.json."""
    record = settled.record
    payers: dict[str, Any] = {}
    for scope in record.scopes:
        kind, _, name = scope.partition(":")
        if kind in _MANY_OF:
            payers.setdefault(f"{kind}s", []).append(name)
        elif kind not in _LEFT_OUT:
            payers[kind] = name
    counts = {name: getattr(record, name) for name in Counts.__struct_fields__}
    told = {
        "schema_version": SCHEMA_VERSION,
        "event_id": record.id,
        "type": "call.settled",
        "admitted_at": _moment(record.admitted_us),
        "settled_at": _moment(settled.settled_us),
        "organization": organization,
        **payers,
        "model": record.model,
        "deployment": record.deployment,
        "status": record.status,
        "certainty": record.certainty,
        "usage": {
            "input_tokens": record.input_tokens,
            "output_tokens": record.output_tokens,
            "uncached_input_tokens": record.input_tokens - record.cache_read_tokens,
            **{name: count for name, count in counts.items() if count},
        },
        "cost_nanousd": record.cost_nanousd,
        "charges": [
            {"kind": each.kind, "units": each.units, "nanousd": each.nanousd}
            for each in charged_parts(record)
        ],
    }
    return CallEvent(record.id, _encode(told))


def joined(events: Sequence[CallEvent]) -> bytes:
    """Return several events as one JSON document."""
    version = _encode(SCHEMA_VERSION)
    return (
        b'{"schema_version":'
        + version
        + b',"events":['
        + b",".join(each.text for each in events)
        + b"]}"
    )


def _moment(instant_us: int) -> str:
    return datetime.fromtimestamp(instant_us / 1_000_000, UTC).isoformat()
