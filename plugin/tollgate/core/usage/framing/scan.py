"""Scan JSON incrementally and keep only wanted fields, for documents too long to keep, cut or
damaged.

The scanner does not validate: it skips what cannot be JSON and finds every intact wanted field.
Megabytes of text, base64 or numbers cost no memory.
"""

from __future__ import annotations

import re

import msgspec

from tollgate.core.usage.apis.paths import Wanted

# Wanted names and values are short; a longer token is text.
MAX_TOKEN_BYTES = 4096
# Bound on lists of wanted values (embeddings of a batch); what follows is dropped.
MAX_KEPT_NODES = 10_000
MAX_DEPTH = 64
# About half a second of work. No legitimate reply has as many brackets and names outside of its
# text and numbers.
MAX_STEPS = 1_000_000

_TOKEN = re.compile(
    rb'[ \t\r\n]*+(?:([{}\[\],:])|"((?:[^"\\]++|\\.)*+)"|([^ \t\r\n{}\[\],:"]++))', re.DOTALL
)
_STRING_REST = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
# The outer repetition is not possessive: before 3.11.5 (Debian 12 has 3.11.2) Python would resume
# inside a string whose end has not arrived yet (python/cpython#106052), and read usage out of text.
_TO_BRACKET = re.compile(rb'[^"{}\[\]]*+(?:"(?:[^"\\]++|\\.)*+"[^"{}\[\]]*+)*', re.DOTALL)
_UNREADABLE = object()

Document = dict[str, object]
_Node = Document | list[object]


class Scanner:
    """Scans JSON that is fed in chunks; completed documents are taken from it.

    The items of a top-level list are documents of their own.
    """

    def __init__(self, wanted: Wanted) -> None:
        self.complete = False
        self._wanted = wanted
        self._ended: list[Document] = []
        self._document: Document | None = None
        self._tail = b""
        self._in_string = False
        self._skipped_depth = 0
        self._stack: list[tuple[Wanted, _Node]] = []
        self._key: str | None = None
        self._in_list = False
        self._kept_nodes = 0
        self._steps_left = MAX_STEPS

    def take(self) -> list[Document]:
        """Return the documents that ended since the last call."""
        found, self._ended = self._ended, []
        return found

    def take_all(self) -> list[Document]:
        """Return the documents that ended since the last call, plus what is known of the current
        one.
        """
        if self._document is None:
            return self.take()
        return [*self.take(), self._document]

    def feed(self, chunk: bytes) -> None:
        """Read a chunk. Never raises, whatever it contains."""
        data, at = self._tail + chunk, 0
        self._tail = b""
        while 0 <= at < len(data) and self._steps_left:
            self._steps_left -= 1
            if self._in_string:
                at = self._end_string(data, at)
            elif self._skipped_depth:
                at = self._skip(data, at)
            else:
                at = self._token(data, at)

    def _end_string(self, data: bytes, at: int) -> int:
        match = _STRING_REST.match(data, at)
        end = match.end() if match else at
        if end < len(data) and data[end] == 0x22:
            self._in_string = False
            return end + 1
        self._tail = data[end:]  # empty, or the backslash of an escape that was cut
        return -1

    def _skip(self, data: bytes, at: int) -> int:
        match = _TO_BRACKET.match(data, at)
        end = match.end() if match else at
        if end == len(data):
            return -1
        if data[end] == 0x22:  # a string that continues in the next chunk
            self._in_string = True
        elif data[end] in b"{[":
            self._skipped_depth += 1
        else:
            self._skipped_depth -= 1
        return end + 1

    def _token(self, data: bytes, at: int) -> int:
        match = _TOKEN.match(data, at)
        if match is None or (match.end() == len(data) and match[3] is not None):
            return self._unfinished(data, at)
        if match[1] is not None:
            self._structure(match[1])
        elif match[2] is not None:
            self._string(match[2])
        else:
            self._value(_scalar(match[3]))
        return match.end()

    def _unfinished(self, data: bytes, at: int) -> int:
        self._tail = data[at:].lstrip(b" \t\r\n")
        if len(self._tail) <= MAX_TOKEN_BYTES:
            return -1
        # a number that never ends: what follows is unreadable too
        if not self._tail.startswith(b'"'):
            self._tail = self._tail[:MAX_TOKEN_BYTES]
            return -1
        self._string(b"")
        self._tail, self._in_string = b"", True
        return at + data[at:].index(b'"') + 1

    def _structure(self, mark: bytes) -> None:
        if mark in b"{[":
            self._open(is_list=mark == b"[")
        elif mark in b"}]":
            self._close()
        elif mark == b"," and self._stack:
            self._key = None

    def _open(self, *, is_list: bool) -> None:
        if not self._stack and is_list:
            self._in_list = True
            return
        wanted = self._wanted_here()
        if wanted is None or len(self._stack) >= MAX_DEPTH or self._kept_nodes >= MAX_KEPT_NODES:
            self._skipped_depth = 1
            return
        if self._stack:
            node: _Node = [] if is_list else {}
            self._kept_nodes += 1
            self._value(node)
        else:
            node = self._document = {}
            self._kept_nodes = 0
        self._stack.append((wanted, node))
        self._key = None

    def _close(self) -> None:
        if self._stack:
            self._stack.pop()
            self._key = None
            if not self._stack and self._document is not None:
                self._ended.append(self._document)
                self._document = None
        else:
            self._in_list = False
        self.complete = not self._stack and not self._in_list

    def _wanted_here(self) -> Wanted | None:
        if not self._stack:
            return self._wanted
        wanted, node = self._stack[-1]
        if isinstance(node, list):
            return wanted
        if self._key is None:
            return None
        return wanted.get(self._key)

    def _string(self, raw: bytes) -> None:
        text = _text(raw)
        if self._stack and isinstance(self._stack[-1][1], dict) and self._key is None:
            self._key = text
        else:
            self._value(text)

    def _value(self, value: object) -> None:
        if not self._stack or self._wanted_here() is None:
            return
        wanted, node = self._stack[-1]
        if isinstance(node, dict):
            if self._key is not None:
                node[self._key] = value
        elif isinstance(value, dict | list):
            node.append(value)
        elif not wanted and self._kept_nodes < MAX_KEPT_NODES:
            self._kept_nodes += 1
            node.append(value)


def _text(raw: bytes) -> str:
    if len(raw) > MAX_TOKEN_BYTES:
        return ""
    text = _scalar(b'"' + raw + b'"') if b"\\" in raw else None
    if isinstance(text, str):
        return text
    return raw.decode("utf-8", "replace")


def _scalar(raw: bytes) -> object:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, ValueError):
        return _UNREADABLE
