"""Bodies of replies, made by us, and what they say: the form of one case, and the framings that
bodies come in.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tollgate.core.calls.usage import Certainty, Usage
from tollgate.core.money.pricing import FEMTO_PER_NANO, Price, Rates
from tollgate.core.usage import Api
from tollgate.shipped_tables import api_table

JSON = "application/json"
SSE = "text/event-stream"
NDJSON = "application/x-ndjson"
FRAMES = "application/vnd.amazon.eventstream"
PARTIAL = Certainty.PARTIAL


def table() -> Mapping[str, Api]:
    """The table that Tollgate ships."""
    return api_table()


@dataclass(frozen=True)
class Case:
    """One reply, the usage that it tells, and what that costs at PRICE (None: it tells nothing to
    be priced).
    """

    name: str
    api: str
    body: bytes
    usage: Usage | None
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    finished: bool = True
    nanousd: int | None = None


def _test_rates(above: int = 0, times: int = 1) -> Rates:
    nano = FEMTO_PER_NANO * times
    return Rates(
        input=100 * nano,
        output=500 * nano,
        cache_read=10 * nano,
        cache_write_5m=125 * nano,
        cache_write_1h=200 * nano,
        above_input_tokens=above,
        input_audio=1_000 * nano,
        input_image=300 * nano,
        output_audio=2_000 * nano,
        output_image=4_000 * nano,
        reasoning=700 * nano,
        search=10_000_000 * nano,
        audio_second=100_000 * nano,
    )


# Prices that no update of the table changes, in nano-dollars a unit: as above; twice as much above
# 1,000 tokens of input, half of it on the service tier flex, three times as much on priority and
# fast.
PRICE = Price(
    "test",
    (_test_rates(), _test_rates(1_000, 2)),
    {
        "priority": (_test_rates(times=3),),
        "fast": (_test_rates(times=3),),
        "flex": (replace(_test_rates(), input=50 * FEMTO_PER_NANO, output=250 * FEMTO_PER_NANO),),
    },
)


def used(
    input_tokens: int = 0,
    output_tokens: int = 0,
    model: str | None = None,
    certainty: Certainty = Certainty.EXACT,
    service_tier: str | None = None,
    **kinds: int,
) -> Usage:
    """A usage in short."""
    return Usage(
        input_tokens,
        output_tokens,
        reply_model=model,
        certainty=certainty,
        service_tier=service_tier,
        **kinds,
    )


def plain(document: object) -> bytes:
    """A JSON body without spaces, as most providers send it."""
    return json.dumps(document, separators=(",", ":")).encode()


def sse(*events: object, end: str = "\n\n", done: bool = True) -> bytes:
    """Events of `data:` lines; text goes as it is, the rest as JSON."""
    texts = [event if isinstance(event, str) else plain(event).decode() for event in events]
    texts += ["[DONE]"] if done else []
    return "".join(f"data: {text}{end}" for text in texts).encode()


def named_sse(*events: dict[str, object], end: str = "\n") -> bytes:
    """Events with an `event:` line from their type, and no [DONE]."""
    return "".join(
        f"event: {event['type']}{end}data: {plain(event).decode()}{end}{end}" for event in events
    ).encode()


def ndjson(*lines: object) -> bytes:
    """One JSON document a line."""
    return b"".join(plain(line) + b"\n" for line in lines)


def frame(event_type: str, payload: bytes, message_type: str = "event") -> bytes:
    """One frame of AWS's event stream."""
    headers = b"".join(
        struct.pack(">B", len(name)) + name + b"\x07" + struct.pack(">H", len(value)) + value
        for name, value in (
            (b":event-type", event_type.encode()),
            (b":content-type", b"application/json"),
            (b":message-type", message_type.encode()),
        )
    )
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return body + struct.pack(">I", zlib.crc32(body))


def frames(*events: tuple[str, object]) -> bytes:
    """Frames with JSON payloads."""
    return b"".join(frame(name, plain(event)) for name, event in events)


def chunks(*events: object) -> bytes:
    """Frames of InvokeModelWithResponseStream: each event in base64."""
    return frames(
        *(
            ("chunk", {"bytes": base64.b64encode(plain(event)).decode(), "p": "abc"})
            for event in events
        )
    )
