"""What a machine for one framing is, and the two simplest: one for JSON, one for what cannot be read.

Each is fed plain bytes, hands documents to the tally, and keeps a bounded rest.
"""

from __future__ import annotations

from typing import Protocol

from tollgate.core.usage.api import Api
from tollgate.core.usage.deltas import Deltas
from tollgate.core.usage.documents import MAX_KEPT_BYTES, read_documents
from tollgate.core.usage.scan import Document, Scanner
from tollgate.core.usage.tally import Tally


class Machine(Protocol):
    """One framing."""

    def feed(self, data: bytes) -> bytes:
        """Read on; what the client may see of it."""
        ...

    def finish(self) -> bytes:
        """The body is at its end; what the client has not seen yet."""
        ...

    def look(self) -> None:
        """Tell the tally what is known, although the body is not at its end."""
        ...


class Blind:
    """For what tells no usage: sound, pictures, encodings that we cannot read."""

    def feed(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""

    def look(self) -> None:
        pass


class Json:
    """One JSON document, or a list of them. Kept while it is short, scanned from the moment it is not, or when somebody looks."""

    def __init__(self, api: Api, tally: Tally, deltas: Deltas) -> None:
        self._api = api
        self._tally = tally
        self._deltas = deltas
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._scanner: Scanner | None = None

    def feed(self, data: bytes) -> bytes:
        self._deltas.read(data)
        if self._scanner is not None:
            self._scanner.feed(data)
            self._read(self._scanner.take())
            return data
        self._kept.append(data)
        self._kept_bytes += len(data)
        if self._kept_bytes > MAX_KEPT_BYTES:
            self._scan()
        return data

    def finish(self) -> bytes:
        if self._scanner is None:
            documents, whole = read_documents(b"".join(self._kept), self._api.wanted)
            self._kept.clear()
            self._read(documents)
            self._tally.done = self._tally.done or whole
        else:
            self.look()
        return b""

    def look(self) -> None:
        if self._kept:
            self._scan()
        if self._scanner is not None:
            self._read(self._scanner.take_all())
            self._tally.done = self._tally.done or self._scanner.complete

    def _scan(self) -> None:
        self._scanner = Scanner(self._api.wanted)
        self._scanner.feed(b"".join(self._kept))
        self._kept.clear()
        self._read(self._scanner.take())

    def _read(self, documents: list[Document]) -> None:
        for document in documents:
            self._tally.read(document)
