"""Define the types of single fields: what is accepted, and what would be right otherwise.

Accepted values are in our own units.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from pydantic import (
    AfterValidator,
    BeforeValidator,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from tollgate.core.errors import BadRequest
from tollgate.core.limits.bucket import MAX_LIMIT, most_amount
from tollgate.core.limits.duration import RIGHT, parse_duration
from tollgate.core.money.dollars import MAX_DOLLARS, nanousd_of

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST_ID = 300


def wrong(right: str) -> PydanticCustomError:
    """Return the error for a refused value; the message says what would be right."""
    return PydanticCustomError("wrong", "{right}", {"right": right})


def _nanousd(value: object) -> int:
    right = f"must be a non-negative finite number of dollars, at most {MAX_DOLLARS}"
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise wrong(right)
    # The shortest decimal text of a float is what its sender wrote.
    dollars = Decimal(str(value))
    if not 0 <= dollars <= MAX_DOLLARS:
        raise wrong(right)
    return nanousd_of(dollars)


def _whole(value: object, most: int) -> int:
    whole = (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value % 1 == 0
    )
    if not isinstance(value, int | float) or not whole or not 0 <= value <= most:
        raise wrong(f"must be a whole number from 0 to {most}")
    return int(value)


def _count(value: object) -> int:
    return _whole(value, MAX_LIMIT)


def _day_count(value: object) -> int:
    return _whole(value, most_amount(86_400))


def _identifier(value: str) -> str:
    if _CONTROL.search(value):
        raise wrong("must not hold control characters")
    return value


def _team_id(value: str) -> str:
    if "/" in value:
        raise wrong("must not hold a slash")
    return value


def _duration(value: str) -> str:
    try:
        parse_duration(value)
    except BadRequest as error:
        raise wrong(f"must be {RIGHT}, at most 100 years") from error
    return value


def _lifetime(value: object) -> object:
    # LiteLLM's older way to say that a key never expires.
    if value == "-1":
        return None
    return value


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, dict) else value


def _object_text(value: object) -> str:
    if not isinstance(value, dict):
        raise wrong("must be a JSON object")
    return msgspec.json.encode(value).decode()


Dollars = Annotated[int, PlainValidator(_nanousd), WithJsonSchema({"type": "number", "minimum": 0})]
"""Dollars on the wire, integer nano-dollars inside."""

DayCount = Annotated[
    int, PlainValidator(_day_count), WithJsonSchema({"type": "integer", "minimum": 0})
]
"""A limit a day."""

Count = Annotated[int, PlainValidator(_count), WithJsonSchema({"type": "integer", "minimum": 0})]
"""A limit: requests, tokens, or calls at once."""

Identifier = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=_LONGEST_ID),
    AfterValidator(_identifier),
]
TeamId = Annotated[Identifier, AfterValidator(_team_id)]
DurationText = Annotated[str, StringConstraints(strict=True), AfterValidator(_duration)]
Lifetime = Annotated[DurationText | None, BeforeValidator(_lifetime)]
Names = tuple[Identifier, ...]

OneOrMore = BeforeValidator(_one_or_more)
"""Marks a list in whose place one object may stand."""

ObjectText = Annotated[str, PlainValidator(_object_text), WithJsonSchema({"type": "object"})]
"""A JSON object of the caller, kept as text and never inspected."""


def _printed_object(text: str) -> Any:
    return msgspec.json.decode(text)


def printed_time(instant_us: int) -> str:
    """Return a time in microseconds as ISO 8601 in UTC."""
    return (
        datetime.fromtimestamp(instant_us // 1_000_000, UTC)
        .replace(microsecond=instant_us % 1_000_000)
        .isoformat()
    )


PrintedObject = Annotated[str, PlainSerializer(_printed_object, return_type=dict[str, Any])]
"""A JSON object kept as text, printed as the object."""

PrintedTime = Annotated[int, PlainSerializer(printed_time, return_type=str)]
"""Microseconds, printed as ISO 8601 in UTC."""
