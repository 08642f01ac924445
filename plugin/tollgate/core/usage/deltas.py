"""A cheap count of the output that a stream has shown: what a stream that is cut before its usage is charged by."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

# English text has about four bytes a token; other scripts have fewer characters a token but more bytes a character.
BYTES_PER_TOKEN = 4
# A tokenizer is given text in pieces of about this size, so a stream keeps no more of it, and a piece costs some 50 us; each seam
# costs a token at most.
COUNTED_BYTES = 4096
_SPACE, _QUOTE, _BACKSLASH = b' "\\'


class Deltas:
    """Counts pieces of text, by a byte search for the keys that hold them; it decodes nothing, so escapes count as they stand."""

    __slots__ = ("_keys", "pieces", "text_bytes")

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        self._keys = keys
        self.pieces = 0
        self.text_bytes = 0

    @property
    def tokens(self) -> int:
        """The greater of one token a piece, and one for each four bytes of text."""
        return max(self.pieces, -(-self.text_bytes // BYTES_PER_TOKEN))

    def read(self, events: bytes) -> None:
        """Count the text in these events."""
        for key in self._keys:
            at = events.find(key)
            while at >= 0:
                self._read_value(events, at + len(key))
                at = events.find(key, at + len(key))

    def read_one(self, event: bytes) -> None:
        """Count the text of one event, which ends with a brace. The first key that holds any tells: an event brings one kind of text."""
        for key in self._keys:
            at = event.rfind(key)
            if at < 0:
                continue
            at += len(key)
            # the usual value, a string without escapes, is counted here: a call would cost as much as the count
            if event[at] == _QUOTE:
                text_bytes = event.find(b'"', at + 1) - at - 1
                if text_bytes > 0 and event[at + text_bytes] != _BACKSLASH:
                    self.pieces += 1
                    self.text_bytes += text_bytes
                    return
            if self._read_value(event, at):
                return

    def _read_value(self, events: bytes, start: int) -> bool:
        if start < len(events) and events[start] == _SPACE:
            start += 1
        if start >= len(events) or events[start] != _QUOTE:
            return False
        start += 1
        end = events.find(b'"', start)
        while end > 0 and events[end - 1] == _BACKSLASH:
            end = events.find(b'"', end + 1)
        if end == start:
            return False
        self._take(events[start : end if end > 0 else len(events)])
        return True

    def _take(self, text: bytes) -> None:
        """Count the inside of a JSON string."""
        self.pieces += 1
        self.text_bytes += len(text)


class CountedDeltas(Deltas):
    """Counts text by the tokenizer of the model."""

    __slots__ = ("_count", "_counted_tokens", "_uncounted")

    def __init__(self, keys: tuple[bytes, ...], count: Callable[[str], int]) -> None:
        super().__init__(keys)
        self._count = count
        self._counted_tokens = 0
        self._uncounted = b""

    @property
    def tokens(self) -> int:
        """The tokenizer's count."""
        self._count_now()
        return self._counted_tokens

    def read_one(self, event: bytes) -> None:
        """Count the text of one event: the first key that holds any tells."""
        any(self._read_value(event, at + len(key)) for key in self._keys if (at := event.rfind(key)) >= 0)

    def _take(self, text: bytes) -> None:
        self._uncounted += text
        if len(self._uncounted) >= COUNTED_BYTES:
            self._count_now()

    def _count_now(self) -> None:
        uncounted, self._uncounted = self._uncounted, b""
        try:
            self._counted_tokens += self._count(msgspec.json.decode(b'"%b"' % uncounted, type=str))
        except (msgspec.DecodeError, UnicodeDecodeError):  # a piece was cut, or is no JSON
            self._counted_tokens += -(-len(uncounted) // BYTES_PER_TOKEN)
