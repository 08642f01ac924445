"""Read AWS event streams: binary frames with JSON payloads, some wrapping the event in base64."""

from __future__ import annotations

import base64
import binascii
import struct

from tollgate.core.usage.apis.api import Api
from tollgate.core.usage.framing.json_documents import MAX_KEPT_BYTES, read_documents
from tollgate.core.usage.framing.scan import Document
from tollgate.core.usage.seen import Shown
from tollgate.core.usage.tally import Tally

# https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html and botocore's
# eventstream: total length, length of the headers, and their checksum; then headers, payload, and a
# checksum of all. TLS protects the bytes, so checksums are not verified.
_PRELUDE = struct.Struct(">III")
_CHECKSUM_BYTES = 4
_MAX_FRAME_BYTES = 25 * 1024 * 1024


class EventStream:
    """The machine for AWS event stream frames.

    A frame longer than the bound is skipped: frames with usage are short, so a long one shows
    output. What follows a length that cannot be right is counted by its bytes.
    """

    def __init__(self, api: Api, tally: Tally, shown: Shown) -> None:
        self._api = api
        self._tally = tally
        self._shown = shown
        self._rest = bytearray()
        self._skip_bytes = 0
        self._garbage = False

    def feed(self, data: bytes) -> bytes:
        if self._garbage:
            self._shown.pass_over(data)
            return data
        skipped = min(self._skip_bytes, len(data))
        self._skip_bytes -= skipped
        self._rest += data[skipped:]
        while len(self._rest) >= _PRELUDE.size and self._take_frame():
            pass
        return data

    def finish(self) -> bytes:
        return b""

    def look(self) -> None:
        """Do nothing: each frame is read once it is complete."""

    def _take_frame(self) -> bool:
        """Read the frame at the front. Return False if it is incomplete, or no frame at all."""
        total_bytes, headers_bytes, _ = _PRELUDE.unpack_from(self._rest)
        start, end = _PRELUDE.size + headers_bytes, total_bytes - _CHECKSUM_BYTES
        if total_bytes > _MAX_FRAME_BYTES or start > end:
            self._garbage = True
            self._shown.pass_over(self._rest)
            self._rest.clear()
            return False
        if total_bytes > MAX_KEPT_BYTES:
            self._skip_bytes = max(0, total_bytes - len(self._rest))
            self._shown.pass_over(self._rest)
            del self._rest[:total_bytes]
            return True
        if total_bytes > len(self._rest):
            return False
        self._read_payload(bytes(self._rest[start:end]))
        del self._rest[:total_bytes]
        return True

    def _read_payload(self, payload: bytes) -> None:
        documents, _ = read_documents(payload, self._api.wanted)
        for document in documents:
            self._read_document(payload, document)

    def _read_document(self, payload: bytes, document: Document) -> None:
        wrapped = document.get(self._api.wrapped)
        if not isinstance(wrapped, str):
            self._shown.read_event(payload)
            self._tally.read(document)
            return
        try:
            event = base64.b64decode(wrapped)
        except (binascii.Error, ValueError):
            return
        self._shown.read_event(event)
        for inner in read_documents(event, self._api.wanted)[0]:
            self._tally.read(inner)
