"""Serve ext_authz over HTTP/1.1 in native mode, with body.

Converts a request's head and body to Request, and Decision to a response. No web framework: Envoy
is the only client and sends requests one after the other, so a server's other features would cost
more than the decision. Response headers meant for Envoy rather than the client are taken out by the
configuration (envoy_config/http_filters/native_usage.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial
from http import HTTPStatus
from typing import cast

import httptools

from tollgate.adapters.envoy.decisions import Decisions
from tollgate.adapters.envoy.listening import listen
from tollgate.adapters.envoy.metadata import edits_text, logged_facts, reservation_text
from tollgate.admission.admission import Request
from tollgate.admission.current import Decides
from tollgate.core.answers.headers import REQUEST_ID
from tollgate.core.calls.decision import AS_JSON, Admission, Header
from tollgate.core.calls.reservation import Reservation
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
from tollgate.core.usage.reach import reach_of
from tollgate.metering.metering import Metering

_ALIVE = HEALTH_RESPONSE + b" \r\n\r\n"
_LEAVES = b"HTTP/1.1 503 \r\ncontent-length: 0\r\n\r\n"


class AuthorizationOverHttp:
    """Serves Envoy's ext_authz on one address. While it is `leaving`, health checks fail."""

    def __init__(
        self,
        admissions: Decides,
        meter: Metering,
        apis: Mapping[str, Api],
        *,
        logged: bool = False,
    ) -> None:
        """Prepare to serve. `logged`: whether Envoy's own access log may print of each call."""
        self.decisions = Decisions(admissions, meter, _HttpWording(meter, apis, logged=logged))
        self.connections: set[_EnvoyConnection] = set()
        self.leaving = False
        self.draining = False
        self._server: asyncio.Server | None = None

    async def start(self, address: str) -> None:
        """Listen on `unix:/path` or `host:port`; several processes may share a port."""
        self._server = await listen(partial(_EnvoyConnection, self), address)

    async def stop(self, grace_s: float) -> None:
        """Accept no new connections, answer pending requests, and close."""
        if self._server is None:
            return
        self._server.close()
        self.draining = True
        for each in list(self.connections):
            each.close_when_idle()
        await self.decisions.drain(grace_s)


class _HttpWording:
    """Words decisions as responses whose headers Envoy keeps, or passes to the client."""

    def __init__(self, meter: Metering, apis: Mapping[str, Api], *, logged: bool) -> None:
        self.key_may_pass = _response(HTTPStatus.OK, ())
        self._meter = meter
        self._logged = logged
        self._reaches = {name: reach_of(api) for name, api in apis.items()}
        self._last: tuple[tuple[Header, ...], str] = ((), "")

    def admitted(self, asked: Request, admission: Admission) -> bytes:
        lines, changes = [f"{ROUTE_HEADER}: {route_value(admission.deployment)}\r\n"], []
        if admission.path is not None:
            changes.append(_line(TARGET, admission.path))
        if admission.edits:
            changes.append(_line(EDITS, edits_text(admission.edits)))
        if (reservation := admission.reservation) is not None:
            native = self._reader(asked, admission, reservation)
            # One text instead of a call of _line for each: this is the answer to most requests.
            lines.append(
                f"{METER_HEADER}: {native or READ_BY_EXT_PROC}\r\n"
                f"{RESERVATION}: {reservation_text(reservation, admission.levels)}\r\n"
                f"{REQUEST_ID}: {reservation.id}\r\n"
            )
            if native is not None:
                lines.append(self._lines(admission.headers))
                if reservation.hide_usage:
                    changes.append(_line(HIDE, HIDDEN))
            else:
                # ext_proc may set the same headers with settled values; Envoy adds those of an HTTP
                # ext_authz without checking.
                changes.append(
                    _line(HELD, "".join(f"{each.name}={each.value};" for each in admission.headers))
                )
        if self._logged:
            lines += (_line(name, value) for name, value in logged_facts(admission))
        if admission.coding or changes:
            lines += _line(CHANGE_HEADER, admission.coding or CHANGED), *changes
        if admission.as_json:
            lines.append(_line(AS_JSON.name, AS_JSON.value))
        return _response(HTTPStatus.OK, lines)

    def refused(self, status: int, headers: tuple[Header, ...], body: bytes) -> bytes:
        lines = (_line(each.name, each.value) for each in headers)
        return _response(TUNNELLED_STATUSES.get(status, status), lines, body)

    def _lines(self, headers: tuple[Header, ...]) -> str:
        """Return headers as lines. Calls that were decided together share the tuple of them."""
        if self._last[0] is not headers:
            self._last = headers, "".join([f"{each.name}: {each.value}\r\n" for each in headers])
        return self._last[1]

    def _reader(self, asked: Request, admission: Admission, reservation: Reservation) -> str | None:
        """Return the Envoy filter that reads the whole reply; None if there is none.

        None of them counts pictures.
        """
        if reservation.pictures is not None:
            return None
        served = self._meter.deployment(reservation)
        return self._reaches[reservation.dialect].reader(
            admission.plain or asked.body,
            asked.path.partition("?")[2],
            stream=reservation.stream,
            provider=served.provider if served is not None else "",
            model=served.model if served is not None else "",
            conversation=admission.conversation,
        )


class _EnvoyConnection(asyncio.Protocol):
    """One of Envoy's connections, with one request after the other."""

    def __init__(self, door: AuthorizationOverHttp) -> None:
        self._door = door
        self._transport: asyncio.Transport | None = None
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        # Called by the parser for each header; a Python function would cost more.
        self.on_header = self._headers.__setitem__
        self._parser = httptools.HttpRequestParser(self)
        self._body: list[bytes] = []
        self._method = ""
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

    def on_url(self, url: bytes) -> None:
        self._busy = True
        self._url += url

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if not self._headers:
            self._url, self._body = b"", []
            self.answer(_LEAVES if self._door.leaving else _ALIVE)
            return
        # Decoded as in grpc mode, where Envoy sends headers as text: ids may be in any script.
        headers = {
            name.decode("latin-1"): value.decode("utf-8", "replace")
            for name, value in self._headers.items()
        }
        url, body = self._url, self._body
        self._url, self._body = b"", []
        self._headers.clear()
        self._method = self._parser.get_method().decode("latin-1")
        asked = Request(
            self._method,
            url.decode("latin-1"),
            headers,
            body[0] if len(body) == 1 else b"".join(body),
            headers.get(STREAM_HEADER, ""),
            self.left,
        )
        key_alone = headers.get(KEY_CHECK_HEADER) == KEY_CHECK
        self._door.decisions.decide(asked, self.answer, key_alone=key_alone)

    def left(self) -> bool:
        """Return whether nobody waits for a response: Envoy closes the connection when its client
        leaves.
        """
        return self._transport is None or self._transport.is_closing()

    def answer(self, response: bytes) -> bool:
        """Send a response. Return False if nobody waits for it."""
        self._busy = False
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if self._method == "HEAD":
            response = response.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        transport.write(response)
        if self._door.draining:
            self._close()
        return True

    def close_when_idle(self) -> None:
        """Close at shutdown, once no decision is pending."""
        if self._door.draining and not self._busy:
            self._close()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _line(name: str, value: str) -> str:
    return f"{name}: {value}\r\n"


def _response(status: int, lines: Iterable[str], body: bytes = b"") -> bytes:
    head = f"HTTP/1.1 {status} \r\n{''.join(lines)}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body
