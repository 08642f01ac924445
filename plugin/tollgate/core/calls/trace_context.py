"""Read which trace a request belongs to: https://www.w3.org/TR/trace-context/."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

TRACEPARENT: Final = "traceparent"
"""The request header that names the caller's trace. It goes on to the provider unchanged."""
# Later versions may be longer, and what we read stays.
_READABLE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?=-|$)")


def find_traceparent(headers: Mapping[str, str]) -> str:
    """Return the part of the header that is read; empty where it is not as it should be."""
    found = _READABLE.match(headers.get(TRACEPARENT, ""))
    return "" if found is None else found[0]
