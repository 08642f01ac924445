"""The second door: ext_proc, response side only. It reads a reply's usage as it passes and settles at its end.

A JSON reply within a bound is held until it is settled, so that its headers tell the truth. Everything else passes at once, one
answer for each piece. Envoy lets replies through should we fail here; the access log then settles.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

from google.protobuf.struct_pb2 import Struct
from grpc.aio import ServicerContext

from tollgate import telemetry
from tollgate.adapters.envoy.metadata import METERED, SETTLED, find_reservation
from tollgate.core.entities import Header, Reservation, Usage
from tollgate.core.headers import provider_headers
from tollgate.core.usage import Api, UsageReader
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
from tollgate.pb.ext_proc_pb2_grpc import ExternalProcessorServicer

_BUFFER_BOUND = 256 * 1024
_PASS = ProcessingResponse(response_body=BodyResponse())
_PASS_END = ProcessingResponse(response_body=BodyResponse(), dynamic_metadata=SETTLED)


class ExternalProcessor(ExternalProcessorServicer):
    """Envoy's ExternalProcessor service."""

    def __init__(self, meter: Meter, apis: Mapping[str, Api], counts: Mapping[str, Callable[[str], int]]) -> None:
        """`counts`: how to count a text's tokens, by deployment id, where a tokenizer is known."""
        self._meter = meter
        self._apis = apis
        self._counts = counts

    async def Process(
        self, request_iterator: AsyncIterator[ProcessingRequest], context: ServicerContext[Any, Any]
    ) -> AsyncIterator[ProcessingResponse]:
        reply: _Reply | None = None
        try:
            async for request in request_iterator:
                kind = request.WhichOneof("request")
                if kind == "response_headers":
                    reservation = find_reservation(request.metadata_context)
                    if reservation is None:
                        return  # closing cleanly lets the reply pass untouched
                    count = self._counts.get(reservation.deployment)
                    reply = _Reply(reservation, self._meter, self._apis[reservation.dialect], count)
                    yield await reply.on_headers(request.response_headers)
                elif reply is None:
                    return
                elif kind == "response_body":
                    yield await reply.on_body(request.response_body)
                else:
                    yield reply.on_trailers()
        except Exception:  # an outer edge: whatever it is, Envoy gets an answer and the log the traceback
            telemetry.failed("ext_proc")
        finally:
            # Also when the client left, the provider broke off, or Envoy cancelled us: then no last piece has come.
            if reply is not None:
                reply.ended()


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

    async def on_headers(self, message: HttpHeaders) -> ProcessingResponse:
        headers = {each.key: each.raw_value.decode("latin-1") for each in message.headers.headers}
        self._status = int(headers.get(":status", "0"))
        renamed, removed = provider_headers(headers)
        if message.end_of_stream or self._status >= 400:
            # Nothing to read: an error says nothing of usage, and costs nothing.
            settled = await self._settle(complete=True)
            return _headers((*renamed, *settled), removed, metadata=SETTLED)
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
        if self._reservation.hide_usage:
            removed = (*removed, "content-length")  # the stream becomes shorter by the event that is hidden
        override = ProcessingMode(
            response_header_mode=ProcessingMode.SEND, response_body_mode=mode, response_trailer_mode=ProcessingMode.SEND
        )
        return _headers(renamed, removed, metadata=METERED, override=override)

    async def on_body(self, message: HttpBody) -> ProcessingResponse:
        if self._reader is None:
            return _PASS  # an error's body, which Envoy was not asked for
        chunk = message.body
        passed = self._reader.feed(chunk)
        if not message.end_of_stream:
            return _PASS if passed is chunk else _replaced(passed)
        rest = self._reader.finish()
        if self._buffered:
            return _settled(await self._settle(complete=True))
        self._settle_soon(complete=True)
        return _PASS_END if passed is chunk and not rest else _replaced(passed + rest, metadata=SETTLED)

    def on_trailers(self) -> ProcessingResponse:
        if self._reader is not None:
            self._reader.finish()
        self._settle_soon(complete=True)
        return ProcessingResponse(response_trailers=TrailersResponse(), dynamic_metadata=SETTLED)

    def ended(self) -> None:
        """The stream is over. If no last piece came, the reply was cut, unless it had said itself that it was done."""
        if not self._settled:
            self._settle_soon(complete=self._reader is not None and self._reader.finished)

    async def _settle(self, *, complete: bool) -> tuple[Header, ...]:
        self._settled = True
        return await self._meter.settle(self._reservation, self._usage(complete=complete), self._status, "ext_proc")

    def _settle_soon(self, *, complete: bool) -> None:
        self._settled = True
        self._meter.settle_soon(self._reservation, self._usage(complete=complete), self._status, "ext_proc")

    def _usage(self, *, complete: bool) -> Usage:
        reader = self._reader
        found, seen = (reader.usage(), reader.seen_output_tokens) if reader is not None else (None, 0)
        return used(self._reservation, found, seen, self._status, complete=complete)


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
    headers: Iterable[Header], removed: Iterable[str], *, metadata: Struct, override: ProcessingMode | None = None
) -> ProcessingResponse:
    common = CommonResponse(header_mutation=_mutation(headers, removed))
    return ProcessingResponse(
        response_headers=HeadersResponse(response=common), mode_override=override, dynamic_metadata=metadata
    )


def _replaced(body: bytes, *, metadata: Struct | None = None) -> ProcessingResponse:
    """An answer that puts other bytes in the place of a piece."""
    common = CommonResponse(body_mutation=BodyMutation(body=body) if body else BodyMutation(clear_body=True))
    return ProcessingResponse(response_body=BodyResponse(response=common), dynamic_metadata=metadata)


def _settled(headers: tuple[Header, ...]) -> ProcessingResponse:
    """The answer to a held body: its headers, which have waited with it, tell where things stand now."""
    common = CommonResponse(header_mutation=_mutation(headers))
    return ProcessingResponse(response_body=BodyResponse(response=common), dynamic_metadata=SETTLED)
