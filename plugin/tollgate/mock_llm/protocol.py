"""Serve one client connection: HTTP/1.1 in, replies out in the order of the requests.

The contents of replies are decided elsewhere.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from tollgate.mock_llm.controls import PREFIX, Controls
from tollgate.mock_llm.replies import MALFORMED, MockRequest, Response, respond
from tollgate.mock_llm.stream import Pump


@dataclass(frozen=True, slots=True)
class Shared:
    """State shared by all connections of a server. `next_id` names the next reply."""

    defaults: Controls
    next_id: Callable[[], str]
    connections: set[MockConnection]


class MockConnection(asyncio.Protocol):
    """A connection to the mock.

    Replies are sent one at a time; meanwhile, further requests wait and reading pauses.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._loop = asyncio.get_running_loop()
        self._parser = HttpRequestParser(self)
        self._arriving = MockRequest(b"", {}, {}, b"")
        self._body: list[bytes] = []
        self._waiting: deque[MockRequest] = deque()
        self._busy = False
        self._writable = True
        self._readable = True
        self._delay: asyncio.Handle | None = None
        self._pump: Pump | None = None
        # Sent last, after everything that waits is answered; set when nothing more can be read.
        self._farewell: bytes | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not isinstance: uvloop's transports share no base class with asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._shared.connections.add(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._shared.connections.discard(self)
        self._waiting.clear()
        if self._delay is not None:
            self._delay.cancel()
        if self._pump is not None:
            self._pump.cancel()

    def abort(self) -> None:
        """Close the connection immediately."""
        self._transport.abort()

    def pause_writing(self) -> None:
        self._writable = False
        if self._pump is not None:
            self._pump.pause()

    def resume_writing(self) -> None:
        self._writable = True
        if self._pump is not None:
            self._pump.resume()
        self._advance()

    # Input. httptools calls the on_ methods from within feed_data.

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            # The request is answered; the upgrade that the client asked for is ignored.
            self._farewell = b""
        except HttpParserError:
            self._farewell = MALFORMED
        self._advance()

    def on_url(self, url: bytes) -> None:
        self._arriving.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name.startswith(PREFIX):
            self._arriving.mock_headers[name] = value
        else:
            self._arriving.headers[name] = value

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        request = self._arriving
        request.method = self._parser.get_method()
        request.body = b"".join(self._body)
        self._body.clear()
        request.keep_alive = self._parser.should_keep_alive()
        self._waiting.append(request)
        self._arriving = MockRequest(b"", {}, {}, b"")

    # Output.

    def _advance(self) -> None:
        """Answer waiting requests until a reply takes time or the client does not read.

        Reading resumes once everything is answered.
        """
        while self._waiting and self._writable and not self._busy:
            response = respond(
                self._waiting.popleft(), self._shared.next_id(), self._shared.defaults
            )
            if response.controls.latency_ms:
                self._busy = True
                self._delay = self._loop.call_later(
                    response.controls.latency_ms / 1000, self._send_late, response
                )
            else:
                self._send(response)
        if (
            self._farewell is not None
            and not self._waiting
            and not self._busy
            and not self._transport.is_closing()
        ):
            self._end(self._farewell)
        self._read(not self._waiting and self._farewell is None)

    def _send_late(self, response: Response) -> None:
        self._busy = False
        self._send(response)
        self._advance()

    def _send(self, response: Response) -> None:
        if response.controls.reset:
            self._waiting.clear()
            self._transport.abort()
            return
        self._transport.write(response.data)
        if response.stream is not None:
            self._busy = True
            done = partial(self._streamed, response)
            self._pump = Pump(response.stream, response.controls, self._transport.write, done)
            if not self._writable:
                self._pump.pause()
        elif response.closes:
            self._end()

    def _streamed(self, response: Response) -> None:
        self._pump = None
        self._busy = False
        if response.closes:
            self._end()
        self._advance()

    def _end(self, farewell: bytes = b"") -> None:
        """Close after everything written has been sent, so that a cut reply is cut exactly where
        asked.
        """
        self._waiting.clear()
        self._transport.write(farewell)
        self._transport.close()

    def _read(self, wanted: bool) -> None:
        if wanted != self._readable and not self._transport.is_closing():
            self._readable = wanted
            (self._transport.resume_reading if wanted else self._transport.pause_reading)()
