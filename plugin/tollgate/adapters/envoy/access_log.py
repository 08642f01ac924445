"""The last door: Envoy's gRPC access log. Whatever is still held when a request has ended is settled here, and a call that
still runs says so by its periodic entry, which renews its lease. In native mode every request is settled here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from grpc.aio import ServicerContext

from tollgate import telemetry
from tollgate.adapters.envoy.headers import STREAM_HEADER
from tollgate.adapters.envoy.metadata import find_meter, find_reservation, has_flag, usage_fields
from tollgate.core.entities import Certainty, Reservation, Usage
from tollgate.core.usage import Api
from tollgate.core.usage.native import STREAM_BYTES_PER_TOKEN, usage_of_fields
from tollgate.metering import Meter, used, used_unseen
from tollgate.pb.access_log_pb2 import (
    DownstreamPeriodic,
    HTTPAccessLogEntry,
    HTTPResponseProperties,
    StreamAccessLogsMessage,
    StreamAccessLogsResponse,
)
from tollgate.pb.access_log_pb2_grpc import AccessLogServiceServicer

# ext_proc settles a reply that it has seen within milliseconds of its end, and knows more than the log does; only if its worker
# died is there something left after this.
_GRACE_S = 3.0
# https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/response_code_details: any other word for a reply of
# the provider's says how it was cut.
_WHOLE = "via_upstream"


class AccessLog(AccessLogServiceServicer):
    """Envoy's AccessLogService. What one message tells is settled in one turn of the loop, so that the store is asked once."""

    def __init__(self, meter: Meter, apis: Mapping[str, Api]) -> None:
        self._meter = meter
        self._apis = apis
        self._waiting: set[asyncio.Task[None]] = set()
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """End the streams. They have no end of their own, so whoever waits for it waits in vain; Envoy goes on with another worker."""
        self._draining.set()

    async def StreamAccessLogs(
        self, request_iterator: AsyncIterator[StreamAccessLogsMessage], context: ServicerContext[Any, Any]
    ) -> StreamAccessLogsResponse:
        while (message := await self._find_next(request_iterator)) is not None:
            unanswered, running = set(), []
            for entry in message.http_logs.log_entry:
                try:
                    reservation = find_reservation(entry.common_properties.metadata)
                    if reservation is None:
                        if stream_id := entry.request.request_headers.get(STREAM_HEADER):
                            unanswered.add(stream_id)
                    elif entry.common_properties.access_log_type == DownstreamPeriodic:
                        running.append(reservation)
                    else:
                        self._on_end(entry, reservation)
                except Exception:  # one bad entry must not cost the others
                    telemetry.failed("access log")
            if running:
                await asyncio.gather(*map(self._meter.renew, running))
            if unanswered:
                await self._meter.give_back(unanswered)
        return StreamAccessLogsResponse()

    async def _find_next(self, messages: AsyncIterator[StreamAccessLogsMessage]) -> StreamAccessLogsMessage | None:
        """The next message; None: there is none, or we are to end."""
        reading = asyncio.ensure_future(anext(messages, None))
        draining = asyncio.create_task(self._draining.wait())
        try:
            await asyncio.wait((reading, draining), return_when=asyncio.FIRST_COMPLETED)
            return reading.result() if reading.done() else None
        finally:
            reading.cancel()
            draining.cancel()

    def _on_end(self, entry: HTTPAccessLogEntry, reservation: Reservation) -> None:
        metadata, status = entry.common_properties.metadata, entry.response.response_code.value
        if has_flag(metadata, "settled"):
            return
        if has_flag(metadata, "metered"):
            usage = Usage(reservation.input_tokens, reservation.output_tokens, certainty=Certainty.ESTIMATED)
            self._settle_later(reservation, usage, status)
            return
        reached = entry.common_properties.HasField("time_to_last_upstream_tx_byte")
        if status == 0 or not reached or (name := find_meter(metadata)) is None:
            usage = used_unseen(reservation, status, reached_provider=reached)
        else:
            usage = _used_natively(self._apis[name], reservation, usage_fields(metadata), entry.response)
        self._meter.settle_soon(reservation, usage, status, "access_log")

    def _settle_later(self, reservation: Reservation, usage: Usage, status: int) -> None:
        async def settle() -> None:
            await asyncio.sleep(_GRACE_S)
            self._meter.settle_soon(reservation, usage, status, "access_log")

        task = asyncio.create_task(settle())
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)


def _used_natively(
    api: Api, reservation: Reservation, fields: Mapping[str, object], response: HTTPResponseProperties
) -> Usage:
    """What to charge for a reply that Envoy's own filters read. Of a stream that was cut, the output is taken from its length."""
    complete = response.response_code_details == _WHOLE
    told = usage_of_fields(api, fields, response.response_headers, stream=reservation.stream, complete=complete)
    seen_output_tokens = 0
    if reservation.stream and (told.usage is None or told.early):
        seen_output_tokens = -(-response.response_body_bytes // STREAM_BYTES_PER_TOKEN)
    return used(reservation, told.usage, seen_output_tokens, response.response_code.value, complete=complete)
