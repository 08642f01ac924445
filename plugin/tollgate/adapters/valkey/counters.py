"""The Counters port over counters.lua: entities to arguments and back, nothing else."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Sequence, Set
from functools import partial
from hashlib import sha1
from pathlib import Path
from time import perf_counter, time_ns
from typing import Any
from urllib.parse import quote, unquote

import msgspec
from redis.asyncio import Redis

from tollgate import telemetry
from tollgate.adapters.valkey import keys
from tollgate.adapters.valkey.batches import Answer, Batch, Batches, Keyed
from tollgate.adapters.valkey.client import store_errors
from tollgate.adapters.valkey.pipe import Pipe, ReplyError
from tollgate.core import reservations
from tollgate.core.budget import current
from tollgate.core.entities import Account, Accounts, LimitKind, Reservation, Settlement, Spend, Standing
from tollgate.core.errors import StoreUnavailable
from tollgate.core.ledger import record
from tollgate.core.memo import Memo

SCRIPT = Path(__file__).with_name("counters.lua").read_bytes()
# EVALSHA's name for the script is its version: old and new workers run side by side.
SCRIPT_SHA = sha1(SCRIPT, usedforsecurity=False).hexdigest()

_NO_RESERVATION = -1
_MAX_EXPIRED = 100
_encode = msgspec.json.Encoder().encode
# RESERVE, SETTLE and PEEK of counters.lua.
_RESERVE, _SETTLE, _PEEK = struct.Struct("<HdddB"), struct.Struct("<HdddBdB"), struct.Struct("<H")
# STATE of counters.lua: of it used, held, period; the buckets are not for here.
_STATE = struct.Struct("<24x3q16x")
# COUNT and HOLD of counters.lua.
_COUNT, _HOLD_BYTES = struct.Struct("<H"), 8

_Command = tuple[str | bytes | int, ...]


class ValkeyCounters:
    """Limits and spend in Valkey. `now_us` fixes the script's clock for tests; None asks the server, as everything else does."""

    def __init__(self, client: Redis, pipe: Pipe, lease_us: int, ledger_us: int, now_us: int | None = None) -> None:
        self.now_us = now_us
        self._client = client
        self._pipe = pipe
        self._lease_us = lease_us
        self._ledger_us = ledger_us
        self._listed: set[str] = set()
        self._reserving = Batches(partial(self._send, b"reserve", lambda: lease_us))
        self._settling = Batches(partial(self._send, b"settle", self._oldest_ms))
        self._peeking = Batches(partial(self._send, b"peek", lambda: 0))
        self._limited: dict[str, Memo[Accounts, Keyed]] = {}
        self._charged: dict[str, Memo[Accounts, Keyed]] = {}

    async def reserve(self, reservation: Reservation) -> Standing:
        organization = reservation.organization
        if organization not in self._listed:
            # Before anything is held: what nobody knows of, nobody would free. Once for each worker and organization.
            await self._pipe.call(b"SADD", keys.ORGANIZATIONS, organization)
            self._listed.add(organization)
            self._limited[organization] = Memo(lambda accounts: Keyed.of(organization, limited(accounts)))
        keyed = self._limited[organization].get(reservation.accounts)
        numbers = (reservation.cost_nanousd, reservation.input_tokens, reservation.output_tokens, reservation.guessed)
        texts = (reservation.id, reservations.encode(reservation))
        return _standing(await self._reserving.of(organization).add(keyed, _RESERVE, *numbers, texts=texts))

    async def settle(self, reservation: Reservation, settlement: Settlement) -> Standing | None:
        answer = await self._settle(reservation, settlement, tell=True)
        return None if answer.refused == _NO_RESERVATION else _standing(answer)

    async def settle_all(self, calls: Sequence[tuple[Reservation, Settlement]]) -> list[bool]:
        settling = [self._settle(reservation, settlement, tell=False) for reservation, settlement in calls]
        # All leave together, and come back in few batches; should one fail, the others have been asked all the same.
        if settling:
            await asyncio.wait(settling)
        return [answering.result().refused != _NO_RESERVATION for answering in settling]

    async def renew(self, reservation: Reservation) -> bool:
        organization = reservation.organization
        slots = [keys.slots_key(organization, each.scope) for each in reservation.accounts if each.parallel is not None]
        names = (*keys.organization_keys(organization)[:2], *slots)
        return bool(await self._run(self._command(b"renew", names, 0, self._lease_us, reservation.id)))

    async def peek(self, organization: str, accounts: Accounts) -> Standing:
        return _standing(await self._peeking.of(organization).add(Keyed.of(organization, accounts), _PEEK))

    async def spend(self, organization: str, accounts: Accounts) -> list[Spend]:
        if not accounts:
            return []
        with store_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.time()
            pipeline.mget([keys.scope_key(organization, each.scope) for each in accounts])
            (seconds, micros), stored = await pipeline.execute()
        now_us = self.now_us or seconds * 1_000_000 + micros
        return [_spend(value or b"", account, now_us) for value, account in zip(stored, accounts, strict=True)]

    async def organizations(self) -> list[str]:
        with store_errors():
            names: Any = await self._client.smembers(keys.ORGANIZATIONS)
        return [name.decode() for name in names]

    async def open(self, organization: str, stream_ids: Set[str]) -> list[Reservation]:
        # All that is in flight is read: this is asked only after clients that left within milliseconds, and for many at once.
        with store_errors():
            stored: list[Any] = await self._client.hvals(keys.organization_keys(organization)[0])
        return [each for each in map(_reservation, stored) if each.stream_id in stream_ids]

    async def expired(self, organization: str) -> list[Reservation]:
        held, leases, _ = keys.organization_keys(organization)
        with store_errors():
            now_us = self.now_us
            if now_us is None:
                seconds, micros = await self._client.time()
                now_us = seconds * 1_000_000 + micros
            ids: list[Any] = await self._client.zrangebyscore(leases, "-inf", now_us, start=0, num=_MAX_EXPIRED)
            stored: list[Any] = await self._client.hmget(held, ids) if ids else []
        # One that was settled between the two reads is gone from the second.
        return [_reservation(each) for each in stored if each is not None]

    def _settle(self, reservation: Reservation, settlement: Settlement, *, tell: bool) -> asyncio.Future[Answer]:
        organization = reservation.organization
        if (memo := self._charged.get(organization)) is None:
            memo = self._charged[organization] = Memo(partial(Keyed.of, organization))
        cost, used_tokens = settlement.cost_nanousd, settlement.usage.total_tokens
        estimate = (reservation.input_tokens, reservation.output_tokens, reservation.guessed)
        texts = (reservation.id, _encode(record(reservation, settlement)), quote(reservation.model))
        batch, keyed = self._settling.of(organization), memo.get(reservation.accounts)
        return batch.add(keyed, _SETTLE, cost, *estimate, used_tokens, tell, texts=texts)

    def _oldest_ms(self) -> int:
        return max(0, time_ns() // 1_000_000 - self._ledger_us // 1000)

    def _send(self, operation: bytes, last: Callable[[], int], organization: str, batch: Batch) -> None:
        """One run of the script for all who wait in the batch."""
        names = (*keys.organization_keys(organization), *batch.keys())
        command = self._command(operation, names, batch.scope_count, last(), *batch.arguments())
        answered = partial(self._answered, batch, command, perf_counter())
        self._pipe.start(*command).add_done_callback(answered)

    def _answered(self, batch: Batch, command: _Command, began_s: float, reply: asyncio.Future[Any]) -> None:
        error = reply.exception()
        if error is None:
            telemetry.store_answered(perf_counter() - began_s)
            batch.answer(reply.result())
        elif _is_forgotten(error):
            again = asyncio.ensure_future(self._run(command))
            again.add_done_callback(partial(self._answered, batch, command, began_s))
        else:
            batch.fail(_unavailable(error))

    def _command(self, operation: bytes, names: Sequence[str], *arguments: str | bytes | int) -> _Command:
        now = b"" if self.now_us is None else self.now_us
        return (b"EVALSHA", SCRIPT_SHA, len(names), *names, operation, now, *arguments)

    async def _run(self, command: _Command) -> Any:
        try:
            try:
                return await self._pipe.call(*command)
            except ReplyError as error:
                if not _is_forgotten(error):
                    raise
            await self._pipe.call(b"SCRIPT", b"LOAD", SCRIPT)
            return await self._pipe.call(*command)
        except ReplyError as error:
            raise _unavailable(error) from error


def limited(accounts: Accounts) -> Accounts:
    """The accounts that can refuse. Those without a limit hold nothing and refuse nothing: only settlement touches them."""
    return tuple(each for each in accounts if each.limited)


def _is_forgotten(error: BaseException) -> bool:
    """Whether a store that was restarted or failed over has forgotten its scripts."""
    return isinstance(error, ReplyError) and str(error).startswith("NOSCRIPT")


def _unavailable(error: BaseException) -> StoreUnavailable:
    return error if isinstance(error, StoreUnavailable) else StoreUnavailable(f"{type(error).__name__}: {error}")


def _reservation(stored: bytes) -> Reservation:
    """A reservation as the script keeps it: what it holds comes first."""
    (count,) = _COUNT.unpack_from(stored)
    return reservations.decode(stored[_COUNT.size + count * _HOLD_BYTES :])


def _standing(answer: Answer) -> Standing:
    if answer.refused > 0:
        return Standing(answer.now_us, answer.balances, answer.refused - 1, LimitKind(answer.by.decode()))
    return Standing(answer.now_us, answer.balances)


def _spend(stored: bytes, account: Account, now_us: int) -> Spend:
    used, held, period_us = _STATE.unpack_from(stored) if stored else (0, 0, 0)
    lines = (line.partition(b"=") for line in stored[_STATE.size :].split(b"\n") if line)
    sums = {unquote(name.decode()): int(digits) for name, _, digits in lines}
    return Spend(current(used, period_us, account.period, now_us)[0], held, sum(sums.values()), sums)
