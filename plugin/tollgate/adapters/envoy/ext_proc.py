"""The second door: ext_proc, response side only. It reads a reply's usage as it passes and settles at its end.

A JSON reply within a bound is held until it is settled, so that its headers tell the truth. Everything else passes at once, one
answer for each piece. Envoy lets replies through should we fail here; the access log then settles.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping

from google.protobuf.struct_pb2 import Struct

from tollgate import telemetry
from tollgate.adapters.envoy.grpc_server import Call
from tollgate.adapters.envoy.metadata import METERED, SETTLED, find_reservation
from tollgate.core.entities import Header, Reservation, Usage
from tollgate.core.usage import Api, UsageReader
from tollgate.core.usage.reading import NOTHING_READ
from tollgate.metering import Meter, used
from tollgate.pb.common_pb2 import HeaderValue, HeaderValueOption
from tollgate.pb.ext_proc_pb2 import (
    BodyMutation,
    BodyResponse,
    CommonResponse,
    HeaderMutation,
    HeadersResponse,
    HttpBody,
    HttpHeaders,
    ProcessingMode,
    ProcessingRequest,
    ProcessingResponse,
    TrailersResponse,
)

_BUFFER_BOUND = 256 * 1024
_PASS = ProcessingResponse(response_body=BodyResponse()).SerializeToString()
_PASS_END = ProcessingResponse(response_body=BodyResponse(), dynamic_metadata=SETTLED).SerializeToString()
_TRAILERS = ProcessingResponse(response_trailers=TrailersResponse(), dynamic_metadata=SETTLED).SerializeToString()

Answer = bytes | Coroutine[None, None, bytes]
"""An answer to Envoy, or what waits for the store first."""


class ExternalProcessor:
    """Envoy's ExternalProcessor service."""

    def __init__(self, meter: Meter, apis: Mapping[str, Api], counts: Mapping[str, Callable[[str], int]]) -> None:
        """`counts`: how to count a text's tokens, by deployment id, where a tokenizer is known."""
        self._meter = meter
        self._apis = apis
        self._counts = counts
        self._answering: set[asyncio.Task[None]] = set()

    def process(self, call: Call) -> _Stream:
        """The method Process."""
        return _Stream(self, call)

    def reply(self, reservation: Reservation) -> _Reply:
        """The reply to a request that was let through."""
        count = self._counts.get(reservation.deployment)
        return _Reply(reservation, self._meter, self._apis[reservation.dialect], count)

    def answer_later(self, call: Call, coming: Coroutine[None, None, bytes]) -> None:
        """Answer when the store has."""

        async def answer() -> None:
            try:
                call.send(await coming)
            except Exception:  # an outer edge: closing lets the reply pass, and the log has the traceback
                telemetry.failed("ext_proc")
                call.close()

        task = asyncio.create_task(answer())
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)


class _Stream:
    """One call of Process."""

    __slots__ = ("_call", "_door", "_reply")

    def __init__(self, door: ExternalProcessor, call: Call) -> None:
        self._door = door
        self._call = call
        self._reply: _Reply | None = None

    def received(self, message: bytes) -> None:
        try:
            answer = self._answer(ProcessingRequest.FromString(message))
        except Exception:  # an outer edge: whatever it is, Envoy gets an answer and the log the traceback
            telemetry.failed("ext_proc")
            answer = None
        if answer is None:
            self.ended(whole=False)
        elif isinstance(answer, bytes):
            self._call.send(answer)
        else:
            self._door.answer_later(self._call, answer)

    def ended(self, *, whole: bool) -> None:
        # Also when the client left, the provider broke off, or Envoy cancelled us: then no last piece has come.
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.ended()
        self._call.close()  # closing cleanly lets the reply pass untouched

    def _answer(self, request: ProcessingRequest) -> Answer | None:
        """None: there is nothing to meter, or no more."""
        kind = request.WhichOneof("request")
        if kind == "response_headers":
            reservation = find_reservation(request.metadata_context)
            if reservation is None:
                return None
            self._reply = self._door.reply(reservation)
            return self._reply.on_headers(request.response_headers)
        if self._reply is None:
            return None
        return self._reply.on_body(request.response_body) if kind == "response_body" else self._reply.on_trailers()


class _Reply:
    """One reply on its way to the client."""

    def __init__(self, reservation: Reservation, meter: Meter, api: Api, count: Callable[[str], int] | None) -> None:
        self._reservation = reservation
        self._meter = meter
        self._api = api
        self._count = count
        self._reader: UsageReader | None = None
        self._status = 0
        self._buffered = False
        self._settled = False

    def on_headers(self, message: HttpHeaders) -> Answer:
        headers = {each.key: each.raw_value.decode("latin-1") for each in message.headers.headers}
        self._status = int(headers.get(":status", "0"))
        if message.end_of_stream or self._status >= 400:
            # Nothing to read: an error says nothing of usage, and costs nothing.
            return self._settled_headers()
        content_type = headers.get("content-type", "")
        self._reader = UsageReader(
            self._api,
            content_type,
            headers.get("content-encoding", "identity"),
            hide_usage=self._reservation.hide_usage,
            headers=headers,
            count=self._count,
        )
        mode = _body_mode(content_type, headers.get("content-length"))
        self._buffered = mode != ProcessingMode.STREAMED
        # The stream becomes shorter by the event that is hidden.
        removed = ("content-length",) if self._reservation.hide_usage else ()
        override = ProcessingMode(
            response_header_mode=ProcessingMode.SEND, response_body_mode=mode, response_trailer_mode=ProcessingMode.SEND
        )
        return _headers(removed=removed, metadata=METERED, override=override)

    def on_body(self, message: HttpBody) -> Answer:
        if self._reader is None:
            return _PASS  # an error's body, which Envoy was not asked for
        chunk = message.body
        passed = self._reader.feed(chunk)
        if not message.end_of_stream:
            return _PASS if passed is chunk else _replaced(passed)
        rest = self._reader.finish()
        if self._buffered:
            return self._settled_body()
        self._settle_soon(complete=True)
        return _PASS_END if passed is chunk and not rest else _replaced(passed + rest, metadata=SETTLED)

    def on_trailers(self) -> bytes:
        if self._reader is not None:
            self._reader.finish()
        self._settle_soon(complete=True)
        return _TRAILERS

    def ended(self) -> None:
        """The stream is over. If no last piece came, the reply was cut, unless it had said itself that it was done."""
        if not self._settled:
            self._settle_soon(complete=self._reader is not None and self._reader.finished)

    def _settled_headers(self) -> Answer:
        settling = self._settle()

        async def answer() -> bytes:
            return _headers(await settling, metadata=SETTLED)

        return answer()

    def _settled_body(self) -> Answer:
        """The answer to a held body: its headers, which have waited with it, tell where things stand now."""
        settling = self._settle()

        async def answer() -> bytes:
            common = CommonResponse(header_mutation=_mutation(await settling))
            response = ProcessingResponse(response_body=BodyResponse(response=common), dynamic_metadata=SETTLED)
            return response.SerializeToString()

        return answer()

    def _settle(self) -> Coroutine[None, None, tuple[Header, ...]]:
        self._settled = True
        return self._meter.settle(self._reservation, self._usage(complete=True), self._status, "ext_proc")

    def _settle_soon(self, *, complete: bool) -> None:
        self._settled = True
        self._meter.settle_soon(self._reservation, self._usage(complete=complete), self._status, "ext_proc")

    def _usage(self, *, complete: bool) -> Usage:
        reader = self._reader
        reading = reader.reading() if reader is not None else NOTHING_READ
        return used(self._reservation, reading, self._status, complete=complete)


def _body_mode(content_type: str, content_length: str | None) -> ProcessingMode.BodySendMode.ValueType:
    """Whether to hold a reply. One of unknown length is held as far as Envoy's buffer goes, and then passes."""
    if not content_type.startswith("application/json"):
        return ProcessingMode.STREAMED
    if content_length is None:
        return ProcessingMode.BUFFERED_PARTIAL
    return ProcessingMode.BUFFERED if int(content_length) <= _BUFFER_BOUND else ProcessingMode.STREAMED


def _mutation(headers: Iterable[Header], removed: Iterable[str] = ()) -> HeaderMutation:
    action = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    return HeaderMutation(
        set_headers=[
            HeaderValueOption(header=HeaderValue(key=each.name, raw_value=each.value.encode()), append_action=action)
            for each in headers
        ],
        remove_headers=removed,
    )


def _headers(
    headers: Iterable[Header] = (),
    removed: Iterable[str] = (),
    *,
    metadata: Struct,
    override: ProcessingMode | None = None,
) -> bytes:
    common = CommonResponse(header_mutation=_mutation(headers, removed))
    response = ProcessingResponse(
        response_headers=HeadersResponse(response=common), mode_override=override, dynamic_metadata=metadata
    )
    return response.SerializeToString()


def _replaced(body: bytes, *, metadata: Struct | None = None) -> bytes:
    """An answer that puts other bytes in the place of a piece."""
    common = CommonResponse(body_mutation=BodyMutation(body=body) if body else BodyMutation(clear_body=True))
    response = ProcessingResponse(response_body=BodyResponse(response=common), dynamic_metadata=metadata)
    return response.SerializeToString()
