"""Turn a request into the bytes of its reply: routing, controls, status and headers.

Writing them is left to the connection.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus

from tollgate.core.errors import BadRequest
from tollgate.mock_llm.controls import Controls, from_headers
from tollgate.mock_llm.protocol_values import JSON, MockCall, MockStream
from tollgate.mock_llm.served_paths import Route, route_of
from tollgate.mock_llm.stream import GZIP_WINDOW, LAST_CHUNK, chunk, is_cut

_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}
_CREDENTIALS = (b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key")
_RETRY_AFTER = b"retry-after: 1\r\n"
_GZIP = b"content-encoding: gzip\r\n"
_CHUNKED = b"transfer-encoding: chunked\r\n"

# The answer to anything but HTTP/1.1: no path is known yet that would select a dialect.
MALFORMED = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection:"
    b' close\r\ncontent-length: 109\r\n\r\n{"error":{"message":"This is no HTTP/1.1'
    b' request.","type":"invalid_request_error","param":null,"code":null}}\n'
)


@dataclass(slots=True)
class MockRequest:
    """A request, filled while it arrives.

    Header names are in lower case; `x-mock-` headers are kept apart.
    """

    target: bytes
    headers: dict[bytes, bytes]
    mock_headers: dict[bytes, bytes]
    body: bytes
    method: bytes = b""
    keep_alive: bool = True


@dataclass(frozen=True, slots=True)
class Response:
    """What to write: `data` is the head, plus the body unless that is a stream.

    `closes`: the connection ends after it.
    """

    data: bytes
    stream: MockStream | None
    controls: Controls
    closes: bool


def respond(request: MockRequest, call_id: str, defaults: Controls) -> Response:
    """Return the response to a request, whatever it contains."""
    path, _, query = request.target.partition(b"?")
    route = route_of(request.method, path)
    controls = defaults
    try:
        if request.mock_headers:
            controls = from_headers(defaults, request.mock_headers)
        if controls.status is not None:
            message = f"The header x-mock-status asked for this {controls.status}."
            return _failure(request, call_id, controls, route, controls.status, message)
        if route.answer is None:
            return _failure(
                request, call_id, controls, route, 404, f"Unknown request: {_shown(request)}"
            )
        reply = route.answer(MockCall(call_id, path, query, request.body, controls))
    except BadRequest as error:
        return _failure(request, call_id, controls, route, 400, str(error))
    if isinstance(reply, MockStream):
        extra = _CHUNKED + _GZIP if controls.gzip else _CHUNKED
        data = _head(request, call_id, 200, reply.content_type, extra)
        return Response(data, reply, controls, is_cut(reply, controls) or not request.keep_alive)
    return _whole(request, call_id, controls, 200, reply)


def _failure(
    request: MockRequest, call_id: str, controls: Controls, route: Route, status: int, message: str
) -> Response:
    return _whole(request, call_id, controls, status, route.error(status, message, call_id))


def _whole(
    request: MockRequest, call_id: str, controls: Controls, status: int, body: bytes
) -> Response:
    extra = _RETRY_AFTER if status == HTTPStatus.TOO_MANY_REQUESTS else b""
    if controls.gzip:
        body, extra = zlib.compress(body, wbits=GZIP_WINDOW), extra + _GZIP
    sent = body if controls.cut is None else body[: controls.cut]
    cut = len(sent) < len(body)
    if controls.chunked:
        extra += _CHUNKED
        sent = (chunk(sent) if sent else b"") + (b"" if cut else LAST_CHUNK)
    else:
        extra += b"content-length: %d\r\n" % len(body)
    if request.method == b"HEAD":
        sent = b""
    head = _head(request, call_id, status, JSON, extra)
    return Response(head + sent, None, controls, cut or not request.keep_alive)


def _head(
    request: MockRequest, call_id: str, status: int, content_type: bytes, extra: bytes
) -> bytes:
    """Return status line and headers.

    The headers report what reached the mock, so that tests see what a gateway did on the way.
    """
    headers = request.headers
    credential = next((headers[name] for name in _CREDENTIALS if name in headers), None)
    return (
        b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\nx-request-id: %b\r\nx-ratelimit-remaining-requests:"
        b" 9999\r\nx-mock-path: %b\r\nx-mock-host: %b\r\nx-mock-body-sha256: %b\r\n%b%b%b\r\n"
        % (
            status,
            _PHRASES.get(status, b"Unknown"),
            content_type,
            call_id.encode(),
            request.target,
            headers.get(b"host", b""),
            sha256(request.body).hexdigest().encode(),
            b"" if credential is None else b"x-mock-authorization: %b\r\n" % credential,
            extra,
            b"" if request.keep_alive else b"connection: close\r\n",
        )
    )


def _shown(request: MockRequest) -> str:
    return f"{request.method.decode()} {request.target[:200].decode('latin-1')}"
