"""Read streams of events, SSE and NDJSON.

Most of the traffic passes here, so the cost per event matters most here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from tollgate.core.usage.apis.api import Api
from tollgate.core.usage.framing.json_documents import MAX_KEPT_BYTES, read_documents
from tollgate.core.usage.framing.scan import Scanner
from tollgate.core.usage.seen import SHORT_BYTES, Shown
from tollgate.core.usage.tally import Tally

# What follows the marker in an event that reports nothing: OpenAI sends `"usage":null` in each,
# Ollama `"done":false`.
_NOTHING = (b":null", b": null", b":false", b": false")


@dataclass(frozen=True, slots=True)
class Separation:
    """How a stream is cut into events: possible ends, the usual one first, and where the payload
    is.
    """

    ends: tuple[bytes, ...]
    end: re.Pattern[bytes]
    payload: Callable[[bytes], bytes]

    def last_end(self, data: bytearray, start: int) -> int:
        """Return where the last complete event ends; 0 if none does."""
        return max(
            (at + len(end) for end in self.ends if (at := data.rfind(end, start)) >= 0), default=0
        )


def _separation(*ends: bytes, payload: Callable[[bytes], bytes]) -> Separation:
    return Separation(ends, re.compile(b"|".join(ends)), payload)


def _sse_payload(event: bytes) -> bytes:
    lines = [line[5:] for line in event.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines).strip()


# https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
SSE = _separation(b"\n\n", b"\n\r\n", b"\r\r", payload=_sse_payload)
# https://github.com/ndjson/ndjson-spec
NDJSON = _separation(b"\n", payload=bytes.strip)
_LONGEST_END_BYTES = 3
_BRACE, _NEWLINE = b"}\n"


class Events:
    """The machine for a stream of events, SSE or NDJSON.

    An event that cannot report usage costs a few byte searches and no object. `hide` removes
    OpenAI's usage event from what the client sees.
    """

    def __init__(
        self, api: Api, tally: Tally, shown: Shown, separation: Separation, *, hide: bool
    ) -> None:
        self._api = api
        self._tally = tally
        self._shown = shown
        self._show_short = shown.read_short_event
        self._separation = separation
        self._hide = hide
        self._marker = api.marker
        self._rare_markers = api.rare_markers
        self._done_line = api.done_line
        self._ends = separation.ends
        self._usual_end_bytes = len(separation.ends[0])
        self._may_be_named = separation is SSE
        self._rest = bytearray()
        self._looked = False
        self._long: Scanner | None = None
        self._long_edge = b""

    def feed(self, data: bytes) -> bytes:
        if self._rest or self._long is not None:
            return self._feed_unaligned(data)
        # Fast path: most streams reach us from Envoy as one event of one or two lines per chunk.
        end = len(data) - self._usual_end_bytes
        line_end = data.find(b"\n")
        if line_end < end and self._may_be_named:
            line_end = data.find(b"\n", line_end + 1)
        if (
            line_end == end
            and 0 < end < SHORT_BYTES
            and data[-1] == _NEWLINE
            and data[end - 1] == _BRACE
        ):
            marker = self._marker
            at = data.rfind(marker)
            if at < 0 or (
                data.startswith(_NOTHING, at + len(marker)) and data.rfind(marker, 0, at) < 0
            ):
                if not self._show_short(data):
                    self._read_rare(data)
                return data
        elif not data.endswith(self._ends):
            return self._feed_unaligned(data)
        return self._read_events(data)

    def finish(self) -> bytes:
        if self._long is not None:
            self._end_long()
            return b""
        rest = bytes(self._rest)
        self._rest.clear()
        if not rest:
            return b""
        seen = rest if self._looked else self._read_events(rest)
        if not self._hide:
            return b""
        return seen

    def look(self) -> None:
        """Read the incomplete event too, since the client has seen that much of it."""
        if self._rest and not self._looked:
            self._looked = True
            rest = bytes(self._rest)
            self._read_events(rest)
            if not self._shown.seen().shown:
                self._shown.read_piece(rest)

    def _tells(self, events: bytes) -> bool:
        """Return whether something in these complete events must be parsed."""
        marker = self._marker
        at = events.rfind(marker)
        while at >= 0 and events.startswith(_NOTHING, at + len(marker)):
            at = events.rfind(marker, 0, at)
        return at >= 0 or (bool(self._done_line) and self._done_line in events)

    def _feed_unaligned(self, data: bytes) -> bytes:
        if self._long is not None:
            return self._feed_long(self._long, data)
        searched = max(0, len(self._rest) - _LONGEST_END_BYTES + 1)
        self._rest += data
        end = self._separation.last_end(self._rest, searched)
        whole = bytes(self._rest[:end])
        del self._rest[:end]
        whole = self._read_events(whole)
        if len(self._rest) > MAX_KEPT_BYTES:
            whole += self._begin_long()
        if self._hide:
            return whole
        return data

    def _read_events(self, events: bytes) -> bytes:
        """Count what events show and parse those that report something.

        Returns the events without a hidden one.
        """
        seen: list[bytes] = []
        start, size = 0, len(events)
        while start < size:
            match = self._separation.end.search(events, start)
            end = match.end() if match else size
            event = events[start:end]
            if not self._tells(event):
                if not self._shown.read_event(event):
                    self._read_rare(event)
                seen.append(event)
            elif not self._read_event(event):
                seen.append(event)
            start = end
        if not self._hide or len(b"".join(seen)) == size:
            return events
        return b"".join(seen)

    def _read_event(self, event: bytes) -> bool:
        """Parse one event. Return True for a usage event that the client did not ask for."""
        payload = self._separation.payload(event)
        if payload and payload == self._done_line:
            self._tally.done = True
            return False
        if not self._shown.read_event(event) and self._api.output.in_documents:
            self._shown.read_document(payload)
        documents, _ = read_documents(payload, self._api.wanted)
        told = [document for document in documents if self._tally.read(document)]
        return self._hide and any(document.get("choices") == [] for document in told)

    def _read_rare(self, event: bytes) -> None:
        """Read an event without text, if it reports one of the facts that few streams report."""
        if any(marker in event for marker in self._rare_markers):
            documents, _ = read_documents(self._separation.payload(event), self._api.wanted)
            for document in documents:
                self._tally.read(document)

    def _begin_long(self) -> bytes:
        """Switch to scanning, for an event longer than the bound.

        Such an event holds text, so it is never the usage event to hide.
        """
        self._long = Scanner(self._api.wanted)
        begun = bytes(self._rest)
        self._rest.clear()
        self._scan(self._long, begun)
        self._long_edge = begun[1 - _LONGEST_END_BYTES :]
        return begun

    def _feed_long(self, scanner: Scanner, data: bytes) -> bytes:
        window = self._long_edge + data
        match = self._separation.end.search(window)
        if match is None:
            self._scan(scanner, data)
            self._long_edge = window[1 - _LONGEST_END_BYTES :]
            return data
        end = match.end() - len(self._long_edge)
        self._scan(scanner, data[:end])
        self._end_long()
        return data[:end] + self.feed(data[end:])

    def _scan(self, scanner: Scanner, data: bytes) -> None:
        self._shown.read_piece(data)
        scanner.feed(data)
        for document in scanner.take():
            self._tally.read(document)

    def _end_long(self) -> None:
        if self._long is not None:
            for document in self._long.take_all():
                self._tally.read(document)
        self._shown.end_piece()
        self._long = None
