"""Read one reply: bytes in, reported usage and shown output out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from types import MappingProxyType

from tollgate.core.calls.usage import Usage
from tollgate.core.usage.apis.api import Api
from tollgate.core.usage.framing.encoding import DecodeError, Decoder, Identity, find_decoder
from tollgate.core.usage.framing.event_stream import EventStream
from tollgate.core.usage.framing.events import NDJSON, SSE, Events
from tollgate.core.usage.framing.machine import Blind, Json, Machine
from tollgate.core.usage.reading import Reading
from tollgate.core.usage.seen import Counted, Shown
from tollgate.core.usage.tally import Tally

_SSE = re.compile(r"text/event-stream")
_NDJSON = re.compile(
    r"application/(x-)?(ndjson|jsonl(ines)?)|application/json-seq|application/stream\+json"
)
_EVENT_STREAM = re.compile(r"application/vnd\.amazon\.eventstream")
# Formats that are no text.
_PACKED = re.compile(r"application/(x-|vnd\.(google\.)?)?(protobuf|msgpack|cbor|grpc)([+-].*)?")
_SOUND = re.compile(r"(audio|video)/.*")
_PICTURE = re.compile(r"image/.*")
# What may precede a body's first byte: blanks, the byte-order mark, and the separator of
# application/json-seq.
_BLANKS = b" \t\r\n\xef\xbb\xbf\x1e"
_DOCUMENT, _MARKUP = b"{[", b"<"
# First letters of data:, event:, id:, retry:, and of comments.
_FIELDS_OF_SSE = b"deir:"
_PLAIN = _DOCUMENT + _MARKUP + _FIELDS_OF_SSE
# How a stream of events begins where a reply may also be text or sound.
_EVENTS_BEGIN = (
    b"data: {",
    b"data:{",
    *(b"event:%b%b." % each for each in product((b" ", b""), (b"transcript", b"speech"))),
)
# A frame of less than 16 MiB begins with this byte, and no text does.
_FRAME_BEGINS = 0
# Bytes of a body kept until the first of them are decompressed.
_UNDECODED_BYTES = 4096
# Bytes with which text in UTF-8 may begin.
_TEXT = bytes((*range(0x20, 0x7F), *range(0xC2, 0xF5)))
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class UsageReader:
    """Reads one reply and keeps a bounded part of it. Never raises, whatever the bytes are."""

    def __init__(
        self,
        api: Api,
        content_type: str,
        content_encoding: str = "identity",
        *,
        hide_usage: bool = False,
        headers: Mapping[str, str] = _NO_HEADERS,
        count: Callable[[str], int] | None = None,
    ) -> None:
        """Prepare to read a reply with these headers, whose names are in lower case.

        `hide_usage` removes the usage event that only the gateway asked for. `count` is the model's
        own tokenizer, if known, for a reply that does not report usage.
        """
        decoder = find_decoder(content_encoding)
        self._api = api
        self._kind = content_type.partition(";")[0].strip().lower()
        plain = isinstance(decoder, Identity)
        self._hide = hide_usage and plain
        self._tally = Tally(api, headers, stream=_SSE.fullmatch(self._kind) is not None)
        self._shown = Shown(api.output) if count is None else Counted(api.output, count)
        self._machine = (
            self._choose_by_type() if decoder is not None else Blind(self._shown.pass_over)
        )
        self._broken = False
        self._decoded = False
        self._undecoded = b""
        self._head = b""
        # Takes a chunk and returns what the client may see now: the chunk itself unless something
        # is hidden. An attribute, because a method that delegates to the machine's costs a tenth of
        # an event.
        self.feed: Callable[[bytes], bytes] = (
            self._machine.feed if self._machine is not None else self._feed_first
        )
        if decoder is not None and not plain:
            self.feed = partial(self._feed_encoded, decoder)

    def _choose_by_type(self) -> Machine | None:
        """Return the machine that the content type requires; None if the first byte decides."""
        if _SOUND.fullmatch(self._kind):
            return Blind(self._shown.read_sound)
        if _PICTURE.fullmatch(self._kind):
            return Blind(self._shown.read_picture)
        if _PACKED.fullmatch(self._kind):
            return Blind(self._shown.pass_over)
        return None

    def _choose_by_byte(self, begun: bytes) -> Machine:
        """Return the machine for a body that begins so, whatever its content type says."""
        api, shown, first = self._api, self._shown, begun[0]
        ndjson = _NDJSON.fullmatch(self._kind) is not None
        other = api.output.plain_text or api.output.binary
        if first == _FRAME_BEGINS and not other:
            return EventStream(api, self._tally, shown)
        if first in _DOCUMENT and not ndjson:
            return Json(api, self._tally, shown)
        if ndjson:
            return Events(api, self._tally, shown, NDJSON, hide=False)
        if _SSE.fullmatch(self._kind):
            return Events(api, self._tally, shown, SSE, hide=self._hide)
        if first in _MARKUP:
            return Blind()  # for instance the error page of a proxy in between
        if other and not begun.startswith(_EVENTS_BEGIN):
            return Blind(shown.read_plain_text if api.output.plain_text else shown.read_sound)
        if first in _FIELDS_OF_SSE:
            self._tally.stream = True
            return Events(api, self._tally, shown, SSE, hide=self._hide)
        if first not in _TEXT:
            return Blind(shown.pass_over)
        if _EVENT_STREAM.fullmatch(self._kind):
            return EventStream(api, self._tally, shown)
        return Json(api, self._tally, shown)

    def _feed_first(self, chunk: bytes) -> bytes:
        """Read the first bytes and choose the machine."""
        head = self._head + chunk
        begun = head.lstrip(_BLANKS)
        if not begun:
            return chunk
        if self._may_begin_events(begun):
            self._head = head
            # A machine that hides something gives out the head itself.
            return b"" if self._hide else chunk
        self._machine = self._choose_by_byte(begun)
        if self.feed == self._feed_first:
            self.feed = self._machine.feed
        passed = self._machine.feed(head)
        return passed if self._hide else chunk

    def _may_begin_events(self, begun: bytes) -> bool:
        """Return whether more bytes have to tell events from text or sound."""
        output = self._api.output
        return (output.plain_text or output.binary) and any(
            each.startswith(begun) and each != begun for each in _EVENTS_BEGIN
        )

    @property
    def finished(self) -> bool:
        """Whether the reply has signalled its end."""
        return self._tally.done

    def _feed_encoded(self, decoder: Decoder, chunk: bytes) -> bytes:
        if self._broken:
            self._shown.pass_over(chunk)
            return chunk
        if not self._decoded:
            self._undecoded = (self._undecoded + chunk)[:_UNDECODED_BYTES]
        try:
            for piece in decoder.decode(chunk):
                self._decoded = True
                self._feed_decoded(piece)
        except DecodeError:
            self._go_on_undecoded(chunk)
        return chunk

    def _feed_decoded(self, piece: bytes) -> None:
        if self._machine is None:
            self._feed_first(piece)
        else:
            self._machine.feed(piece)

    def _go_on_undecoded(self, chunk: bytes) -> None:
        """Read a body as it is if it was never compressed; otherwise count what remains of it."""
        begun = self._undecoded.lstrip(_BLANKS)
        if not self._decoded and begun[:1] and begun[0] in _PLAIN:
            # Bytes beyond the bound are those of this chunk, since a decoder fails early.
            self.feed = self._feed_first
            self._feed_first(self._undecoded if len(chunk) < len(self._undecoded) else chunk)
            return
        self._broken = True
        self._shown.pass_over(chunk)

    def finish(self) -> bytes:
        """End the body; return what the client has not seen yet."""
        held = b""
        if self._machine is None and self._head:
            self._machine = self._choose_by_byte(self._head.lstrip(_BLANKS))
            passed = self._machine.feed(self._head)
            held = passed if self._hide else b""
        if self._machine is None:
            return b""
        return held + self._machine.finish()

    def usage(self) -> Usage | None:
        """Return what the reply has reported so far; None if nothing."""
        return self.reading().usage

    @property
    def seen_output_tokens(self) -> int:
        """Return the output tokens that have passed: rough, unless the model's
        tokenizer is known.
        """
        self._look()
        return self._shown.seen().output_tokens

    def reading(self) -> Reading:
        """Return what is known of the reply: what it reported, and what it showed if that is not
        all.
        """
        self._look()
        return self._tally.reading(self._shown.seen, broken=self._broken)

    def _look(self) -> None:
        if self._machine is not None:
            self._machine.look()
