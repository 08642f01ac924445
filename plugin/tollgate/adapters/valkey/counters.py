"""The Counters port over counters.lua: entities to arguments and back, nothing else."""

from __future__ import annotations

from collections.abc import Set
from hashlib import sha1
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
from redis.asyncio import Redis

from tollgate import telemetry
from tollgate.adapters.valkey import keys
from tollgate.adapters.valkey.client import store_errors
from tollgate.adapters.valkey.pipe import Pipe, ReplyError
from tollgate.core.budget import current
from tollgate.core.entities import Balance, Charge, LimitKind, Reservation, Settlement, Spend, Standing
from tollgate.core.errors import StoreUnavailable
from tollgate.core.ledger import record

SCRIPT = Path(__file__).with_name("counters.lua").read_bytes()
# EVALSHA's name for the script is its version: old and new workers run side by side.
SCRIPT_SHA = sha1(SCRIPT, usedforsecurity=False).hexdigest()

_NO_RESERVATION = -1
_MAX_EXPIRED = 100
_encode = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
_NO_CHARGES = _pack([])
_decode_reservation = msgspec.json.Decoder(Reservation).decode


class ValkeyCounters:
    """Limits and spend in Valkey. `now_us` fixes the script's clock for tests; None asks the server, as everything else does."""

    def __init__(self, client: Redis, pipe: Pipe, lease_us: int, ledger_us: int, now_us: int | None = None) -> None:
        self.now_us = now_us
        self._client = client
        self._pipe = pipe
        self._lease_us = lease_us
        self._ledger_us = ledger_us
        self._listed: set[str] = set()

    async def reserve(self, reservation: Reservation) -> Standing:
        if reservation.organization not in self._listed:
            # Before anything is held: what nobody knows of, nobody would free. Once for each worker and organization.
            await self._pipe.call(b"SADD", keys.ORGANIZATIONS, reservation.organization)
            self._listed.add(reservation.organization)
        # Charges without a limit hold nothing and refuse nothing: only settlement touches them.
        names, packed = _keyed(reservation.organization, limited(reservation.charges))
        reply = await self._run(b"reserve", names, packed, reservation.id, self._lease_us, _encode(reservation))
        return _standing(reply)

    async def settle(self, reservation: Reservation, settlement: Settlement) -> Standing | None:
        names, packed = _keyed(reservation.organization, reservation.charges, settlement.usage.total_tokens)
        reply = await self._run(
            b"settle",
            names,
            packed,
            reservation.id,
            _encode(record(reservation, settlement)),
            max(0, reservation.admitted_us - self._ledger_us) // 1000,
            f"m:{reservation.model}",
            settlement.cost_nanousd,
        )
        return None if reply[1] == _NO_RESERVATION else _standing(reply)

    async def renew(self, reservation: Reservation) -> bool:
        slots = tuple(charge for charge in reservation.charges if charge.kind is LimitKind.PARALLEL)
        names = [
            *keys.organization_keys(reservation.organization)[:2],
            *(keys.charge_key(reservation.organization, slot.kind, slot.scope) for slot in slots),
        ]
        return bool(await self._run(b"renew", names, _NO_CHARGES, reservation.id, self._lease_us))

    async def peek(self, organization: str, charges: tuple[Charge, ...]) -> Standing:
        if not charges:
            return Standing(self.now_us or 0, ())
        names, packed = _keyed(organization, charges)
        return _standing(await self._run(b"peek", names, packed))

    async def spend(self, organization: str, charges: tuple[Charge, ...]) -> list[Spend]:
        with store_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.time()
            for charge in charges:
                pipeline.hgetall(keys.charge_key(organization, charge.kind, charge.scope))
            (seconds, micros), *hashes = await pipeline.execute()
        now_us = self.now_us or seconds * 1_000_000 + micros
        return [_spend(fields, charge, now_us) for fields, charge in zip(hashes, charges, strict=True)]

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
        reservations, leases, _ = keys.organization_keys(organization)
        with store_errors():
            now_us = self.now_us
            if now_us is None:
                seconds, micros = await self._client.time()
                now_us = seconds * 1_000_000 + micros
            ids: list[Any] = await self._client.zrangebyscore(leases, "-inf", now_us, start=0, num=_MAX_EXPIRED)
            stored: list[Any] = await self._client.hmget(reservations, ids) if ids else []
        # One that was settled between the two reads is gone from the second.
        return [_reservation(each) for each in stored if each is not None]

    async def _run(self, operation: bytes, names: list[str], *arguments: str | bytes | int) -> Any:
        now = b"" if self.now_us is None else self.now_us
        command = (b"EVALSHA", SCRIPT_SHA, len(names), *names, operation, now, *arguments)
        began = perf_counter()
        try:
            reply = await self._pipe.call(*command)
            telemetry.store_answered(perf_counter() - began)
            return reply
        except ReplyError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise StoreUnavailable(f"{operation.decode()}: {error}") from error
        # A store that was restarted or failed over has forgotten its scripts.
        await self._pipe.call(b"SCRIPT", b"LOAD", SCRIPT)
        return await self._pipe.call(*command)


def _reservation(stored: bytes) -> Reservation:
    """A reservation as the script keeps it: what is held comes first."""
    return _decode_reservation(stored.partition(b"|")[2])


def limited(charges: tuple[Charge, ...]) -> tuple[Charge, ...]:
    """The charges that can refuse. They come first in every reservation, so a held amount is found by its charge's number."""
    return tuple(charge for charge in charges if charge.limit is not None)


def _keyed(organization: str, charges: tuple[Charge, ...], used_tokens: int | None = None) -> tuple[list[str], bytes]:
    """The keys of some charges, each once, after the organization's own; and the charges as counters.lua takes them.

    `used_tokens` replaces what token charges had estimated.
    """
    names = [*keys.organization_keys(organization)]
    numbers: dict[str, int] = {}
    packed = []
    for charge in charges:
        key = keys.charge_key(organization, charge.kind, charge.scope)
        if (number := numbers.get(key)) is None:
            names.append(key)
            number = numbers[key] = len(names)
        amount = used_tokens if used_tokens is not None and charge.kind is LimitKind.TOKENS else charge.amount
        packed.append((charge.kind.value, charge.limit, amount, charge.period, number))
    return names, _pack(packed)


def _standing(reply: list[int]) -> Standing:
    now_us, refused, *numbers = reply
    balances = tuple(Balance(*numbers[at : at + 3]) for at in range(0, len(numbers), 3))
    return Standing(now_us, balances, refused - 1 if refused > 0 else None)


def _spend(fields: dict[bytes, bytes], charge: Charge, now_us: int) -> Spend:
    stored = Balance(int(fields.get(b"used", 0)), int(fields.get(b"held", 0)), int(fields.get(b"period", 0)))
    balance = current(stored, charge.period, now_us)
    by_model = {name[2:].decode(): int(value) for name, value in fields.items() if name.startswith(b"m:")}
    return Spend(balance.used, balance.held, int(fields.get(b"total", 0)), by_model)
