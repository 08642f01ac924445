"""The Counters port over a cluster: a call that is limited in several places is held in each.

The call's own place comes first (placement.py). A refusal elsewhere gives back what is held, so a
crash in between leaves a lease at most. A settlement is what the own place says: the others follow
it, and what a crash leaves there is settled by the ledger's record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from valkey.asyncio import Valkey

from tollgate.adapters.valkey import keys
from tollgate.adapters.valkey.cluster.merging import bounded, first_refusal, merged
from tollgate.adapters.valkey.cluster.placement import PlacePart, parts_of, spend_keys
from tollgate.adapters.valkey.connection.clock import StoreClock
from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.adapters.valkey.counters import scripts
from tollgate.adapters.valkey.counters.batches import Answer, Batches
from tollgate.adapters.valkey.counters.counters import (
    NO_RESERVATION,
    ValkeyCounters,
    limited,
    line_name,
    ordered_texts,
    read_reservation,
    read_spend,
    stream_field,
)
from tollgate.adapters.valkey.counters.keyed import Keyed, has_slots
from tollgate.adapters.valkey.counters.ledger import ValkeyLedger
from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.calls.usage import NO_USAGE, Certainty, Told, Usage
from tollgate.core.errors import StoreUnavailable
from tollgate.core.limits.accounts import (
    Accounts,
    Spend,
    Standing,
    accounts_bytes,
)
from tollgate.core.limits.limit_parts import whole_spend
from tollgate.core.memo import Memo
from tollgate.ports import LedgerQuery

_QUIET, _TOLD, _UNDONE = 0, 1, 2
"""How a settlement is answered: not, with where the accounts stand, or so while the call is undone
as if it had not been asked for.
"""
_RETRY_AFTER_S: Final = (0.1, 0.5, 2.0, 5.0)
# A call's own lease and those of its other parts end together; the own one is settled first.
_GRACE_US: Final = 5_000_000
_NOTHING: Final = Settlement(NO_USAGE, 0, 0, "")


class ClusterCounters(ValkeyCounters):
    """Limits and spend in a cluster."""

    def __init__(
        self,
        client: Valkey,
        pipe: Pipe,
        lease_us: int,
        ledger_us: int,
        now_us: int | None = None,
        clock: StoreClock | None = None,
    ) -> None:
        super().__init__(client, pipe, lease_us, ledger_us, now_us, clock)
        self._ledger = ValkeyLedger(client)
        self._holding_own = self._batches(scripts.RESERVE, lambda: lease_us, Answer)
        self._holding_guests = self._batches(
            scripts.RESERVE, lambda: lease_us, Answer, keys.guest_keys
        )
        self._settling_guests = self._batches(
            scripts.SETTLE, self._oldest_ms, Answer, keys.guest_keys
        )
        self._peeking_guests = self._batches(scripts.PEEK, lambda: 0, Answer, keys.guest_keys)
        self._limited_parts: dict[str, Memo[Accounts, tuple[PlacePart, ...]]] = {}
        self._charged_parts: dict[str, Memo[Accounts, tuple[PlacePart, ...]]] = {}

    async def reserve(self, reservation: Reservation) -> Standing:
        own, *others = await self._met_parts(reservation)
        answer = await self._reserve_part(self._holding_own, own, reservation)
        found = {own: answer}
        if answer.refused > 0:
            found |= await self._peek_parts(others)
            return merged(found, first_refusal(found, own, reservation))
        for number, part in enumerate(others):
            try:
                answer = await self._reserve_part(self._holding_guests, part, reservation, found)
            except StoreUnavailable:
                self._again.start(self._undo_quietly([own, *others[:number]], reservation))
                raise
            if answer.refused > 0:
                found = await self._undo([own, *others[:number]], reservation)
                found[part] = answer
                found |= await self._peek_parts(others[number + 1 :])
                return merged(found, first_refusal(found, part, reservation))
            found[part] = answer
        return merged(found)

    async def settle(self, reservation: Reservation, settlement: Settlement) -> Standing | None:
        own, *others = self._parts_charged(reservation)
        answer = await self._settle_part(own, reservation, settlement, _TOLD)
        if answer.refused == NO_RESERVATION:
            return None
        answers = await asyncio.gather(
            *(self._settle_guest(part, reservation, settlement, _TOLD) for part in others)
        )
        return merged({own: answer, **dict(zip(others, answers, strict=True))})

    async def settle_all(self, calls: Sequence[tuple[Reservation, Settlement]]) -> list[bool]:
        first_times = await super().settle_all(calls)
        await asyncio.gather(
            *(
                self._settle_guest(part, *call, _QUIET)
                for call, first_time in zip(calls, first_times, strict=True)
                if first_time
                for part in self._parts_charged(call[0])[1:]
            )
        )
        return first_times

    async def renew(self, reservation: Reservation) -> bool:
        parts = self._parts_charged(reservation)
        renewed = await asyncio.gather(*(self._renew(each, reservation) for each in parts))
        return renewed[0]

    async def peek(self, organization: str, accounts: Accounts) -> Standing:
        return merged(await self._peek_parts(parts_of(organization, accounts)))

    async def spend(self, organization: str, accounts: Accounts) -> list[Spend]:
        if not accounts:
            return []
        organizations = await self.organizations()
        places = [spend_keys(organization, each.scope, organizations) for each in accounts]
        now_us = await self._now_us()
        values = await self._get([key for each in places for key in each])
        found = []
        for account, place in zip(accounts, places, strict=True):
            shares = [read_spend(next(values) or b"", account, now_us) for _ in place]
            found.append(whole_spend(shares))
        return found

    async def expired(self, organization: str) -> list[Reservation]:
        """Return expired reservations that were held everywhere; others are undone.

        Whoever held a call crashed before it was held in every place, so it never passed.
        """
        whole = []
        for each in await super().expired(organization):
            others = self._parts_charged(each)[1:]
            if all([await self._holds(part.place, each.id) for part in others]):
                whole.append(each)
            else:
                await self._undo(self._parts_charged(each), each)
        return whole

    async def settle_guests(self) -> None:
        """Settle what calls left in places beside their own: those are settled or never passed."""
        for place in await self.organizations():
            now_us = await self._now_us() - _GRACE_US
            async for stored in self._ended(keys.guest_keys(place)[0], now_us):
                await self._settle_left(place, read_reservation(stored))

    async def _settle_left(self, place: str, reservation: Reservation) -> None:
        """Settle one reservation's part in a place as its own place did."""
        organization = reservation.organization
        own = keys.organization_keys(organization)[0]
        if await self._ask(b"HEXISTS", own, reservation.id):
            return  # settled with the rest when it ends or expires
        query = LedgerQuery(organization=organization, request_id=reservation.id)
        page = await self._ledger.page(query, 1)
        parts = [each for each in self._parts_charged(reservation) if each.place == place]
        for part in parts:
            if not page.records:
                await self._undo([part], reservation)
                continue
            record = page.records[0].record
            counts = {each: getattr(record, each) for each in Told.__struct_fields__}
            usage = Usage(**counts, certainty=Certainty(record.certainty))
            settlement = Settlement(
                usage,
                record.cost_nanousd,
                record.status,
                record.settled_by,
                unanswered=record.kept is not None,
            )
            await self._settle_part(part, reservation, settlement, _QUIET)

    async def _met_parts(self, reservation: Reservation) -> tuple[PlacePart, ...]:
        """Return the parts that can refuse a call, in places that are all listed."""
        organization = reservation.organization
        if organization not in self._listed:
            await self._list(organization)
        found = _parts(self._limited_parts, organization, limited).get(reservation.accounts)
        for part in found:
            if part.place not in self._listed:
                await self._list(part.place)
        return found

    def _parts_charged(self, reservation: Reservation) -> tuple[PlacePart, ...]:
        memo = _parts(self._charged_parts, reservation.organization, lambda accounts: accounts)
        return memo.get(reservation.accounts)

    def _charged(self, reservation: Reservation) -> Keyed:
        return self._parts_charged(reservation)[0].keyed

    def _is_own(self, part: PlacePart, reservation: Reservation) -> bool:
        return part.place == reservation.organization

    async def _reserve_part(
        self,
        batches: Batches[Answer],
        part: PlacePart,
        reservation: Reservation,
        held: dict[PlacePart, Answer] | None = None,
    ) -> Answer:
        """Hold what a part asks for, bounded by what those that are held already had left."""
        estimates = part.keyed.estimates(reservation)
        if held:
            estimates = bounded(part, estimates, held)
        identity, text, name = ordered_texts(reservation)
        if not self._is_own(part, reservation):
            name = ""  # streams are looked up in their own place
        texts = identity, text, name
        return await batches.of(part.place).add(part.keyed, *estimates, texts=texts)

    async def _settle_part(
        self, part: PlacePart, reservation: Reservation, settlement: Settlement, tell: int
    ) -> Answer:
        """Settle one part. The ledger's record is written with the call's own."""
        if tell != _UNDONE and self._is_own(part, reservation):
            return await self._settle(reservation, settlement, tell=bool(tell))
        own = self._is_own(part, reservation)
        batches = self._settling if own else self._settling_guests
        numbers = part.keyed.settled(reservation, settlement)
        name = stream_field(reservation.stream_id) if own else ""
        texts = (reservation.id, b"", line_name(reservation.model), name)
        return await batches.of(part.place).add(part.keyed, *numbers, tell, texts=texts)

    async def _settle_guest(
        self, part: PlacePart, reservation: Reservation, settlement: Settlement, tell: int
    ) -> Answer | None:
        """Settle a part elsewhere; None if that has to be tried again later.

        The call is settled already, so nobody is told of a failure here.
        """
        try:
            return await self._settle_part(part, reservation, settlement, tell)
        except StoreUnavailable:
            self._again.start(self._settle_guest_later(part, reservation, settlement))
            return None

    async def _settle_guest_later(
        self, part: PlacePart, reservation: Reservation, settlement: Settlement
    ) -> None:
        for pause_s in _RETRY_AFTER_S:
            await asyncio.sleep(pause_s)
            try:
                await self._settle_part(part, reservation, settlement, _QUIET)
            except StoreUnavailable:
                continue
            return

    async def _undo(
        self, parts: Sequence[PlacePart], reservation: Reservation
    ) -> dict[PlacePart, Answer]:
        """Give back what parts hold, as if they had not been asked."""
        answers = await asyncio.gather(
            *(self._settle_part(each, reservation, _NOTHING, _UNDONE) for each in parts)
        )
        return dict(zip(parts, answers, strict=True))

    async def _undo_quietly(self, parts: Sequence[PlacePart], reservation: Reservation) -> None:
        """Give back, or leave it to the end of the leases."""
        try:
            await self._undo(parts, reservation)
        except StoreUnavailable:
            return

    async def _peek_parts(self, parts: Sequence[PlacePart]) -> dict[PlacePart, Answer]:
        answers = await asyncio.gather(
            *(self._peeking_guests.of(each.place).add(each.keyed) for each in parts)
        )
        return dict(zip(parts, answers, strict=True))

    async def _renew(self, part: PlacePart, reservation: Reservation) -> bool:
        own = self._is_own(part, reservation)
        place = (keys.organization_keys if own else keys.guest_keys)(part.place)
        slots = [
            keys.slots_key(reservation.organization, each.scope)
            for each in part.keyed.accounts
            if has_slots(each)
        ]
        return await self._renew_in((*place, *slots), reservation.id)

    async def _holds(self, place: str, identity: str) -> bool:
        return bool(await self._ask(b"HEXISTS", keys.guest_keys(place)[0], identity))

    async def _get(self, names: Sequence[str]) -> Any:
        """Return the values of keys, one by one: they may be anywhere."""
        return iter(await asyncio.gather(*(self._ask(b"GET", each) for each in names)))


def _parts(
    memos: dict[str, Memo[Accounts, tuple[PlacePart, ...]]],
    organization: str,
    choose: Callable[[Accounts], Accounts],
) -> Memo[Accounts, tuple[PlacePart, ...]]:
    """Return what keeps the parts of an organization's callers."""
    if (memo := memos.get(organization)) is None:
        memo = memos[organization] = Memo(
            lambda accounts: parts_of(organization, choose(accounts)), accounts_bytes
        )
    return memo
