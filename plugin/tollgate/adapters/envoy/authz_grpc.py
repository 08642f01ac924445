"""The first door: ext_authz over gRPC, with body. Protobuf to Request, Decision to protobuf, nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from grpc.aio import ServicerContext

from tollgate import telemetry
from tollgate.adapters.envoy.answers import CLIENT_CLOSED, internal_error
from tollgate.adapters.envoy.headers import ROUTE_HEADER, STREAM_HEADER
from tollgate.adapters.envoy.metadata import admitted
from tollgate.admission import Admissions, Request
from tollgate.core.entities import NO_USAGE, Admission, Decision, Header, Refusal
from tollgate.core.headers import REQUEST_ID
from tollgate.metering import Meter
from tollgate.pb.common_pb2 import HeaderValue, HeaderValueOption
from tollgate.pb.ext_authz_pb2 import (
    CheckRequest,
    CheckResponse,
    DeniedHttpResponse,
    HttpStatus,
    OkHttpResponse,
    Status,
)
from tollgate.pb.ext_authz_pb2_grpc import AuthorizationServicer

_OK = Status(code=0)
_PERMISSION_DENIED = Status(code=7)  # google.rpc.Code


class Authorization(AuthorizationServicer):
    """Envoy's Authorization service."""

    def __init__(self, admissions: Admissions, meter: Meter) -> None:
        self._admissions = admissions
        self._meter = meter

    async def Check(self, request: CheckRequest, context: ServicerContext[Any, Any]) -> CheckResponse:
        began = time.perf_counter()
        http = request.attributes.request.http
        asked = Request(http.method, http.path, http.headers, http.raw_body, http.headers.get(STREAM_HEADER, ""))
        # Envoy cancels when the client leaves or its patience ends. The store may have held by then, so deciding goes on by
        # itself and gives back what nobody will use.
        deciding = asyncio.ensure_future(self._admissions.admit(asked))
        try:
            decision = await asyncio.shield(deciding)
        except asyncio.CancelledError:
            deciding.add_done_callback(self._give_back)
            raise
        except Exception:  # an outer edge: whatever it is, Envoy gets an answer and the log the traceback
            telemetry.failed("ext_authz")
            return _denied(internal_error(http.path))
        telemetry.decided(time.perf_counter() - began)
        return _denied(decision) if isinstance(decision, Refusal) else _allowed(decision, has_key="key=" in http.path)

    def _give_back(self, deciding: asyncio.Future[Decision]) -> None:
        if deciding.cancelled() or deciding.exception() is not None:
            return
        decision = deciding.result()
        if isinstance(decision, Admission) and decision.reservation is not None:
            self._meter.settle_soon(decision.reservation, NO_USAGE, CLIENT_CLOSED, "ext_authz")


def _allowed(admission: Admission, *, has_key: bool) -> CheckResponse:
    headers = list(admission.headers)
    if admission.reservation is not None:
        headers.append(Header(REQUEST_ID, admission.reservation.id))
    return CheckResponse(
        status=_OK,
        ok_response=OkHttpResponse(
            headers=_options(_routing(admission), HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD),
            # Applied after ext_proc's on the way back: what settlement knew wins over what admission knew.
            response_headers_to_add=_options(headers, HeaderValueOption.ADD_IF_ABSENT),
            query_parameters_to_remove=("key",) if has_key else (),
        ),
        dynamic_metadata=admitted(admission.reservation, admission.edits),
    )


def _routing(admission: Admission) -> tuple[Header, ...]:
    """What tells Envoy where to send the request."""
    route = (Header(ROUTE_HEADER, admission.deployment),)
    return route if admission.path is None else (*route, Header(":path", admission.path))


def _denied(refusal: Refusal) -> CheckResponse:
    headers = (Header("content-type", "application/json"), *refusal.headers)
    return CheckResponse(
        status=_PERMISSION_DENIED,
        denied_response=DeniedHttpResponse(
            status=HttpStatus(code=refusal.status),
            headers=_options(headers, HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD),
            body=refusal.body.decode(),
        ),
    )


def _options(
    headers: Iterable[Header], action: HeaderValueOption.HeaderAppendAction.ValueType
) -> list[HeaderValueOption]:
    return [
        HeaderValueOption(header=HeaderValue(key=each.name, value=each.value), append_action=action) for each in headers
    ]
