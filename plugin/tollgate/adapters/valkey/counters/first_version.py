"""Counters of former versions, carried over in place before anything is counted on a store.

Version 0.1 kept a scope's state in 64 bytes, whatever its limits, and wrote accounts with a column
for each limit. Its keys have other names, so a conversion that is cut short goes on where it was.
Version 0.2 counted users and customers in the place of the caller's organization and the proxy in
one of its own, now all of them are in the place of what spans organizations; and its reservations
did not say when they were admitted. Its keys with another secret than their first were found by
their first id nowhere.
"""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.adapters.valkey.counters.keyed import Keyed
from tollgate.adapters.valkey.counters.layout import counter_name, state_struct
from tollgate.adapters.valkey.keys import (
    FIRST_HOLDS,
    FIRST_SCOPE,
    LAYOUT,
    LAYOUT_LOCK,
    SECOND_HOLDS,
    SECOND_SCOPE,
    THIRD_HOLDS,
    entities_index,
    entity_key,
    former_id_key,
)
from tollgate.core.calls import reservation_text
from tollgate.core.entities import LimitSet
from tollgate.core.limits.accounts import EVERYWHERE, Account, Meter, Period, Scope, ScopeKind

# Units used of requests, of tokens, tokens held, nano-dollars used, held, start of the period in
# us, and as of which ms requests and tokens are.
_STATE = struct.Struct("<8q")
_RESERVATION = struct.Struct("<qH")
_ADMITTED = struct.Struct("<q")
_REQUESTS = counter_name(Meter.REQUESTS, 60, None)
_TOKENS = counter_name(Meter.TOKENS, 60, None)
_SECOND, _NOW = b"2", b"4"
_FORMER_EVERYWHERE = b"proxy"
# Whoever converts and dies leaves the rest to another after so long.
_LOCKED_MS = 60_000
_LOOK_AGAIN_S = 0.05
_OF_ORGANIZATION = re.compile(rb"tollgate:\{([^}]*)\}:(?=counters:|slots:)")
_KEY = "key"
_FIELDS = ("rpm_limit", "tpm_limit", "max_parallel_requests")


class _Key(Struct, frozen=True):
    """What is read of a key's document."""

    first_hash: str | None = None
    replaced_by: str | None = None


_decode_key = msgspec.json.Decoder(_Key).decode


async def carry_over(pipe: Pipe) -> None:
    """Convert what former versions wrote, if nobody has yet; one process does, and others wait for
    it.

    Raises StoreUnavailable or ReplyError, after which it may be asked again.
    """
    while (found := await pipe.call(b"GET", LAYOUT)) != _NOW:
        if await pipe.call(b"SET", LAYOUT_LOCK, b"", b"NX", b"PX", _LOCKED_MS) is not None:
            if found != _SECOND:
                await _convert(pipe)
            if not pipe.is_cluster:  # which no former version could use
                await _gather(pipe)
                await _convert_holds(pipe, SECOND_HOLDS, second_held_value)
                await _name_by_first_id(pipe)
            await pipe.call(b"SET", LAYOUT, _NOW)
            await pipe.call(b"DEL", LAYOUT_LOCK)
        else:
            await asyncio.sleep(_LOOK_AGAIN_S)


async def _convert(pipe: Pipe) -> None:
    async for key in pipe.keys(b"*" + FIRST_SCOPE + b"*"):
        if (value := await pipe.call(b"GET", key)) is not None:
            await _rename(pipe, key, FIRST_SCOPE, SECOND_SCOPE, scope_value(value))
    await _convert_holds(pipe, FIRST_HOLDS, held_value)


async def _convert_holds(pipe: Pipe, noun: bytes, convert: Callable[[bytes], bytes]) -> None:
    async for key in pipe.keys(b"*" + noun):
        other = key.replace(noun, THIRD_HOLDS, 1)
        found: Any = await pipe.call(b"HGETALL", key)
        for name, value in zip(found[::2], found[1::2], strict=True):
            await pipe.call(b"HSET", other, name, convert(value))
        await pipe.call(b"DEL", key)


async def _gather(pipe: Pipe) -> None:
    """Move counters of what spans organizations to the place of all, from that of an organization
    or from the former one.

    Of somebody who was counted in several organizations, the counters found first are kept.
    """
    patterns = [f"*:{kind}:*".encode() for kind in (ScopeKind.USER, ScopeKind.CUSTOMER)]
    for pattern in (*patterns, b"tollgate:{%b}:*" % _FORMER_EVERYWHERE):
        async for key in pipe.keys(pattern):
            match = _OF_ORGANIZATION.match(key)
            if match is not None and match[1] != EVERYWHERE.encode():
                other = b"tollgate:{%b}:%b" % (EVERYWHERE.encode(), key[match.end() :])
                if not await pipe.call(b"RENAMENX", key, other):
                    await pipe.call(b"DEL", key)


async def _name_by_first_id(pipe: Pipe) -> None:
    """Let keys whose secret was regenerated be found by the id that their counters have."""
    for key_hash in await pipe.call(b"ZRANGE", entities_index(_KEY), 0, -1):
        name = key_hash.decode()
        document = await pipe.call(b"HGET", entity_key(_KEY, name), b"document")
        key = None if document is None else _decode_key(document)
        if key is not None and key.first_hash is not None and key.replaced_by is None:
            await pipe.call(b"SET", former_id_key(_KEY, key.first_hash), name, b"NX")


async def _rename(pipe: Pipe, key: bytes, noun: bytes, new: bytes, value: bytes) -> None:
    """Write a value under its new name, with what its key has to live, and only then remove it."""
    other = key.replace(noun, new, 1)
    left_ms = await pipe.call(b"PTTL", key)
    lives = (b"PX", left_ms) if left_ms > 0 else ()
    await pipe.call(b"SET", other, value, b"NX", *lives)
    await pipe.call(b"DEL", key)


def scope_value(value: bytes) -> bytes:
    """Return a scope of version 0.1 as it is kept now."""
    requests, tokens, held_tokens, used, held, start_us, requests_ms, tokens_ms = (
        _STATE.unpack_from(value)
    )
    counters: list[int] = []
    if requests_ms:
        counters += (_REQUESTS, requests, 0, requests_ms)
    if tokens_ms:
        counters += (_TOKENS, tokens, held_tokens, tokens_ms)
    count = len(counters) // 4
    return state_struct(count).pack(count, used, held, start_us, *counters) + value[_STATE.size :]


def held_value(value: bytes) -> bytes:
    """Return a reservation of version 0.1 as it is kept now."""
    lease_end_us, count = _RESERVATION.unpack_from(value)
    end = _RESERVATION.size + 8 * count
    holds = struct.unpack_from(f"<{count}q", value, _RESERVATION.size)
    fields: list[Any] = msgspec.json.decode(value[end:])
    accounts = tuple(map(_account, fields[2]))
    fields[2] = accounts
    reservation = reservation_text.decode(msgspec.json.encode(fields))
    # All budgets of a call held the same.
    money = max(holds, default=0)
    meters = Keyed.of(reservation.organization, accounts).counted
    now = [money if each.group.meter is Meter.USD else 0 for each in meters]
    head = _RESERVATION.pack(lease_end_us, len(now)) + struct.pack(f"<{len(now)}q", *now)
    return second_held_value(head + reservation_text.encode(reservation).encode())


def second_held_value(value: bytes) -> bytes:
    """Return a reservation of version 0.2 as it is kept now: it did not say when the store admitted
    it, which is about when the worker did.
    """
    _, count = _RESERVATION.unpack_from(value)
    text = value[_RESERVATION.size + 8 * count :]
    lease_end, rest = value[: _ADMITTED.size], value[_ADMITTED.size :]
    return lease_end + _ADMITTED.pack(reservation_text.decode(text).admitted_us) + rest


def _account(columns: list[Any]) -> Account:
    """An account that was a scope, three limits, a budget, its period, and whether it passes."""
    scope, *rest = columns
    rest += [None] * (4 - len(rest)) if len(rest) < 4 else []
    limits = LimitSet(max_budget_nanousd=rest[3])
    for field, amount in zip(_FIELDS, rest, strict=False):
        limits = limits.with_amount(field, amount)
    period = Period(*rest[4]) if len(rest) > 4 else Period()
    quotas = limits.in_force(0, tokens=True, money=True)
    return Account(msgspec.convert(scope, Scope), quotas, period, len(rest) > 5 and rest[5])
