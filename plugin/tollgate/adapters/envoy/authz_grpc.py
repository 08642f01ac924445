"""Serve ext_authz over gRPC, with body.

Converts protobuf to Request and Decision to protobuf, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.message import DecodeError

from tollgate.adapters.envoy.decisions import Decisions
from tollgate.adapters.envoy.grpc.call import Call
from tollgate.adapters.envoy.metadata import admitted, logged_facts
from tollgate.admission.admission import Request
from tollgate.admission.current import Decides
from tollgate.core.answers.headers import REQUEST_ID
from tollgate.core.calls.decision import AS_JSON, Admission, Header
from tollgate.core.envoy_contract import (
    CHANGE_HEADER,
    CHANGED,
    KEY_CHECK,
    KEY_CHECK_EXTENSION,
    ROUTE_HEADER,
    STREAM_HEADER,
    route_value,
)
from tollgate.metering.metering import Metering
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

    def __init__(self, admissions: Decides, meter: Metering, *, logged: bool = False) -> None:
        """Prepare to serve. `logged`: whether Envoy's own access log may print of each call."""
        self._decisions = Decisions(admissions, meter, _GrpcWording(logged=logged))

    def check(self, call: Call) -> _Check:
        """Begin a call of the method Check."""
        return _Check(self._decisions, call)


class _Check:
    """One call of Check.

    Its end is not signalled; it shows only when the answer cannot be sent.
    """

    __slots__ = ("_call", "_decisions")

    def __init__(self, decisions: Decisions, call: Call) -> None:
        self._decisions = decisions
        self._call = call

    def received(self, message: bytes) -> None:
        call = self._call
        try:
            attributes = CheckRequest.FromString(message).attributes
        except DecodeError:
            self._decisions.fail("", call.answer)
            return
        http = attributes.request.http
        headers = http.headers
        asked = Request(
            http.method,
            http.path,
            headers,
            http.raw_body or http.body,
            headers.get(STREAM_HEADER, ""),
            call.left,
        )
        key_alone = attributes.context_extensions.get(KEY_CHECK_EXTENSION) == KEY_CHECK
        self._decisions.decide(asked, call.answer, key_alone=key_alone)

    def ended(self, *, whole: bool) -> None:
        pass


class _GrpcWording:
    """Decisions as CheckResponse."""

    key_may_pass = CheckResponse(status=_OK, ok_response=OkHttpResponse()).SerializeToString()

    def __init__(self, *, logged: bool) -> None:
        self._logged = logged
        self._last: tuple[tuple[Header, ...], list[HeaderValueOption]] = ((), [])

    def admitted(self, asked: Request, admission: Admission) -> bytes:
        # Applied after ext_proc's headers on the way back, so settled values take precedence over
        # those of admission.
        told = self._told(admission.headers)
        if admission.reservation is not None:
            identity = Header(REQUEST_ID, admission.reservation.id)
            told = [*told, *_options((identity,), HeaderValueOption.ADD_IF_ABSENT)]
        metadata = admitted(admission)
        if self._logged and metadata is not None:
            for name, value in logged_facts(admission):
                metadata.fields[name].string_value = value
        response = CheckResponse(
            status=_OK,
            ok_response=OkHttpResponse(
                headers=_options(_routing(admission), HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD),
                response_headers_to_add=told,
            ),
            dynamic_metadata=metadata,
        )
        return response.SerializeToString()

    def _told(self, headers: tuple[Header, ...]) -> list[HeaderValueOption]:
        """Return headers of a reply. Calls that were decided together share the tuple of them."""
        if self._last[0] is not headers:
            self._last = headers, _options(headers, HeaderValueOption.ADD_IF_ABSENT)
        return self._last[1]

    def refused(self, status: int, headers: tuple[Header, ...], body: bytes) -> bytes:
        response = CheckResponse(
            status=_PERMISSION_DENIED,
            denied_response=DeniedHttpResponse(
                status=HttpStatus(code=status),
                headers=_options(headers, HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD),
                body=body.decode(),
            ),
        )
        return response.SerializeToString()


def _routing(admission: Admission) -> list[Header]:
    """Return the headers that tell Envoy where to route the request, and whether it has edits."""
    found = [Header(ROUTE_HEADER, route_value(admission.deployment))]
    if admission.path is not None:
        found.append(Header(":path", admission.path))
    if admission.coding or admission.edits:
        found.append(Header(CHANGE_HEADER, admission.coding or CHANGED))
    if admission.as_json:
        found.append(AS_JSON)
    return found


def _options(
    headers: Iterable[Header], action: HeaderValueOption.HeaderAppendAction.ValueType
) -> list[HeaderValueOption]:
    return [
        HeaderValueOption(header=HeaderValue(key=each.name, value=each.value), append_action=action)
        for each in headers
    ]
