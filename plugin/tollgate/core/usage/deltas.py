"""A cheap count of the output that a stream has shown: what a stream that is cut before its usage is charged by."""

from __future__ import annotations

# English text has about four bytes a token; other scripts have fewer characters a token but more bytes a character.
BYTES_PER_TOKEN = 4
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
        self.pieces += 1
        self.text_bytes += (end if end > 0 else len(events)) - start
        return True
