"""A reservation as text: in the request's dynamic metadata, and in the store until it is settled.

Its accounts are most of it and the same for all calls of a caller, so their JSON is made once and
read once.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct, structs

from tollgate.core.calls.reservation import Reservation
from tollgate.core.limits.accounts import Account, Accounts, accounts_bytes
from tollgate.core.memo import Bounded, Memo


class _Sent(Reservation, frozen=True, array_like=True):
    """A reservation whose accounts are JSON already."""

    accounts: Raw  # type: ignore[assignment]


_encode = msgspec.json.Encoder().encode
_decode_sent = msgspec.json.Decoder(_Sent).decode
_raw_accounts: Memo[Accounts, Raw] = Memo(
    lambda accounts: Raw(_encode([_short(each) for each in accounts])), accounts_bytes
)


def _short(struct: Struct) -> list[Any]:
    """A struct's values without those at the end that are its defaults: most of an account is what
    it does not limit.
    """
    fields = structs.fields(type(struct))
    values = list(structs.astuple(struct))
    while values and values[-1] == fields[len(values) - 1].default:
        values.pop()
    return [_short_value(each) for each in values]


def _short_value(value: Any) -> Any:
    if isinstance(value, Struct):
        return _short(value)
    if isinstance(value, tuple):
        return [_short_value(each) for each in value]
    return value


_decode_accounts = msgspec.json.Decoder(tuple[Account, ...]).decode
# Callers are kept apart by who they are, and there are only so many at a time.
_accounts: Bounded[bytes, Accounts] = Bounded()


def _text(reservation: Reservation) -> str:
    values: Any = structs.astuple(reservation)
    return _encode(
        (values[0], values[1], _raw_accounts.get(reservation.accounts), *values[3:])
    ).decode()


# What the store has taken and the request's metadata takes a moment later, by the identity of the
# reservation, which is kept with it. Each is of some kilobytes at most; those of refused requests
# are pushed out by later ones.
_MOST_TEXTS = 256
_texts: dict[int, tuple[Reservation, str]] = {}

_NO_LEVELS = len("[]]")


def encode_to_hold(reservation: Reservation) -> str:
    """Return the reservation as JSON, for the store; encode() then need not make it again."""
    text = _text(reservation)
    _texts[id(reservation)] = reservation, text
    if len(_texts) > _MOST_TEXTS:
        del _texts[next(iter(_texts))]
    return text


def encode(reservation: Reservation, levels: tuple[int, ...] = ()) -> str:
    """Return the reservation as JSON. `levels`: those of one that was told none."""
    held = _texts.pop(id(reservation), None)
    text = _text(reservation) if held is None else held[1]
    if not levels:
        return text
    # They are known once the store has the text, and stand last in it.
    return f"{text[:-_NO_LEVELS]}{_encode(levels).decode()}]"


def decode(text: str | bytes) -> Reservation:
    """A reservation from its JSON. Raises msgspec.DecodeError for anything else."""
    sent = _decode_sent(text)
    values: Any = structs.astuple(sent)
    raw = bytes(sent.accounts)
    accounts = _accounts.get(raw)
    if accounts is None:
        accounts = _decode_accounts(raw)
        _accounts.put(raw, accounts, len(raw) + accounts_bytes(accounts))
    return Reservation(values[0], values[1], accounts, *values[3:])
