"""Serve Envoy's gRPC access log, the last report on a call.

Whatever is still held at the end of a request is settled here. The periodic entry of a running call
renews its lease. In native mode every request is settled here.

The log reports how each request ended: whether it reached the provider, whether the reply was
complete, and how long it was.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence

from google.protobuf.message import DecodeError

from tollgate import telemetry
from tollgate.adapters.envoy.grpc.call import Call
from tollgate.adapters.envoy.metadata import find_admitted, flags_of, usage_fields
from tollgate.background import Background
from tollgate.core.calls.reservation import Reservation
from tollgate.core.envoy_contract import METERED, READ_BY_EXT_PROC, SETTLED, STREAM_HEADER
from tollgate.core.requests.estimate import Lacks
from tollgate.core.usage import Api
from tollgate.core.usage.fields import FieldReader
from tollgate.core.usage.native import Framing, hidden_tokens, reader_name, seen_in, told_error
from tollgate.core.usage.reading import Seen
from tollgate.metering.metering import Ended, Metering, used, used_unseen
from tollgate.pb.access_log_pb2 import (
    AccessLogCommon,
    DownstreamPeriodic,
    HTTPAccessLogEntry,
    HTTPResponseProperties,
    Node,
    StreamAccessLogsMessage,
    StreamAccessLogsResponse,
)

# ext_proc settles a reply that it has seen within milliseconds of its end, and knows more than the
# log does. Only if its worker died is anything left after this time.
_GRACE_S = 3.0
# Entries settled in one turn of the event loop: a message may hold hundreds.
_AT_ONCE = 16
# https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/response_code_details:
# any other value for a provider's reply says how it was cut.
_WHOLE = "via_upstream"
# How such a value begins where the provider's reply broke off, or where its client had left.
_BROKEN_OFF, _LEFT = "upstream_reset_after_response_started", "downstream"
# What Envoy answers in place of a reply that broke off while filters still held its headers.
_IN_ITS_PLACE = (502, 503)
# Envoy's own errors for calls that a provider bills all the same: Envoy stopped waiting, which the
# provider takes for a client that left, or it could not pass the reply on.
_LIKELY_BILLED = re.compile(f"timeout|duration|response_payload_too_large|{_BROKEN_OFF}")
_BY = "access_log"


class AccessLog:
    """Envoy's AccessLogService.

    The entries of one message are settled together, with one store call for many requests.
    """

    def __init__(self, meter: Metering, apis: Mapping[str, Api]) -> None:
        self._meter = meter
        self._readers = {
            reader_name(name, framing): FieldReader(api)
            for name, api in apis.items()
            for framing in Framing
        }
        self._streams: set[Call] = set()
        self._settling = Background()

    def stream_access_logs(self, call: Call) -> _Stream:
        """Begin a call of the method StreamAccessLogs."""
        self._streams.add(call)
        return _Stream(self, call)

    def hear(self, message: StreamAccessLogsMessage) -> None:
        """Settle the requests that one message reports."""
        entries = message.http_logs.log_entry
        self._hear_some(entries[:_AT_ONCE])
        if len(entries) > _AT_ONCE:
            self._settling.start(self._hear_later(entries[_AT_ONCE:]))

    def end(self, call: Call) -> None:
        """End a stream."""
        if call in self._streams:
            self._streams.discard(call)
            call.answer(StreamAccessLogsResponse().SerializeToString())

    def end_all(self) -> None:
        """End the streams, which have no end of their own; Envoy continues with another worker."""
        for call in list(self._streams):
            self.end(call)

    async def drain(self) -> None:
        """Wait for settlements under way."""
        await self._settling.drain()

    async def _hear_later(self, entries: Sequence[HTTPAccessLogEntry]) -> None:
        for at in range(0, len(entries), _AT_ONCE):
            await asyncio.sleep(0)  # lets waiting admissions run in between
            self._hear_some(entries[at : at + _AT_ONCE])

    def _hear_some(self, entries: Sequence[HTTPAccessLogEntry]) -> None:
        ended: list[Ended] = []
        unanswered = set()
        for entry in entries:
            try:
                common = entry.common_properties
                admitted = find_admitted(common.metadata)
                runs = common.access_log_type == DownstreamPeriodic
                if admitted is None:
                    # A running request may get its answer any moment.
                    if not runs and (stream_id := entry.request.request_headers.get(STREAM_HEADER)):
                        unanswered.add(stream_id)
                elif runs:
                    self._settling.start(self._meter.renew(admitted[0]))
                elif (found := self._find_ended(entry, common, *admitted)) is not None:
                    ended.append(found)
            except Exception:  # one bad entry must not cost the others
                telemetry.failed("access log")
        if ended:
            self._meter.settle_all_soon(ended)
        if unanswered:
            self._settling.start(self._meter.give_back(unanswered))

    def _find_ended(
        self,
        entry: HTTPAccessLogEntry,
        common: AccessLogCommon,
        reservation: Reservation,
        reader: str,
    ) -> Ended | None:
        """Return the end of a request with its usage.

        None if somebody else settles it, or this log does later.
        """
        metadata = common.metadata
        flags = flags_of(metadata)
        if SETTLED in flags:
            return None
        if METERED in flags:
            self._settling.start(self._settle_later(_unread(entry, reservation)))
            return None
        response = entry.response
        if (
            reader == READ_BY_EXT_PROC
            or response.response_code.value == 0
            or not common.HasField("time_to_last_upstream_tx_byte")
            or (response.response_code.value >= 400 and _is_unanswered(response))
        ):
            return _unread(entry, reservation)
        return _read_natively(
            self._readers[reader],
            reservation,
            usage_fields(metadata),
            response,
            self._meter.most_output_tokens,
        )

    async def _settle_later(self, ended: Ended) -> None:
        await asyncio.sleep(_GRACE_S)
        self._meter.settle_all_soon([ended])


class _Stream:
    """One call of StreamAccessLogs, which lasts as long as Envoy runs.

    `_version`: Envoy's, from the first message; empty until then.
    """

    __slots__ = ("_call", "_log", "_version")

    def __init__(self, log: AccessLog, call: Call) -> None:
        self._log = log
        self._call = call
        self._version = ""

    def received(self, message: bytes) -> None:
        try:
            told = StreamAccessLogsMessage.FromString(message)
        except DecodeError:
            telemetry.failed("access log")
            return
        if not self._version and told.HasField("identifier"):
            self._version = _version(told.identifier.node)
            telemetry.access_log_opened(self._version)
        self._log.hear(told)

    def ended(self, *, whole: bool) -> None:
        if self._version:
            telemetry.access_log_closed(self._version)
        self._log.end(self._call)


def _version(node: Node) -> str:
    """Return the version of an Envoy, such as 1.40.0."""
    version = node.user_agent_build_version.version
    return f"{version.major_number}.{version.minor_number}.{version.patch}"


def _unread(entry: HTTPAccessLogEntry, reservation: Reservation) -> Ended:
    """Return the end of a call whose reply was not read to its end, by Envoy's byte counts."""
    response = entry.response
    status, details = response.response_code.value, response.response_code_details
    whole, unanswered = details == _WHOLE, _is_unanswered(response)
    begun = status > 0 and not unanswered
    usage = used_unseen(
        reservation,
        _seen(reservation, response).output_tokens if begun else 0,
        status,
        reached_provider=(
            reached := entry.common_properties.HasField("time_to_last_upstream_tx_byte")
        ),
        complete=whole,
        likely_billed=unanswered and _LIKELY_BILLED.search(details) is not None,
    )
    lacks = Lacks.HIDDEN if begun and reservation.stream and not whole else Lacks.OUTPUT
    return Ended(reservation, usage, status, _BY, lacks=lacks, unanswered=unanswered and reached)


def _is_unanswered(response: HTTPResponseProperties) -> bool:
    """Return whether an error is Envoy's own, since nothing of a provider's reply was passed on."""
    status, details = response.response_code.value, response.response_code_details
    if status < 400:
        return False
    if details.startswith(_BROKEN_OFF):
        return status in _IN_ITS_PLACE
    return details != _WHOLE and not details.startswith(_LEFT)


def _read_natively(
    reader: FieldReader,
    reservation: Reservation,
    fields: Mapping[str, object],
    response: HTTPResponseProperties,
    most_output_tokens: Callable[[Reservation], int],
) -> Ended:
    """Return the end of a call whose reply Envoy's own filters read.

    An unreported output is estimated from the reply's length.
    """
    complete, status = response.response_code_details == _WHOLE, response.response_code.value
    reading = reader.read(
        fields,
        response.response_headers,
        lambda: _seen(reservation, response, error=told_error(fields)),
        stream=reservation.stream,
        complete=complete,
    )
    usage = used(
        reservation, reading, status, complete=complete, most_output_tokens=most_output_tokens
    )
    lacks, hidden, most_tokens = Lacks.NOTHING, None, 0
    if reading.seen.shown and not reading.output_told:
        lacks, most_tokens = Lacks.LENGTH, reading.seen.most_tokens
    elif not (complete or reading.output_told):
        lacks = Lacks.HIDDEN if reservation.stream else Lacks.OUTPUT
    elif complete:
        hidden = hidden_tokens(usage, response.response_body_bytes, stream=reservation.stream)
    return Ended(reservation, usage, status, _BY, hidden, lacks, most_tokens)


def _seen(
    reservation: Reservation, response: HTTPResponseProperties, *, error: bool = False
) -> Seen:
    """Return what a reply of that length may have shown."""
    return seen_in(
        reservation.dialect, response.response_body_bytes, stream=reservation.stream, error=error
    )
