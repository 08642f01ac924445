"""Inflate compressed bodies of requests, long ones off the event loop."""

from __future__ import annotations

import asyncio

from tollgate.admission.asking.callers import Refused
from tollgate.core.answers import refusals
from tollgate.core.requests.dialects import Family
from tollgate.core.requests.inflate import TooLong, check_coding, inflate

# Three milliseconds of gzip; longer bodies are inflated in a thread.
_AT_ONCE_BYTES = 1024 * 1024


async def inflated(raw: bytes, coding: str, most_bytes: int, family: Family) -> bytes:
    """Return the inflated body.

    Raises BadRequest for a coding that is not known, and Refused for a body that is longer than
    `most_bytes` after inflation.
    """
    check_coding(coding)
    try:
        return inflate(raw, coding, min(most_bytes, _AT_ONCE_BYTES))
    except TooLong:
        pass
    try:
        return await asyncio.to_thread(inflate, raw, coding, most_bytes)
    except TooLong:
        message = (
            "The request body exceeds the limit of this gateway:"
            f" {most_bytes} bytes after inflation."
        )
        raise Refused(
            refusals.refusal(
                family, 413, "invalid_request_error", message, code="request_too_large"
            )
        ) from None
