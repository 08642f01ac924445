"""How the store keeps counters: the one table of the constants that the scripts and Python share.

docs/decisions/state-of-a-scope.md says why it is laid out so.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from types import MappingProxyType

from tollgate.core.limits.accounts import MAX_EXACT, Meter, Quota, hold_groups
from tollgate.core.limits.bucket import tick_ms
from tollgate.core.limits.duration import parse_duration
from tollgate.core.limits.limit import EVER, METERS

HEADER, COUNTER = "<BI4I4i8i8", "i8i8i8i8"
"""Of a scope's state, as Lua's struct library spells it: how many counters follow, what is spent in
two halves, what is held, and the start of the period in us; then of each counter its name, what is
used, what is held, and as of when.
"""
RESERVATION, HOLD = "<i8i8H", "i8"
"""What a reservation begins with: the end of its lease and when it was admitted, in us; how many
meters its caller has, and what it holds of the periods' limits of each.
"""
ANSWER = "<hh"

BUCKET_MS, BUCKET_S, SPEND, LEASE, PERIOD_OF_ITS_OWN, ROLLOVER, SHARE = 1, 2, 3, 4, 5, 6, 7
"""The kinds of limits: buckets with ticks of a millisecond and of a second, a limit of the scope's
spend, calls in flight, a counter with periods of its own, one that carries over what they leave,
and a share of the bucket before it.
"""

TOMBSTONE = 1
"""The name of a counter of a scope that was deleted: as of when. It stands first."""

MOST_CUT = 2048
"""How many numbers a format is cut for; one for more is made."""
MOST_COUNTERS = 255
"""How many counters a scope can have: their number is a byte."""

CONSTANTS: Mapping[str, str | int] = MappingProxyType(
    {
        "MAX_EXACT": MAX_EXACT,
        "OWN_KEYS": 2,
        "OWN_ARGS": 6,
        "HEADER": HEADER,
        "HEADER_BYTES": 25,
        "COUNTER": COUNTER,
        "COUNTER_BYTES": 32,
        "HALF": 2**32,
        "HELD_FORMAT": RESERVATION + HOLD * sum(len(hold_groups(each)) for each in METERS),
        "RESERVATION_SIZE": len(RESERVATION),
        "HOLD_SIZE": len(HOLD),
        "LEASE": "<i8",
        "LEASE_BYTES": 8,
        "ANSWER": ANSWER,
        # Two answers, as they are packed.
        "NOBODY": r"\0\0\0\0",
        "NO_RESERVATION": r"\255\255\0\0",
        # A sum of spend: its digits above and below LOW_SIZE.
        "SUM": "%010d%015d",
        "SUM_DIGITS": 25,
        "HIGH_DIGITS": 10,
        "LOW_SIZE": 10**15,
        # What is where in a scope.
        "CHANGED": 1,
        "LIVES_MS": 2,
        "LINES": 3,
        "MODEL": 4,
        "CHARGE": 5,
        "COUNT": 6,
        "LOW": 7,
        "HIGH": 8,
        "HELD": 9,
        "PERIOD": 10,
        "FIRST": 11,
        # What is where in a counter, after its name.
        "USED": 1,
        "HOLDS": 2,
        "AT": 3,
        "BUCKET_S": BUCKET_S,
        "SPEND": SPEND,
        "PERIOD_OF_ITS_OWN": PERIOD_OF_ITS_OWN,
        "ROLLOVER": ROLLOVER,
        "LEASE_KIND": LEASE,
        "SHARE": SHARE,
        "TOMBSTONE": TOMBSTONE,
        "MOST": MOST_CUT,
        "DOUBLES": "<" + "d" * MOST_CUT,
        "SHORTS": "<" + "H" * MOST_CUT,
        "STATE": HEADER + COUNTER * MOST_COUNTERS,
        "HEADER_SIZE": len(HEADER),
        "COUNTER_SIZE": len(COUNTER),
    }
)
"""What a dollar sign and a name stand for in a script."""

# How durations are told apart in a counter's name. Never changed: the store keeps them.
_UNITS = {"s": 1, "m": 2, "h": 3, "d": 4, "w": 5, "mo": 6}
_BUCKET, _FOREVER, _TRICKLE = 7, 8, 9
_METER_SIZE, _UNIT_SIZE = 2**40, 2**36
_FIRST_SHARE = 2**43
"""Names of shares' counters are hashes from here on; those of all others are below."""


def kind_of(quota: Quota) -> int:
    """Return the kind of a limit in force."""
    if quota.share is not None:
        return SHARE
    if quota.seconds:
        return BUCKET_MS if tick_ms(quota.seconds) == 1 else BUCKET_S
    if quota.meter is Meter.CALLS:
        return LEASE
    if quota.duration is None:
        return SPEND
    return PERIOD_OF_ITS_OWN if quota.rollover is None else ROLLOVER


def name_of(quota: Quota) -> int:
    """Return the name of the counter of a limit in force, as `counter_name`."""
    share = None if quota.share is None else quota.share.name
    return counter_name(quota.meter, quota.seconds, quota.duration, quota.trickle, share)


@lru_cache(maxsize=4096)
def counter_name(
    meter: Meter,
    seconds: int,
    duration: str | None,
    trickle: bool = False,
    share: str | None = None,
) -> int:
    """Return the name of a limit's counter: a number that tells its meter and how long its window
    is, and of a share its name too. Spend and calls in flight have none, 0.
    """
    if share is not None:
        digest = sha256(f"{METERS[meter].number}/{seconds}/{share}".encode()).digest()
        return _FIRST_SHARE + int.from_bytes(digest[:8]) % (MAX_EXACT - _FIRST_SHARE)
    if seconds:
        unit, count = _TRICKLE if trickle else _BUCKET, seconds
    elif duration is None:
        return 0
    elif duration == EVER:
        unit, count = _FOREVER, 0
    else:
        parsed = parse_duration(duration)
        unit, count = _UNITS[parsed.unit], parsed.count
    return METERS[meter].number * _METER_SIZE + unit * _UNIT_SIZE + count


State = tuple[int, ...]
"""A scope's state: how many counters, spend, held, start of the period; then the counters."""
NO_STATE: State = (0, 0, 0, 0)


@lru_cache(maxsize=256)
def state_struct(counters: int) -> struct.Struct:
    """Return what packs the state of a scope with so many counters."""
    return struct.Struct("<Bqqq" + "qqqq" * counters)


def read_state(value: bytes, offset: int = 0) -> tuple[State, int]:
    """Return the state that stands in a value, and where it ends."""
    form = state_struct(value[offset])
    return form.unpack_from(value, offset), offset + form.size


def find_counter(state: State, name: int) -> tuple[int, int, int]:
    """Return what is used, held, and as of when, of a counter; zeros where nothing was counted."""
    for at in range(4, len(state), 4):
        if state[at] == name:
            return state[at + 1], state[at + 2], state[at + 3]
    return 0, 0, 0
