"""Serve ext_proc: read a reply's usage as it passes, and settle at its end.

A JSON reply within a bound is held until it is settled, so that its headers report settled values.
Everything else passes immediately, one answer per piece. Any processing mode of Envoy works:
messages about the request are answered without changes.

Envoy lets replies pass when Tollgate does not answer. A stream that ends before its reply is
therefore settled here only if the reply certainly ended with it; otherwise the access log settles.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Final, TypeAlias

from tollgate import telemetry
from tollgate.adapters.envoy.ext_proc_answers import (
    UNCHANGED,
    encoded,
    headers_answer,
    replaced,
    streamed,
    unchanged_body,
)
from tollgate.adapters.envoy.grpc.call import Call
from tollgate.adapters.envoy.metadata import (
    METERED_FLAG,
    SETTLED_FLAG,
    find_admitted,
    logged_settlement,
)
from tollgate.background import Background
from tollgate.core.answers.headers import COST
from tollgate.core.calls.decision import Header
from tollgate.core.calls.reservation import Reservation
from tollgate.core.envoy_contract import READ_BY_EXT_PROC
from tollgate.core.requests.estimate import Lacks
from tollgate.core.usage import Api, UsageReader
from tollgate.core.usage.native import hidden_tokens
from tollgate.core.usage.reading import NOTHING_READ
from tollgate.metering.metering import Ended, Metering, used
from tollgate.pb.ext_proc_pb2 import (
    BodyResponse,
    HttpBody,
    HttpHeaders,
    ProcessingMode,
    ProcessingRequest,
    TrailersResponse,
)

_BUFFER_BOUND = 256 * 1024
# In this mode only what an answer contains is passed on.
_DUPLEX: Final = ProcessingMode.FULL_DUPLEX_STREAMED
_BodyMode: TypeAlias = ProcessingMode.BodySendMode.ValueType


# Errors that may be Envoy's own, where the provider has not answered: its access log knows. Whoever
# is charged nothing for an outage can be told so at once; a limit that keeps the worst case cannot.
_TIMED_OUT: Final = 504
_UNANSWERED: Final = frozenset({502, 503, _TIMED_OUT})

_PASS: Final = UNCHANGED["response_body"]
_PASS_END: Final = encoded(response_body=BodyResponse(), dynamic_metadata=SETTLED_FLAG)

Answer = bytes | Coroutine[None, None, bytes]
"""An answer to Envoy, or a coroutine that waits for the store first."""


class ExternalProcessor:
    """Envoy's ExternalProcessor service."""

    def __init__(
        self,
        meter: Metering,
        apis: Mapping[str, Api],
        counts: Mapping[str, Callable[[str], int]],
        *,
        logged: bool = False,
    ) -> None:
        """Prepare to serve.

        `counts`: token counters by deployment id, where a tokenizer is known. `logged`: whether
        Envoy's own access log may print of each call.
        """
        self._meter = meter
        self._apis = apis
        self._counts = counts
        self._logged = logged
        self._answering = Background()

    def process(self, call: Call) -> _Stream:
        """Begin a call of the method Process."""
        return _Stream(self, call)

    def reply(self, reservation: Reservation, *, tells: bool, body_mode: _BodyMode) -> _Reply:
        """Return the reply to an admitted request.

        `tells`: whether its headers report where limits stand. `body_mode`: Envoy's mode, unless
        overridden.
        """
        count = self._counts.get(reservation.deployment)
        api = self._apis[reservation.dialect]
        return _Reply(
            reservation,
            self._meter,
            api,
            count,
            tells=tells,
            body_mode=body_mode,
            logged=self._logged,
        )

    def answer_later(self, call: Call, coming: Coroutine[None, None, bytes]) -> None:
        """Answer once the store has."""

        async def answer() -> None:
            try:
                call.send(await coming)
            except (
                Exception
            ):  # an outer edge: closing lets the reply pass, and the log has the traceback
                telemetry.failed("ext_proc")
                call.close()

        self._answering.start(answer())


class _Stream:
    """One call of Process."""

    __slots__ = ("_body_mode", "_call", "_door", "_duplex_request", "_reply")

    def __init__(self, door: ExternalProcessor, call: Call) -> None:
        self._door = door
        self._call = call
        self._reply: _Reply | None = None
        self._duplex_request = False
        self._body_mode: _BodyMode = ProcessingMode.NONE

    def received(self, message: bytes) -> None:
        try:
            answer = self._answer(ProcessingRequest.FromString(message))
        except Exception:  # an outer edge: Envoy gets an answer, and the log the traceback
            telemetry.failed("ext_proc")
            answer = None
        if answer is None:
            self.ended(whole=False)
        elif isinstance(answer, bytes):
            self._call.send(answer)
        else:
            self._door.answer_later(self._call, answer)

    def ended(self, *, whole: bool) -> None:
        # Reached without a last piece if the client left, the provider broke off, or Envoy timed
        # out.
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.ended(whole=whole)
        self._call.close()  # closing cleanly lets the reply pass unchanged

    def _answer(self, request: ProcessingRequest) -> Answer | None:
        """Return the answer; None if there is nothing (more) to meter."""
        kind = request.WhichOneof("request")
        if kind == "response_body":
            return self._body(request.response_body)
        if request.HasField("protocol_config"):
            self._duplex_request = request.protocol_config.request_body_mode == _DUPLEX
            self._body_mode = request.protocol_config.response_body_mode
        if kind == "response_headers":
            return self._headers(request)
        if kind == "response_trailers":
            if self._reply is not None:
                return self._reply.on_trailers()
            if self._body_mode != _DUPLEX:
                return None
            return UNCHANGED[kind]
        if kind == "request_body" and self._duplex_request:
            body = request.request_body
            return encoded(request_body=streamed(body.body, end=body.end_of_stream))
        if kind is None:
            return b""
        return UNCHANGED[kind]

    def _headers(self, request: ProcessingRequest) -> Answer | None:
        admitted = find_admitted(request.metadata_context)
        if admitted is None:
            if self._body_mode != _DUPLEX:
                return None
            return UNCHANGED["response_headers"]
        reservation, reader = admitted
        # Where Envoy's own filters were to read the reply, ext_authz has already reported the
        # limits.
        tells = reader == READ_BY_EXT_PROC
        self._reply = self._door.reply(reservation, tells=tells, body_mode=self._body_mode)
        return self._reply.on_headers(request.response_headers)

    def _body(self, body: HttpBody) -> Answer | None:
        if self._reply is not None:
            return self._reply.on_body(body)
        if self._body_mode != _DUPLEX:
            return None
        return encoded(response_body=streamed(body.body, end=body.end_of_stream))


class _Reply:
    """One reply on its way to the client."""

    def __init__(
        self,
        reservation: Reservation,
        meter: Metering,
        api: Api,
        count: Callable[[str], int] | None,
        *,
        tells: bool,
        body_mode: _BodyMode,
        logged: bool,
    ) -> None:
        self._reservation = reservation
        self._meter = meter
        self._api = api
        self._count = count
        self._tells = tells
        self._duplex = body_mode == ProcessingMode.FULL_DUPLEX_STREAMED
        self._reader: UsageReader | None = None
        self._status = 0
        self._buffered = False
        # Whether Envoy shows no more of the reply than its buffer holds (BUFFERED_PARTIAL).
        self._in_part = body_mode == ProcessingMode.BUFFERED_PARTIAL
        self._begun = False
        self._body_bytes = 0
        self._settled = False
        self._logged = logged
        self._flag = SETTLED_FLAG

    def on_headers(self, message: HttpHeaders) -> Answer:
        headers = {each.key: each.raw_value.decode("latin-1") for each in message.headers.headers}
        self._status = int(headers.get(":status", "0"))
        if self._may_be_unanswered():
            self._settled = True  # by the access log
            return UNCHANGED["response_headers"]
        if message.end_of_stream or self._status >= 400:
            # An error reports no usage and costs nothing, so there is nothing to read.
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
        # Hiding an event shortens the stream.
        removed = ("content-length",) if self._reservation.hide_usage else ()
        if self._duplex:
            return headers_answer(removed=removed, metadata=METERED_FLAG)
        mode = self._body_mode(content_type, headers.get("content-length"))
        self._buffered = mode != ProcessingMode.STREAMED
        self._in_part = self._in_part or mode == ProcessingMode.BUFFERED_PARTIAL
        override = ProcessingMode(
            response_header_mode=ProcessingMode.SEND,
            response_body_mode=mode,
            response_trailer_mode=ProcessingMode.SEND,
        )
        return headers_answer(removed=removed, metadata=METERED_FLAG, override=override)

    def on_body(self, message: HttpBody) -> Answer:
        if self._reader is None:
            return self._passed(message)  # an error's body, which was not requested from Envoy
        chunk = message.body
        self._begun = True
        self._body_bytes += len(chunk)
        passed = self._reader.feed(chunk)
        if not message.end_of_stream:
            if passed is chunk and not self._duplex:
                return _PASS
            return self._replaced(passed)
        rest = self._reader.finish()
        if self._buffered:
            return self._settled_body()
        self._settle_soon(complete=True)
        if passed is chunk and not rest and not self._duplex:
            if self._logged:
                return encoded(response_body=BodyResponse(), dynamic_metadata=self._flag)
            return _PASS_END
        return self._replaced(passed + rest, end=True)

    def on_trailers(self) -> bytes:
        if self._settled:
            return UNCHANGED["response_trailers"]
        if self._reader is not None:
            self._reader.finish()
        self._settle_soon(complete=True)
        return encoded(response_trailers=TrailersResponse(), dynamic_metadata=self._flag)

    def ended(self, *, whole: bool) -> None:
        """Settle a reply whose last piece did not arrive.

        It is complete if the reply itself said so, and cut if Envoy closed the stream after some of
        it. The access log settles instead if Envoy gave the stream up (`whole` is false: no answer
        in time), sent no body although asked to, or showed only what its buffer holds: the client
        may have the rest.
        """
        if self._settled:
            return
        said_so = self._reader is not None and self._reader.finished
        if said_so or (whole and self._begun and not self._in_part):
            self._settle_soon(complete=said_so)

    def _may_be_unanswered(self) -> bool:
        """Return whether the access log has to say what an error means."""
        if self._reservation.worst is None:
            return self._status == _TIMED_OUT
        return self._status in _UNANSWERED

    def _passed(self, message: HttpBody) -> bytes:
        if self._duplex:
            return self._replaced(message.body, end=message.end_of_stream)
        return _PASS

    def _replaced(self, body: bytes, *, end: bool = False) -> bytes:
        """Return an answer that replaces a piece by other bytes."""
        response = streamed(body, end=end) if self._duplex else replaced(body)
        return encoded(response_body=response, dynamic_metadata=self._flag if end else None)

    def _settled_headers(self) -> Answer:
        settling = self._settle()

        async def answer() -> bytes:
            return headers_answer(self._told(await settling), metadata=self._flag)

        return answer()

    def _settled_body(self) -> Answer:
        """Return the answer to a held body, whose headers now report settled values."""
        settling = self._settle()

        async def answer() -> bytes:
            body = unchanged_body(self._told(await settling))
            return encoded(response_body=body, dynamic_metadata=self._flag)

        return answer()

    def _told(self, headers: tuple[Header, ...]) -> tuple[Header, ...]:
        if self._tells:
            return headers
        return tuple(each for each in headers if each.name == COST)

    def _settle(self) -> Coroutine[None, None, tuple[Header, ...]]:
        return self._meter.settle(self._ended(complete=True))

    def _settle_soon(self, *, complete: bool) -> None:
        self._meter.settle_all_soon([self._ended(complete=complete)])

    def _ended(self, *, complete: bool) -> Ended:
        """Return the end of the call, which is settled now."""
        self._settled = True
        ended = self._end(complete=complete)
        if self._logged:
            self._flag = logged_settlement(self._meter.settlement(ended))
        return ended

    def _end(self, *, complete: bool) -> Ended:
        reader = self._reader
        reading = reader.reading() if reader is not None else NOTHING_READ
        stream = self._reservation.stream
        usage = used(
            self._reservation,
            reading,
            self._status,
            complete=complete,
            most_output_tokens=self._meter.most_output_tokens,
        )
        lacks, hidden = Lacks.NOTHING, None
        if not (complete or reading.output_told):
            lacks = Lacks.HIDDEN if stream else Lacks.OUTPUT
        elif complete:
            hidden = hidden_tokens(usage, self._body_bytes, stream=stream)
        return Ended(self._reservation, usage, self._status, "ext_proc", hidden, lacks)

    def _body_mode(self, content_type: str, content_length: str | None) -> _BodyMode:
        """Return whether to hold a reply for the sake of its headers.

        A reply of unknown length is held as far as Envoy's buffer goes, and then passes.
        """
        if not self._tells or not content_type.startswith("application/json"):
            return ProcessingMode.STREAMED
        if content_length is None:
            return ProcessingMode.BUFFERED_PARTIAL
        if int(content_length) <= _BUFFER_BOUND:
            return ProcessingMode.BUFFERED
        return ProcessingMode.STREAMED
