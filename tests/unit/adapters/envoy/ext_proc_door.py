"""One call of ext_proc, spoken to as Envoy does, and what it answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from msgspec import structs
from tests.fakes import FixedClock, MemoryCounters
from tests.make import DOLLAR, KEY, account_of, reservation
from tests.unit.adapters.envoy.envoy_call import EnvoyCall
from tests.unit.core.usage.usage_case import table

from tollgate.adapters.envoy.ext_proc import ExternalProcessor
from tollgate.adapters.envoy.metadata import reservation_text
from tollgate.core.calls.reservation import Reservation
from tollgate.core.models.deployment import Deployment
from tollgate.core.money.pricing import Price, Rates
from tollgate.core.requests.catalog import Catalog
from tollgate.core.requests.estimate import InputEstimates
from tollgate.metering.metering import Metering
from tollgate.pb.ext_proc_pb2 import (
    HttpBody,
    HttpHeaders,
    ProcessingRequest,
    ProcessingResponse,
)

PRICE = Price("test", (Rates(1_000_000, 2_000_000, 1_000_000, 1_000_000, 1_000_000),))
CATALOG = Catalog.of(
    (Deployment("gpt-4o", "gpt-4o", "openai", "gpt-4o", "http://mock-llm"),), {"gpt-4o": PRICE}
)
HELD = reservation(
    "r1", account_of(KEY, tpm=1000, budget_nanousd=DOLLAR)
)  # estimated at 10 in and 20 out
STREAM = structs.replace(HELD, stream=True)
HIDING = structs.replace(STREAM, hide_usage=True)

BODY = json.dumps(
    {
        "choices": [{"message": {"content": "hello"}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4},
    }
)
WORD = b'data: {"choices":[{"index":0,"delta":{"content":"tollgate"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
DONE = b"data: [DONE]\n\n"
SSE, JSON = "text/event-stream", "application/json"


class Door:
    """One call of Process, and what stands behind it."""

    def __init__(
        self,
        held: Reservation | None = HELD,
        *,
        meter: str = "",
        config: Any = None,
        logged: bool = False,
    ) -> None:
        self.call = EnvoyCall()
        self.counters = MemoryCounters(FixedClock())
        self.meter = Metering(self.counters, CATALOG, None, InputEstimates())
        door = ExternalProcessor(self.meter, table(), {}, logged=logged)
        self.stream = door.process(self.call)  # type: ignore[arg-type]
        self._held = held
        self._meter = meter
        self._config = config

    async def hear(self, **message: Any) -> ProcessingResponse | None:
        """What one message of Envoy's is answered; None: nothing."""
        request = ProcessingRequest(**message)
        if self._held is not None:
            said = {"reservation": reservation_text(self._held)} | (
                {"x-tollgate-meter": self._meter} if self._meter else {}
            )
            request.metadata_context.filter_metadata["envoy.filters.http.ext_authz"].update(said)
        if self._config is not None:
            request.protocol_config.response_body_mode = self._config
            request.protocol_config.request_body_mode = self._config
            self._config = None
        before = len(self.call.sent)
        self.stream.received(request.SerializeToString())
        for _ in range(10):
            await asyncio.sleep(0)
        new = [each for each in self.call.sent[before:] if each]
        assert len(new) <= 1
        return ProcessingResponse.FromString(new[0]) if new else None

    async def headers(
        self, content_type: str = SSE, status: int = 200, **more: str
    ) -> ProcessingResponse | None:
        """What a reply's headers are answered."""
        if self._held is not None:
            await self.counters.reserve(self._held)
        return await self.hear(response_headers=headers_of(content_type, status, **more))

    async def body(self, *pieces: bytes, end: bool = False) -> list[ProcessingResponse | None]:
        """What pieces of a body are answered; `end`: the last of them is."""
        last = len(pieces) - 1
        return [
            await self.hear(
                response_body=HttpBody(body=piece, end_of_stream=end and number == last)
            )
            for number, piece in enumerate(pieces)
        ]

    async def charged(self, *, whole: bool | None = None) -> list[tuple[int, int, str]]:
        """Input, output and certainty of what was settled, after the stream ended."""
        if whole is not None:
            self.stream.ended(whole=whole)
        await self.meter.drain()
        return [
            (each.input_tokens, each.output_tokens, each.certainty) for each in self.counters.ledger
        ]


def headers_of(
    content_type: str, status: int = 200, *, end: bool = False, **more: str
) -> HttpHeaders:
    found = HttpHeaders(end_of_stream=end)
    for name, value in {":status": str(status), "content-type": content_type, **more}.items():
        found.headers.headers.add(key=name.replace("_", "-"), raw_value=value.encode())
    return found


def told(response: ProcessingResponse | None) -> dict[str, str]:
    """The headers that an answer sets."""
    assert response is not None
    either = (
        response.response_headers
        if response.HasField("response_headers")
        else response.response_body
    )
    return {
        each.header.key: each.header.raw_value.decode()
        for each in either.response.header_mutation.set_headers
    }


def flags(response: ProcessingResponse | None) -> set[str]:
    """What is left for the access log."""
    assert response is not None
    return set(response.dynamic_metadata.fields["tollgate"].struct_value.fields)


def put(responses: Sequence[ProcessingResponse | None]) -> list[bytes | None]:
    """What is put in the place of pieces; None: nothing."""
    found: list[bytes | None] = []
    for each in responses:
        assert each is not None
        mutation = each.response_body.response.body_mutation
        kind = mutation.WhichOneof("mutation")
        found.append(
            {
                "body": mutation.body,
                "clear_body": b"",
                "streamed_response": mutation.streamed_response.body,
            }.get(kind or "")
        )
    return found
