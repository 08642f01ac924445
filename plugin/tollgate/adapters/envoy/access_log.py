"""The last door: Envoy's gRPC access log. Whatever is still held when a request has ended is settled here, and a call that
still runs says so by its periodic entry, which renews its lease."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from grpc.aio import ServicerContext

from tollgate import telemetry
from tollgate.adapters.envoy.metadata import find_reservation, has_flag
from tollgate.core.entities import Certainty, Reservation, Usage
from tollgate.metering import Meter, used_unseen
from tollgate.pb.access_log_pb2 import (
    DownstreamPeriodic,
    HTTPAccessLogEntry,
    StreamAccessLogsMessage,
    StreamAccessLogsResponse,
)
from tollgate.pb.access_log_pb2_grpc import AccessLogServiceServicer

# ext_proc settles a reply that it has seen within milliseconds of its end, and knows more than the log does; only if its worker
# died is there something left after this.
_GRACE_S = 3.0


class AccessLog(AccessLogServiceServicer):
    """Envoy's AccessLogService."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._waiting: set[asyncio.Task[None]] = set()

    async def StreamAccessLogs(
        self, request_iterator: AsyncIterator[StreamAccessLogsMessage], context: ServicerContext[Any, Any]
    ) -> StreamAccessLogsResponse:
        async for message in request_iterator:
            for entry in message.http_logs.log_entry:
                try:
                    await self._on_entry(entry)
                except Exception:  # one bad entry must not cost the others
                    telemetry.failed("access log")
        return StreamAccessLogsResponse()

    async def _on_entry(self, entry: HTTPAccessLogEntry) -> None:
        common = entry.common_properties
        reservation = find_reservation(common.metadata)
        if reservation is None or has_flag(common.metadata, "settled"):
            return
        if common.access_log_type == DownstreamPeriodic:
            await self._meter.renew(reservation)
            return
        status = entry.response.response_code.value
        if has_flag(common.metadata, "metered"):
            usage = Usage(reservation.input_tokens, reservation.output_tokens, certainty=Certainty.ESTIMATED)
            self._settle_later(reservation, usage, status)
            return
        reached = common.HasField("time_to_last_upstream_tx_byte")
        self._meter.settle_soon(
            reservation, used_unseen(reservation, status, reached_provider=reached), status, "access_log"
        )

    def _settle_later(self, reservation: Reservation, usage: Usage, status: int) -> None:
        async def settle() -> None:
            await asyncio.sleep(_GRACE_S)
            self._meter.settle_soon(reservation, usage, status, "access_log")

        task = asyncio.create_task(settle())
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
