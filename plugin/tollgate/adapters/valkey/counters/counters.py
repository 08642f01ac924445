"""The Counters port over counters.lua: entities to arguments and back, nothing else."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence, Set
from functools import lru_cache, partial
from time import perf_counter
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from msgspec import structs
from valkey.asyncio import Valkey

from tollgate import telemetry
from tollgate.adapters.valkey import keys
from tollgate.adapters.valkey.connection.address import Command
from tollgate.adapters.valkey.connection.client import store_errors
from tollgate.adapters.valkey.connection.clock import StoreClock
from tollgate.adapters.valkey.connection.pipe import Pipe, ReplyError, unavailable
from tollgate.adapters.valkey.counters import scripts
from tollgate.adapters.valkey.counters.batches import Answer, Batch, Batches, Told
from tollgate.adapters.valkey.counters.first_version import carry_over
from tollgate.adapters.valkey.counters.keyed import Keyed, has_slots
from tollgate.adapters.valkey.counters.layout import NO_STATE, read_state
from tollgate.adapters.valkey.counters.scripts import Script
from tollgate.adapters.valkey.counters.states import States
from tollgate.background import Background
from tollgate.core.calls import record_text
from tollgate.core.calls import reservation_text as reservations
from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.errors import StoreUnavailable
from tollgate.core.limits.accounts import (
    Account,
    Accounts,
    Spend,
    Standing,
    accounts_bytes,
)
from tollgate.core.limits.period import current
from tollgate.core.memo import Memo

T = TypeVar("T")

NO_RESERVATION = -1
_MAX_EXPIRED = 100
_SCANNED_AT_ONCE = 200
_RESERVATION = struct.Struct("<qqH")
_HOLD_BYTES = 8
_STREAM_FIELD = b"stream:"


class ValkeyCounters:
    """Limits and spend in Valkey.

    `now_us` fixes the script's clock for tests; None asks the server, as everything else does.

    `clock` is told what each answer says of the store's time.
    """

    def __init__(
        self,
        client: Valkey,
        pipe: Pipe,
        lease_us: int,
        ledger_us: int,
        now_us: int | None = None,
        clock: StoreClock | None = None,
    ) -> None:
        self.now_us = now_us
        self._clock = clock or StoreClock()
        self._client = client
        self._pipe = pipe
        self._lease_us = lease_us
        self._ledger_us = ledger_us
        self._listed: set[str] = set()
        self._reserving = self._batches(scripts.RESERVE, lambda: lease_us, _standing)
        self._settling = self._batches(scripts.SETTLE, self._oldest_ms, Answer)
        self._peeking = self._batches(scripts.PEEK, lambda: 0, _standing)
        self._limited: dict[str, Memo[Accounts, Keyed]] = {}
        self._charged_of: dict[str, Memo[Accounts, Keyed]] = {}
        self._again = Background()

    def reserve(self, reservation: Reservation) -> Awaitable[Standing]:
        organization = reservation.organization
        memo = self._limited.get(organization)
        if memo is None:
            return self._reserve_first(reservation)
        keyed, texts = memo.get(reservation.accounts), ordered_texts(reservation)
        batch = self._reserving.of(organization)
        return batch.add(keyed, *keyed.estimates(reservation), texts=texts)

    async def _reserve_first(self, reservation: Reservation) -> Standing:
        """Hold the first call of an organization that this worker meets."""
        organization = reservation.organization
        await self._list(organization)
        memo = Memo(lambda accounts: Keyed.of(organization, limited(accounts)), accounts_bytes)
        self._limited.setdefault(organization, memo)
        return await self.reserve(reservation)

    async def meet_store(self) -> None:
        """Carry over what an older version counted. Raises StoreUnavailable."""
        try:
            await carry_over(self._pipe)
        except ReplyError as error:
            raise unavailable(error) from error

    async def _list(self, organization: str) -> None:
        """List a place before anything is held there: what nobody knows of, nobody would free.

        Once for each worker and place.
        """
        try:
            await carry_over(self._pipe)
            await self._pipe.call(b"SADD", keys.ORGANIZATIONS, organization)
            if not self._clock.known:
                await self._learn_time()
        except ReplyError as error:
            raise unavailable(error) from error
        self._listed.add(organization)

    async def _learn_time(self) -> None:
        """Ask the store's time, where it was away when this process was started.

        Raises StoreUnavailable when the call's periods were named by a clock that is wrong: asked
        again, it is decided rightly.
        """
        seconds, micros = await self._pipe.call(b"TIME")
        if self._clock.was_wrong(int(seconds) * 1_000_000 + int(micros)) and self.now_us is None:
            raise StoreUnavailable("its time was not known yet, and this machine's clock differs")

    async def settle(self, reservation: Reservation, settlement: Settlement) -> Standing | None:
        answer = await self._settle(reservation, settlement, tell=True)
        return None if answer.refused == NO_RESERVATION else answer.standing

    async def settle_all(self, calls: Sequence[tuple[Reservation, Settlement]]) -> list[bool]:
        settling = [
            self._settle(reservation, settlement, tell=False) for reservation, settlement in calls
        ]
        first_times, failed = [], None
        # All leave together, and come back in few batches; should one fail, the others have been
        # asked all the same.
        for answering in settling:
            try:
                first_times.append((await answering).refused != NO_RESERVATION)
            except StoreUnavailable as error:
                failed = error
        if failed is not None:
            raise failed
        return first_times

    async def renew(self, reservation: Reservation) -> bool:
        organization = reservation.organization
        slots = [
            keys.slots_key(organization, each.scope)
            for each in reservation.accounts
            if has_slots(each)
        ]
        return await self._renew_in((*keys.organization_keys(organization), *slots), reservation.id)

    async def peek(self, organization: str, accounts: Accounts) -> Standing:
        return await self._peeking.of(organization).add(Keyed.of(organization, accounts))

    async def spend(self, organization: str, accounts: Accounts) -> list[Spend]:
        if not accounts:
            return []
        names = [keys.scope_key(organization, each.scope) for each in accounts]
        now_us, stored = await asyncio.gather(self._now_us(), self._ask(b"MGET", *names))
        return [
            read_spend(value or b"", account, now_us)
            for value, account in zip(stored, accounts, strict=True)
        ]

    async def organizations(self) -> list[str]:
        with store_errors():
            names: Any = await self._client.smembers(keys.ORGANIZATIONS)  # type: ignore[misc]
        return [name.decode() for name in names]

    async def open(self, organization: str, stream_ids: Set[str]) -> list[Reservation]:
        held = keys.organization_keys(organization)[0]
        found = await self._ask(b"HMGET", held, *map(stream_field, stream_ids))
        if not (ids := [each for each in found if each is not None]):
            return []
        stored = await self._ask(b"HMGET", held, *ids)
        return [read_reservation(each) for each in stored if each is not None]

    async def expired(self, organization: str) -> list[Reservation]:
        # A scan may tell a reservation twice.
        ended = set[bytes]()
        holds, now_us = keys.organization_keys(organization)[0], await self._now_us()
        async for each in self._ended(holds, now_us):
            ended.add(each)
            if len(ended) == _MAX_EXPIRED:
                break
        return [read_reservation(each) for each in sorted(ended, key=lease_end_us)]

    async def settle_guests(self) -> None:
        """Do nothing: on one server no call holds anything outside its own place."""

    async def _ended(self, holds: str, now_us: int) -> AsyncIterator[bytes]:
        """Yield the reservations of a place whose leases have ended, in no order.

        An index by when leases end would be written twice a request, and read now and then. They
        are read in pages: requests wait in the store while it answers, and 20,000 open calls are
        20 MB.
        """
        cursor = 0
        while True:
            with store_errors():
                page: Any = await self._client.hscan(holds, cursor, count=_SCANNED_AT_ONCE)
            cursor, found = page
            for field, value in found.items():
                if not field.startswith(_STREAM_FIELD) and lease_end_us(value) <= now_us:
                    yield value
            if not cursor:
                return

    async def _now_us(self) -> int:
        """Return the store's time."""
        if self.now_us is not None:
            return self.now_us
        seconds, micros = await self._ask(b"TIME")
        now_us = int(seconds) * 1_000_000 + int(micros)
        self._clock.learn(now_us)
        return now_us

    async def _ask(self, *command: str | bytes) -> Any:
        try:
            return await self._pipe.call(*command)
        except ReplyError as error:
            raise unavailable(error) from error

    async def _renew_in(self, names: Sequence[str], identity: str) -> bool:
        command = self._command(scripts.RENEW, names, 0, self._lease_us, b"", b"", b"", identity)
        return bool(await self._run(scripts.RENEW, command))

    def _settle(
        self, reservation: Reservation, settlement: Settlement, *, tell: bool
    ) -> asyncio.Future[Answer]:
        texts = (
            reservation.id,
            record_text.encode(reservation, settlement),
            line_name(reservation.model),
            stream_field(reservation.stream_id),
        )
        batch, keyed = self._settling.of(reservation.organization), self._charged(reservation)
        return batch.add(keyed, *keyed.settled(reservation, settlement), tell, texts=texts)

    def _charged(self, reservation: Reservation) -> Keyed:
        """Return the accounts that a call is charged to in its own place."""
        organization = reservation.organization
        if (memo := self._charged_of.get(organization)) is None:
            memo = self._charged_of[organization] = Memo(
                partial(Keyed.of, organization), accounts_bytes
            )
        return memo.get(reservation.accounts)

    def _oldest_ms(self) -> int:
        return max(0, (self._clock.now_us() - self._ledger_us) // 1000)

    def _batches(
        self,
        script: Script,
        own: Callable[[], int],
        told: Told[T],
        place_keys: Callable[[str], tuple[str, str]] = keys.organization_keys,
    ) -> Batches[T]:
        """Make an operation's batches. `own`: the argument that is the operation's own; `told`:
        makes what callers are told.
        """

        def send(organization: str, batch: Batch[T]) -> None:
            names = (*place_keys(organization), *batch.keys())
            command = self._command(script, names, batch.scope_count, own(), *batch.arguments())
            began_s = perf_counter()

            def heard(reply: Any) -> None:
                batches.returned(organization)
                self._answered(batch, script, command, began_s, reply)

            self._pipe.start(command, heard)

        batches = Batches(send, told)
        return batches

    def _answered(
        self, batch: Batch[Any], script: Script, command: Command, began_s: float, reply: Any
    ) -> None:
        if not isinstance(reply, Exception):
            telemetry.store_answered(perf_counter() - began_s)
            self._clock.learn(reply[0])
            batch.answer(reply)
        elif _is_forgotten(reply):
            self._again.start(self._answer_again(batch, script, command))
        else:
            batch.fail(unavailable(reply))

    async def _answer_again(self, batch: Batch[Any], script: Script, command: Command) -> None:
        try:
            batch.answer(await self._run(script, command))
        except StoreUnavailable as error:
            batch.fail(error)

    def _command(
        self, script: Script, names: Sequence[str], *arguments: str | bytes | int
    ) -> Command:
        now = b"" if self.now_us is None else self.now_us
        return (b"EVALSHA", script.sha, len(names), *names, now, *arguments)

    async def _run(self, script: Script, command: Command) -> Any:
        try:
            try:
                return await self._pipe.call(*command)
            except ReplyError as error:
                if not _is_forgotten(error):
                    raise
            # In a cluster it is to be loaded where its keys are, which is where it runs.
            return await self._pipe.call(b"EVAL", script.source, *command[2:])
        except ReplyError as error:
            raise unavailable(error) from error


def ordered_texts(reservation: Reservation) -> tuple[str, str, str]:
    """Return the texts of a call that is to be held, in the order of reserve.lua."""
    text = reservations.encode_to_hold(reservation)
    return reservation.id, text, stream_field(reservation.stream_id)


def stream_field(stream_id: str) -> str:
    """Return the field that names the reservation of a stream; empty: the stream has no name."""
    return f"stream:{stream_id}" if stream_id else ""


def limited(accounts: Accounts) -> Accounts:
    """The accounts that can refuse.

    Those without a limit hold nothing and refuse nothing: only settlement touches them.
    """
    return tuple(each for each in accounts if each.limited)


# There are as many as the configuration names, and ledgers know.
@lru_cache(maxsize=4096)
def line_name(model: str) -> str:
    """A model as a scope's lines of sums name it."""
    return quote(model)


def _is_forgotten(error: BaseException) -> bool:
    """Whether a store that was restarted or failed over has forgotten its scripts."""
    return isinstance(error, ReplyError) and str(error).startswith("NOSCRIPT")


def read_reservation(stored: bytes) -> Reservation:
    """A reservation as the script keeps it: when its lease ends, and what it holds, come first."""
    *_, count = _RESERVATION.unpack_from(stored)
    return reservations.decode(stored[_RESERVATION.size + count * _HOLD_BYTES :])


def lease_end_us(stored: bytes) -> int:
    end_us: int = _RESERVATION.unpack_from(stored)[0]
    return end_us


def _standing(
    refused: int, limit: int, states: States, keyed: Keyed, numbers: Sequence[int]
) -> Standing:
    """Return where accounts stand, and what refused: its parts are those of an Answer."""
    standing = states.standing(keyed.accounts, keyed.names, numbers)
    if refused > 0:
        return structs.replace(
            standing, refused=refused - 1, by=abs(limit) - 1, only_held=limit < 0
        )
    return standing


def read_spend(stored: bytes, account: Account, now_us: int) -> Spend:
    state, end = read_state(stored) if stored else (NO_STATE, 0)
    _, spent, held, start_us = state[:4]
    lines = (line.partition(b"=") for line in stored[end:].split(b"\n") if line)
    sums = {unquote(name.decode()): int(digits) for name, _, digits in lines}
    return Spend(
        current(spent, start_us, account.period, now_us)[0], held, sum(sums.values()), sums
    )
