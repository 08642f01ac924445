"""The reader of one reply: bytes in, usage out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from tollgate.core.entities import Usage
from tollgate.core.usage.api import Api
from tollgate.core.usage.deltas import CountedDeltas, Deltas
from tollgate.core.usage.encoding import DecodeError, Decoder, Identity, find_decoder
from tollgate.core.usage.event_stream import EventStream
from tollgate.core.usage.events import NDJSON, SSE, Events
from tollgate.core.usage.framing import Blind, Json, Machine
from tollgate.core.usage.tally import Tally

_SSE = re.compile(r"text/event-stream")
_NDJSON = re.compile(r"application/(x-)?(ndjson|jsonl(ines)?)|application/json-seq")
_EVENT_STREAM = re.compile(r"application/vnd\.amazon\.eventstream")
_NO_TEXT = re.compile(r"(audio|image|video)/.*|application/octet-stream")
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class UsageReader:
    """Reads one reply. Never raises, whatever the bytes are; keeps a bounded rest of them."""

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
        """`headers`: the reply's, with names in lower case. `hide_usage`: cut the usage event out, where we alone had asked for it.

        `count`: the model's own count of tokens, where one is known, for a stream that does not tell.
        """
        decoder = find_decoder(content_encoding)
        kind = content_type.partition(";")[0].strip().lower()
        stream = _SSE.fullmatch(kind) is not None
        plain = isinstance(decoder, Identity)
        self._tally = Tally(api, headers, stream=stream)
        self._deltas = Deltas(api.text) if count is None or not stream else CountedDeltas(api.text, count)
        self._machine = Blind() if decoder is None else self._choose(api, kind, hide=hide_usage and plain and stream)
        self._broken = False
        # Read on; returns what the client may see of it now: the chunk itself unless something is hidden. An attribute, because a
        # method that calls the machine's costs a tenth of what an event may cost.
        self.feed: Callable[[bytes], bytes] = self._machine.feed
        if decoder is not None and not plain:
            self.feed = partial(self._feed_encoded, decoder)

    def _choose(self, api: Api, kind: str, *, hide: bool) -> Machine:
        if _SSE.fullmatch(kind):
            return Events(api, self._tally, self._deltas, SSE, hide=hide)
        if _NDJSON.fullmatch(kind):
            return Events(api, self._tally, self._deltas, NDJSON, hide=False)
        if _EVENT_STREAM.fullmatch(kind):
            return EventStream(api, self._tally, self._deltas)
        if _NO_TEXT.fullmatch(kind):
            return Blind()
        return Json(api, self._tally, self._deltas)

    @property
    def finished(self) -> bool:
        """Whether the reply has said that it is at its end."""
        return self._tally.done

    @property
    def seen_output_tokens(self) -> int:
        """A count of the output that has passed, for streams that are cut before they tell: rough, unless the model's own is known."""
        return self._deltas.tokens

    def _feed_encoded(self, decoder: Decoder, chunk: bytes) -> bytes:
        if not self._broken:
            try:
                for piece in decoder.decode(chunk):
                    self._machine.feed(piece)
            except DecodeError:
                self._broken = True
        return chunk

    def finish(self) -> bytes:
        """The body is at its end; what the client has not seen yet."""
        return self._machine.finish()

    def usage(self) -> Usage | None:
        """What the reply has told so far; None: nothing."""
        self._machine.look()
        return self._tally.usage(broken=self._broken)
