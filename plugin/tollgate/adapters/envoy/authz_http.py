"""The first door in native mode: ext_authz over HTTP/1.1, with body.

A request's head and body to Request, Decision to a response.

Not on a web framework or server: Envoy is the only client, it sends one request after the other on
each connection, and what a server does beyond that would cost more than the decision. What a
response says to Envoy rather than to the client stands in headers that the configuration
(envoy_config/http_filters/native_usage.py) takes for itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import cast

import httptools

from tollgate import telemetry
from tollgate.adapters.envoy.answers import CLIENT_CLOSED, internal_error
from tollgate.adapters.envoy.listening import listen
from tollgate.adapters.envoy.metadata import edits_text, reservation_text
from tollgate.admission.admission import Admissions, Request
from tollgate.core.answers.headers import REQUEST_ID
from tollgate.core.calls.decision import Admission, Decision, Header, Refusal
from tollgate.core.calls.reservation import Reservation
from tollgate.core.calls.usage import NO_USAGE
from tollgate.core.envoy_contract import (
    CHANGE_HEADER,
    CHANGED,
    EDITS,
    HEALTH_RESPONSE,
    HELD,
    HIDDEN,
    HIDE,
    KEY_CHECK,
    KEY_CHECK_HEADER,
    METER_HEADER,
    READ_BY_EXT_PROC,
    RESERVATION,
    ROUTE_HEADER,
    STREAM_HEADER,
    TARGET,
    TUNNELLED_STATUSES,
    route_value,
)
from tollgate.core.usage import Api
from tollgate.core.usage.native import reach_of
from tollgate.metering.metering import Meter

_ALIVE = HEALTH_RESPONSE + b" \r\n\r\n"


class AuthorizationOverHttp:
    """Serves Envoy's ext_authz on one address."""

    def __init__(self, admissions: Admissions, meter: Meter, apis: Mapping[str, Api]) -> None:
        self.connections: set[_Connection] = set()
        self.draining = False
        self._admissions = admissions
        self._meter = meter
        self._reaches = {name: reach_of(api) for name, api in apis.items()}
        self._deciding: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, address: str) -> None:
        """Listen on `unix:/path` or `host:port`; several processes may share a port."""
        self._server = await listen(lambda: _Connection(self), address)

    async def stop(self, grace_s: float) -> None:
        """Take no new connections, answer what was asked, and close."""
        if self._server is None:
            return
        self._server.close()
        self.draining = True
        for each in list(self.connections):
            each.close_when_idle()
        if self._deciding:
            await asyncio.wait(self._deciding, timeout=grace_s)

    def decide(self, connection: _Connection, asked: Request) -> None:
        """Answer one request, in a task of its own: the client may leave meanwhile."""
        task = asyncio.create_task(self._decide(connection, asked))
        self._deciding.add(task)
        task.add_done_callback(self._deciding.discard)

    async def _decide(self, connection: _Connection, asked: Request) -> None:
        began = time.perf_counter()
        try:
            if asked.headers.get(KEY_CHECK_HEADER) == KEY_CHECK:
                refused = await self._admissions.check_key(asked)
                connection.answer(_GOOD_KEY if refused is None else _denied(refused), asked.method)
                return
            decision = await self._admissions.admit(asked)
            response = self._response(asked, decision)
        except (
            Exception
        ):  # an outer edge: whatever it is, Envoy gets an answer and the log the traceback
            telemetry.failed("ext_authz")
            connection.answer(_denied(internal_error(asked.path)), asked.method)
            return
        telemetry.decided(time.perf_counter() - began)
        if not connection.answer(response, asked.method):
            self._give_back(decision)

    def _response(self, asked: Request, decision: Decision) -> bytes:
        return (
            _denied(decision) if isinstance(decision, Refusal) else self._allowed(asked, decision)
        )

    def _allowed(self, asked: Request, admission: Admission) -> bytes:
        lines, changes = [_line(ROUTE_HEADER, route_value(admission.deployment))], []
        if admission.path is not None:
            changes.append(_line(TARGET, admission.path))
        if admission.edits:
            changes.append(_line(EDITS, edits_text(admission.edits)))
        if (reservation := admission.reservation) is not None:
            native = self._reader(asked, admission.plain or asked.body, reservation)
            lines += (
                _line(METER_HEADER, native or READ_BY_EXT_PROC),
                _line(RESERVATION, reservation_text(reservation)),
                _line(REQUEST_ID, reservation.id),
            )
            if native is not None:
                lines += [f"{each.name}: {each.value}\r\n" for each in admission.headers]
                if reservation.hide_usage:
                    changes.append(_line(HIDE, HIDDEN))
            else:
                # ext_proc may tell the same headers settled; Envoy adds those of an HTTP ext_authz
                # without looking.
                changes.append(
                    _line(HELD, "".join(f"{each.name}={each.value};" for each in admission.headers))
                )
        if admission.coding or changes:
            lines += _line(CHANGE_HEADER, admission.coding or CHANGED), *changes
        return _response(HTTPStatus.OK, lines)

    def _reader(self, asked: Request, body: bytes, reservation: Reservation) -> str | None:
        """The filter of Envoy's that reads all of the reply; None: there is none.

        `body`: the request's, in plain.
        """
        served = self._meter.deployment(reservation)
        return self._reaches[reservation.dialect].reader(
            body,
            asked.path.partition("?")[2],
            stream=reservation.stream,
            provider=served.provider if served is not None else "",
            model=served.model if served is not None else "",
        )

    def _give_back(self, decision: Decision) -> None:
        if isinstance(decision, Admission) and decision.reservation is not None:
            self._meter.settle_soon(decision.reservation, NO_USAGE, CLIENT_CLOSED, "ext_authz")


class _Connection(asyncio.Protocol):
    """One of Envoy's connections: requests one after the other."""

    def __init__(self, door: AuthorizationOverHttp) -> None:
        self._door = door
        self._transport: asyncio.Transport | None = None
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        # The parser calls it for each header, so it is no function of Python's.
        self.on_header = self._headers.__setitem__
        self._parser = httptools.HttpRequestParser(self)
        self._body: list[bytes] = []
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not registered as asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._door.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._door.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._close()

    def on_message_begin(self) -> None:
        self._busy = True
        self._url = b""
        self._headers.clear()
        self._body = []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if not self._headers:
            self.answer(_ALIVE, "GET")
            return
        # As the other mode has them, where Envoy sends headers as text: ids may be in any script.
        headers = {
            name.decode("latin-1"): value.decode("utf-8", "replace")
            for name, value in self._headers.items()
        }
        body = self._body
        asked = Request(
            self._parser.get_method().decode("latin-1"),
            self._url.decode("latin-1"),
            headers,
            body[0] if len(body) == 1 else b"".join(body),
            headers.get(STREAM_HEADER, ""),
            self.left,
        )
        self._door.decide(self, asked)

    def left(self) -> bool:
        """Whether nobody waits for a response any more: Envoy closes the connection when its client
        leaves.
        """
        return self._transport is None or self._transport.is_closing()

    def answer(self, response: bytes, method: str) -> bool:
        """Send a response. False: nobody waits for it any more."""
        self._busy = False
        if self._transport is None or self.left():
            return False
        if method == "HEAD":
            response = response.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        self._transport.write(response)
        self.close_when_idle()
        return True

    def close_when_idle(self) -> None:
        """While the process ends: close, unless a decision is being made."""
        if self._door.draining and not self._busy:
            self._close()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _denied(refusal: Refusal) -> bytes:
    headers = (Header("content-type", "application/json"), *refusal.headers)
    return _response(
        TUNNELLED_STATUSES.get(refusal.status, refusal.status),
        (_line(h.name, h.value) for h in headers),
        refusal.body,
    )


def _line(name: str, value: str) -> str:
    return f"{name}: {value}\r\n"


def _response(status: int, lines: Iterable[str], body: bytes = b"") -> bytes:
    head = f"HTTP/1.1 {status} \r\n{''.join(lines)}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


_GOOD_KEY = _response(HTTPStatus.OK, ())
