"""The first door: ext_authz over gRPC, with body.

Protobuf to Request, Decision to protobuf, nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from tollgate import telemetry
from tollgate.adapters.envoy.answers import CLIENT_CLOSED, internal_error
from tollgate.adapters.envoy.grpc.call import Call
from tollgate.adapters.envoy.metadata import admitted
from tollgate.admission.admission import Admissions, Request
from tollgate.core.answers.headers import REQUEST_ID
from tollgate.core.calls.decision import Admission, Decision, Header, Refusal
from tollgate.core.calls.usage import NO_USAGE
from tollgate.core.envoy_contract import (
    CHANGE_HEADER,
    CHANGED,
    KEY_CHECK,
    KEY_CHECK_EXTENSION,
    ROUTE_HEADER,
    STREAM_HEADER,
    route_value,
)
from tollgate.metering.metering import Meter
from tollgate.pb.common_pb2 import HeaderValue, HeaderValueOption
from tollgate.pb.ext_authz_pb2 import (
    CheckRequest,
    CheckResponse,
    DeniedHttpResponse,
    HttpStatus,
    OkHttpResponse,
    Status,
)

_OK = Status(code=0)
_GOOD_KEY = CheckResponse(status=_OK, ok_response=OkHttpResponse()).SerializeToString()
_PERMISSION_DENIED = Status(code=7)  # google.rpc.Code


class Authorization:
    """Envoy's Authorization service."""

    def __init__(self, admissions: Admissions, meter: Meter) -> None:
        self._admissions = admissions
        self._meter = meter
        self._deciding: set[asyncio.Task[None]] = set()

    def check(self, call: Call) -> _Check:
        """The method Check."""
        return _Check(self, call)

    def decide(self, call: Call, message: bytes) -> None:
        """Answer one request, in a task of its own: the client may leave, or Envoy's patience end,
        while the store holds.
        """
        task = asyncio.create_task(self._decide(call, message))
        self._deciding.add(task)
        task.add_done_callback(self._deciding.discard)

    async def _decide(self, call: Call, message: bytes) -> None:
        began, path = time.perf_counter(), ""
        try:
            attributes = CheckRequest.FromString(message).attributes
            http = attributes.request.http
            headers, path = http.headers, http.path
            stream_id = headers.get(STREAM_HEADER, "")
            asked = Request(
                http.method, path, headers, http.raw_body or http.body, stream_id, call.left
            )
            if attributes.context_extensions.get(KEY_CHECK_EXTENSION) == KEY_CHECK:
                refused = await self._admissions.check_key(asked)
                call.answer(_GOOD_KEY if refused is None else _denied(refused).SerializeToString())
                return
            decision = await self._admissions.admit(asked)
            response = _denied(decision) if isinstance(decision, Refusal) else _allowed(decision)
        except (
            Exception
        ):  # an outer edge: whatever it is, Envoy gets an answer and the log the traceback
            telemetry.failed("ext_authz")
            call.answer(_denied(internal_error(path)).SerializeToString())
            return
        telemetry.decided(time.perf_counter() - began)
        if not call.answer(response.SerializeToString()):
            self._give_back(decision)

    def _give_back(self, decision: Decision) -> None:
        if isinstance(decision, Admission) and decision.reservation is not None:
            self._meter.settle_soon(decision.reservation, NO_USAGE, CLIENT_CLOSED, "ext_authz")


class _Check:
    """One call of Check. Nobody tells it that it ended: that the answer does not go out does."""

    __slots__ = ("_call", "_door")

    def __init__(self, door: Authorization, call: Call) -> None:
        self._door = door
        self._call = call

    def received(self, message: bytes) -> None:
        self._door.decide(self._call, message)

    def ended(self, *, whole: bool) -> None:
        pass


def _allowed(admission: Admission) -> CheckResponse:
    headers = list(admission.headers)
    if admission.reservation is not None:
        headers.append(Header(REQUEST_ID, admission.reservation.id))
    return CheckResponse(
        status=_OK,
        ok_response=OkHttpResponse(
            headers=_options(_routing(admission), HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD),
            # Applied after ext_proc's on the way back: what settlement knew wins over what
            # admission knew.
            response_headers_to_add=_options(headers, HeaderValueOption.ADD_IF_ABSENT),
        ),
        dynamic_metadata=admitted(admission.reservation, admission.edits),
    )


def _routing(admission: Admission) -> list[Header]:
    """What tells Envoy where to send the request, and whether it has edits."""
    found = [Header(ROUTE_HEADER, route_value(admission.deployment))]
    if admission.path is not None:
        found.append(Header(":path", admission.path))
    if admission.coding or admission.edits:
        found.append(Header(CHANGE_HEADER, admission.coding or CHANGED))
    return found


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
        HeaderValueOption(header=HeaderValue(key=each.name, value=each.value), append_action=action)
        for each in headers
    ]
