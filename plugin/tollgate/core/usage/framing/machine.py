"""Define the machine for one framing, and the machines for JSON and for unreadable bodies.

A machine is fed plain bytes, hands documents to the tally, counts what they show, and keeps a
bounded rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tollgate.core.usage.apis.api import Api
from tollgate.core.usage.framing.json_documents import MAX_KEPT_BYTES, read_documents
from tollgate.core.usage.framing.scan import Document, Scanner
from tollgate.core.usage.seen import Shown
from tollgate.core.usage.tally import Tally


class Machine(Protocol):
    """The machine for one framing."""

    def feed(self, data: bytes) -> bytes:
        """Read a chunk; return what the client may see of it."""
        ...

    def finish(self) -> bytes:
        """End the body; return what the client has not seen yet."""
        ...

    def look(self) -> None:
        """Pass what is known so far to the tally, before the body ends."""
        ...


class Blind:
    """The machine for bodies without usage: it only counts bytes."""

    def __init__(self, hear: Callable[[bytes], None] | None = None) -> None:
        self._hear = hear

    def feed(self, data: bytes) -> bytes:
        if self._hear is not None:
            self._hear(data)
        return data

    def finish(self) -> bytes:
        return b""

    def look(self) -> None:
        pass


class Json:
    """The machine for one JSON document, or a list of them.

    The body is kept while it is short. It is scanned once it is long, or when somebody asks.
    """

    def __init__(self, api: Api, tally: Tally, shown: Shown) -> None:
        self._api = api
        self._tally = tally
        self._shown = shown
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._scanner: Scanner | None = None

    def feed(self, data: bytes) -> bytes:
        if self._scanner is not None:
            self._scan(self._scanner, data)
            return data
        self._kept.append(data)
        self._kept_bytes += len(data)
        if self._kept_bytes > MAX_KEPT_BYTES:
            self._begin_scan()
        return data

    def finish(self) -> bytes:
        if self._scanner is None:
            body = b"".join(self._kept)
            documents, whole = read_documents(body, self._api.wanted)
            self._kept.clear()
            self._read(documents)
            self._shown.read_document(body)
            self._tally.done = self._tally.done or whole
        else:
            self.look()
        return b""

    def look(self) -> None:
        if self._kept:
            self._begin_scan()
        if self._scanner is not None:
            self._read(self._scanner.take_all())
            self._tally.done = self._tally.done or self._scanner.complete

    def _begin_scan(self) -> None:
        self._scanner = Scanner(self._api.wanted)
        self._scan(self._scanner, b"".join(self._kept))
        self._kept.clear()

    def _scan(self, scanner: Scanner, data: bytes) -> None:
        self._shown.read_piece(data)
        scanner.feed(data)
        self._read(scanner.take())

    def _read(self, documents: list[Document]) -> None:
        for document in documents:
            self._tally.read(document)
