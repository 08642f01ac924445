"""A provider that answers with the bytes that a row of tests/e2e/money says, whatever the API."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import zlib
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import brotli  # type: ignore[import-untyped]  # the wheel ships no types
from backports import zstd

_STATUS_WORDS = {200: "OK", 204: "No Content", 307: "Temporary Redirect"}
_MIB = 1 << 20
_CODINGS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}


@dataclass
class Provider:
    """Replies by row id, which is the first part of the path that a request asks for.

    A reply that `hangs_up` is none: the connection ends instead.
    `next`: replies that come first, in their order, before the one that stays.
    `arrived`: how many requests of each row came, counted when their headers did.
    """

    port: int = 0
    replies: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    next: dict[str, deque[Mapping[str, Any]]] = field(default_factory=lambda: defaultdict(deque))
    arrived: Counter[str] = field(default_factory=Counter)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Provider]:
        """Serve on a free port of the loopback interface."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_MIB)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the gateway has hung up, because its client did
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection stays open."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        row = head.split(" ", 2)[1].split("/")[1]
        self.arrived[row] += 1
        await _skip_body(reader, head.lower())
        reply = self.next[row].popleft() if self.next[row] else self.replies[row]
        await asyncio.sleep(reply.get("delay_ms", 0) / 1000)
        if reply.get("hangs_up"):
            return False
        for piece in _pieces(reply):
            if isinstance(piece, bytes):
                writer.write(piece)
                await writer.drain()
            elif isinstance(piece, dict):
                return False
            else:
                await asyncio.sleep(piece)
        return True


async def _skip_body(reader: asyncio.StreamReader, head: str) -> None:
    """Read a body to its end, without keeping it."""
    if "transfer-encoding: chunked" in head:
        while size := int((await reader.readline()).split(b";")[0], 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    elif "content-length:" in head:
        await reader.readexactly(int(head.split("content-length:")[1].split("\r\n")[0]))


def _pieces(reply: Mapping[str, Any]) -> Iterable[bytes | float | dict[str, str]]:
    """What goes over the wire: bytes, seconds to wait, and `{"cut": "close"}` where it
    ends early.
    """
    status, headers = reply["status"], dict(reply.get("headers", {}))
    if reply.get("content_type") is not None:
        headers["content-type"] = reply["content_type"]
    body: list[Any] = list(_expanded(reply["chunks"])) if "chunks" in reply else [_body(reply)]
    if (encoding := reply.get("encoding")) is not None:
        headers["content-encoding"] = encoding
        body = [_CODINGS[encoding](b"".join(body))]
    if "chunks" in reply:
        headers["transfer-encoding"] = "chunked"
        body = [_chunk(each) if isinstance(each, bytes) else each for each in body]
        body.append(b"0\r\n\r\n")
    elif status != 204:
        headers["content-length"] = str(len(body[0]))
    lines = [f"HTTP/1.1 {status} {_STATUS_WORDS.get(status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return [("\r\n".join(lines) + "\r\n\r\n").encode(), *body]


def _body(reply: Mapping[str, Any]) -> bytes:
    if "body_base64" in reply:
        return base64.b64decode(reply["body_base64"])
    if "big" in reply:
        big = reply["big"]
        return bytes(big["head"].encode() + b"x" * (big["mb"] * _MIB) + big["tail"].encode())
    body = reply.get("body", "")
    return (body if isinstance(body, str) else json.dumps(body)).encode()


def _expanded(chunks: Iterable[Any]) -> Iterable[Any]:
    for chunk in chunks:
        if isinstance(chunk, str):
            yield chunk.encode()
        elif isinstance(chunk, dict) and "base64" in chunk:
            yield base64.b64decode(chunk["base64"])
        elif isinstance(chunk, dict) and "repeat" in chunk:
            yield from [chunk["chunk"].encode()] * chunk["repeat"]
        else:
            yield chunk


def _chunk(data: bytes) -> bytes:
    """A chunk of the chunked transfer coding (RFC 9112, 7.1)."""
    return b"%x\r\n%s\r\n" % (len(data), data)
