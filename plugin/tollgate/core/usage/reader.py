"""Read one reply: bytes in, reported usage and shown output out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
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
_SOUND = re.compile(r"(audio|video)/.*")
_PICTURE = re.compile(r"image/.*")
# What may precede a body's first byte: blanks, the byte-order mark, and the separator of
# application/json-seq.
_BLANKS = b" \t\r\n\xef\xbb\xbf\x1e"
_DOCUMENT, _MARKUP = b"{[", b"<"
# First letters of data:, event:, id:, retry:, and of comments.
_FIELDS_OF_SSE = b"deir:"
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
        if _EVENT_STREAM.fullmatch(self._kind):
            return EventStream(self._api, self._tally, self._shown)
        if _SOUND.fullmatch(self._kind):
            return Blind(self._shown.read_sound)
        if _PICTURE.fullmatch(self._kind):
            return Blind(self._shown.read_picture)
        return None

    def _choose_by_byte(self, first: int) -> Machine:
        """Return the machine for a body with this first byte, whatever its content type says."""
        api, shown = self._api, self._shown
        ndjson = _NDJSON.fullmatch(self._kind) is not None
        if first in _DOCUMENT and not ndjson:
            return Json(api, self._tally, shown)
        if ndjson:
            return Events(api, self._tally, shown, NDJSON, hide=False)
        if _SSE.fullmatch(self._kind):
            return Events(api, self._tally, shown, SSE, hide=self._hide)
        if first in _MARKUP:
            return Blind()  # for instance the error page of a proxy in between
        if api.output.plain_text:
            return Blind(shown.read_plain_text)
        if api.output.binary:
            return Blind(shown.read_sound)
        if first in _FIELDS_OF_SSE:
            self._tally.stream = True
            return Events(api, self._tally, shown, SSE, hide=self._hide)
        return Json(api, self._tally, shown)

    def _feed_first(self, chunk: bytes) -> bytes:
        """Read the first bytes and choose the machine."""
        begun = chunk.lstrip(_BLANKS)
        if not begun:
            return chunk
        self._machine = self._choose_by_byte(begun[0])
        if self.feed == self._feed_first:
            self.feed = self._machine.feed
        return self._machine.feed(chunk)

    @property
    def finished(self) -> bool:
        """Whether the reply has signalled its end."""
        return self._tally.done

    def _feed_encoded(self, decoder: Decoder, chunk: bytes) -> bytes:
        if not self._broken:
            try:
                for piece in decoder.decode(chunk):
                    if self._machine is None:
                        self._feed_first(piece)
                    else:
                        self._machine.feed(piece)
            except DecodeError:
                self._broken = True
        return chunk

    def finish(self) -> bytes:
        """End the body; return what the client has not seen yet."""
        if self._machine is None:
            return b""
        return self._machine.finish()

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
