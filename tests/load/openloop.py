"""An open-loop load generator: requests leave at a fixed rate whether or not earlier ones were
answered, and a reply's latency counts from when its request was due.

A closed loop would wait together with a server that stalls, and see one slow reply where many
clients would have (coordinated omission).

A program of its own, on the standard library alone: `openloop.py HOST PORT REQUEST_FILE RATE
SECONDS`, where the file holds the bytes of one HTTP/1.1 request. It prints one line of JSON.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

# select() takes descriptors below 1024. It is used because its timeout is in microseconds; epoll
# and asyncio round up to a millisecond.
_MOST_CONNECTIONS = 900
# Replies that take longer after the last request was due count as failed.
_LAST_REPLIES_S = 10.0


@dataclass(slots=True)
class _Connection:
    """One keep-alive connection, which carries one request at a time."""

    socket: socket.socket
    due_s: float = 0.0
    received: bytearray = field(default_factory=bytearray)

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, request: bytes, due_s: float) -> None:
        self.due_s = due_s
        self.received.clear()
        self.socket.sendall(request)

    def status_when_complete(self) -> int | None:
        """Take what has come; the status when that was the last of the reply.

        Raises OSError when the connection ended.
        """
        data = self.socket.recv(262_144)
        if not data:
            raise ConnectionResetError
        self.received += data
        end = self.received.find(b"\r\n\r\n")
        if end < 0 or not _is_whole(bytes(self.received[:end]).lower(), self.received, end + 4):
            return None
        return int(self.received[9:12])


def _is_whole(head: bytes, received: bytearray, start: int) -> bool:
    if b"\r\ntransfer-encoding: chunked" in head:
        # Enough for one JSON reply at a time: nothing follows its last chunk.
        return received.endswith(b"0\r\n\r\n")
    _, _, after = head.partition(b"\r\ncontent-length:")
    return len(received) - start >= int(after.partition(b"\r\n")[0] or 0)


@dataclass(slots=True)
class OpenLoop:
    """One run against one address."""

    address: tuple[str, int]
    request: bytes
    latencies_us: list[int] = field(default_factory=list)
    refused: int = 0
    failed: int = 0
    _idle: list[_Connection] = field(default_factory=list)
    _busy: list[_Connection] = field(default_factory=list)

    def run(self, rate: float, seconds: float) -> None:
        """Send `rate` requests a second for so long, and wait for their replies."""
        start_s = time.perf_counter()
        count, sent = round(rate * seconds), 0
        give_up_s = start_s + seconds + _LAST_REPLIES_S
        while (sent < count or self._busy) and time.perf_counter() < give_up_s:
            due_s = start_s + sent / rate
            while (
                sent < count
                and due_s <= time.perf_counter()
                and (connection := self._find_free()) is not None
            ):
                self._send(connection, due_s)
                sent += 1
                due_s = start_s + sent / rate
            # With all connections taken, only a reply can help.
            wakes_s = due_s if sent < count and len(self._busy) < _MOST_CONNECTIONS else give_up_s
            self._receive(max(0.0, wakes_s - time.perf_counter()))
        self.failed += count - sent + len(self._busy)
        for connection in (*self._busy, *self._idle):
            connection.socket.close()

    def _find_free(self) -> _Connection | None:
        """A connection that carries nothing, a new one if need be; None: there are as many as there
        may be.
        """
        if self._idle:
            return self._idle.pop()
        if len(self._busy) >= _MOST_CONNECTIONS:
            return None
        opened = socket.create_connection(self.address, timeout=5)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _Connection(opened)

    def _send(self, connection: _Connection, due_s: float) -> None:
        try:
            connection.send(self.request, due_s)
        except OSError:
            connection.socket.close()
            self.failed += 1
            return
        self._busy.append(connection)

    def _receive(self, timeout_s: float) -> None:
        if not self._busy:
            time.sleep(timeout_s)
            return
        readable, _, _ = select.select(self._busy, [], [], timeout_s)
        for connection in readable:
            try:
                status = connection.status_when_complete()
            except OSError:
                connection.socket.close()
                self._busy.remove(connection)
                self.failed += 1
                continue
            if status is not None:
                self.latencies_us.append(
                    round((time.perf_counter() - connection.due_s) * 1_000_000)
                )
                self.refused += status >= 400
                self._busy.remove(connection)
                self._idle.append(connection)


def main() -> None:
    """Read the arguments, run, print."""
    host, port, request_file, rate, seconds = sys.argv[1:]
    loop = OpenLoop((host, int(port)), Path(request_file).read_bytes())
    loop.run(float(rate), float(seconds))
    print(
        json.dumps(
            {"refused": loop.refused, "failed": loop.failed, "latencies_us": loop.latencies_us}
        )
    )


if __name__ == "__main__":
    main()
