"""Record refusals, without slowing the answers.

A refusal is noted in memory and written in the background. Of one key and reason, a few in a second
are recorded one by one; the others of that second become one record that counts them, so a client
that retries refused requests in a loop costs the store a bounded number of records. While the store
is slow or down, what does not fit into memory is dropped and counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from msgspec import Struct, structs

from tollgate import telemetry
from tollgate.core.callers.rules import Caller
from tollgate.core.calls.decision import Refusal
from tollgate.core.calls.records import payer_names
from tollgate.core.calls.refusal_records import RefusalRecord
from tollgate.core.entities import Key
from tollgate.core.errors import StoreUnavailable
from tollgate.core.limits.accounts import DEFAULT_ORGANIZATION, ScopeKind
from tollgate.ports import Clock
from tollgate.ports.event_ports import RefusalBook

WRITTEN_AFTER_S = 0.25
MOST_A_SECOND = 5
"""Records of single refusals of one key for one reason in a second."""
MOST_WAITING = 2_000
"""Refusals that wait to be written; a flood of one key takes six places a second."""
_LAST_WRITE_S = 1.0
_SECOND_US = 1_000_000


class Noted(Struct, frozen=True):
    """A refusal, and who was refused as far as it is known."""

    id: str
    refused_us: int
    refusal: Refusal
    key: Key | None
    caller: Caller | None


class _Flood:
    """The refusals of one key and reason in one second: how many are recorded one by one, and how
    many others there are, of which the last is kept.
    """

    __slots__ = ("last", "others", "second", "single")

    def __init__(self, second: int) -> None:
        self.second = second
        self.single = 0
        self.others = 0
        self.last: Noted | None = None


class RefusalNotes:
    """Refusals on their way to a book. Notes are dated by the clock that ends their seconds."""

    def __init__(
        self, book: RefusalBook, clock: Clock, on_noted: Callable[[Noted], None] = lambda _: None
    ) -> None:
        """Prepare to take notes; `on_noted` is called with each refusal."""
        self._book = book
        self._clock = clock
        self._on_noted = on_noted
        self._waiting: list[tuple[Noted, int]] = []
        self._floods: dict[tuple[str, str], _Flood] = {}
        self._noted = asyncio.Event()

    def note(self, noted: Noted) -> None:
        """Take a refusal; it is written soon."""
        self._on_noted(noted)
        place = (noted.key.id if noted.key is not None else "", noted.refusal.reason)
        second = noted.refused_us // _SECOND_US
        flood = self._floods.get(place)
        if flood is None or flood.second != second:
            if flood is not None:
                self._count_others(flood)
            flood = self._floods[place] = _Flood(second)
        if flood.single < MOST_A_SECOND:
            flood.single += 1
            self._wait(noted, 1)
        else:
            flood.others += 1
            flood.last = noted
        self._noted.set()

    async def keep_written(self) -> None:
        """Write forever what was noted, and once more when cancelled. An idle process is not
        woken.
        """
        try:
            while True:
                await self._noted.wait()
                await asyncio.sleep(WRITTEN_AFTER_S)
                self._noted.clear()
                self._end_floods()
                await self._write()
        finally:
            for flood in self._floods.values():
                self._count_others(flood)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WRITE_S):
                    await self._write()

    def _wait(self, noted: Noted, times: int) -> None:
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append((noted, times))
        else:
            telemetry.refusals_dropped(times)

    def _count_others(self, flood: _Flood) -> None:
        if flood.last is not None:
            self._wait(flood.last, flood.others)
            flood.last, flood.others = None, 0

    def _end_floods(self) -> None:
        """Count the others of seconds that are over, and come back for those that are not."""
        now = self._clock.now_us() // _SECOND_US
        for place, flood in tuple(self._floods.items()):
            if flood.second < now:
                self._count_others(flood)
                del self._floods[place]
        if self._floods:
            self._noted.set()

    async def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        written = False
        try:
            await self._book.add([record_of(noted, times) for noted, times in waiting])
            written = True
        except StoreUnavailable as error:
            telemetry.store_failed("refusals", error)
        finally:
            # Also where the last write takes too long, and is cancelled.
            if not written:
                telemetry.refusals_dropped(sum(times for _, times in waiting))


def record_of(noted: Noted, times: int) -> RefusalRecord:
    """Return the record of a refusal, or of several of which this was the last."""
    refusal, key, asked = noted.refusal, noted.key, noted.refusal.asked
    record = RefusalRecord(
        id=noted.id,
        organization=(key.organization if key is not None else None) or DEFAULT_ORGANIZATION,
        refused_us=noted.refused_us,
        status=refusal.status,
        reason=refusal.reason,
        message=refusal.message,
        key_name="" if key is None else key.alias or key.name,
        scopes=payers_of(noted),
        times=times,
        hit=None if refusal.hit is None else refusal.hit(),
    )
    if asked is None:
        return record
    return structs.replace(
        record,
        model=asked.model,
        input_tokens=asked.input_tokens,
        output_tokens=asked.output_tokens,
        cost_nanousd=asked.cost_nanousd,
    )


def payers_of(noted: Noted) -> tuple[str, ...]:
    """Return whom a refused request belongs to, as `kind:id`, as far as that was known."""
    if noted.refusal.asked is not None:
        return payer_names(noted.refusal.asked.accounts)
    key, caller = noted.key, noted.caller
    named: list[tuple[ScopeKind, str | None]] = []
    if key is not None:
        member = f"{key.team_id}/{key.user_id}" if key.team_id and key.user_id else None
        named += [
            (ScopeKind.TEAM, key.team_id),
            (ScopeKind.MEMBER, member),
            (ScopeKind.USER, key.user_id),
            (ScopeKind.KEY, key.id),
        ]
    if caller is not None:
        organization = caller.organization
        named += [
            (ScopeKind.ORGANIZATION, None if organization is None else organization.id),
            (ScopeKind.CUSTOMER, caller.customer_id),
        ]
    return tuple(f"{kind.value}:{identity}" for kind, identity in named if identity is not None)
