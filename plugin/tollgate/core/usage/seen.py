"""Count cheaply the output that a reply shows.

The count is charged where the reply reports no usage, or an implausible one.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from tollgate.core.usage.output import Names, Output
from tollgate.core.usage.reading import Seen

# English text has about four bytes a token; other scripts have fewer characters a token but more
# bytes a character.
BYTES_PER_TOKEN = 4
# A picture of 1024 x 1024 at medium quality:
# https://platform.openai.com/docs/guides/image-generation#cost-and-latency
TOKENS_PER_PICTURE = 1056
# A token is a twentieth of a second. Streams carry 16-bit samples, 24,000 a second, in base64;
# files are compressed.
SAMPLE_BYTES_PER_TOKEN = 3_200
SOUND_BYTES_PER_TOKEN = 800
# A tokenizer gets text in pieces of about this size, which bounds memory; a piece costs some 50 us,
# and each seam at most one token.
COUNTED_BYTES = 4096
# Up to this length an event is searched for several pieces of text.
SHORT_BYTES = 800
_QUOTE, _BACKSLASH = b'"\\'
# First bytes of a value that needs a closer look.
_MORE = b" {["
# The longest name, plus what may surround it before its value.
_TAIL_BYTES = 64
_STRING_REST = re.compile(rb'(?:[^"\\]++|\\.)*', re.DOTALL)
# Not possessive as a whole: see scan.py.
_TO_BRACKET = re.compile(rb'[^"{}\[\]]*+(?:"(?:[^"\\]++|\\.)*+"[^"{}\[\]]*+)*', re.DOTALL)

# Members of bodies that are errors, or that report one.
_ERRORS = ("error", "errors", "base_resp", "promptFeedback", "detail")
_NOTHING = (b"null", b"[]", b"{}", b'""', b"false")
# Members that tell what a body is.
_KINDS = ("type", "object", "status")

_members = msgspec.json.Decoder(dict[str, msgspec.Raw] | list[dict[str, msgspec.Raw]])


class Shown:
    """Counts what a reply shows. Nothing is decoded, so escapes count as written."""

    __slots__ = (
        "_documents",
        "_in_text",
        "_keys",
        "_other_bytes",
        "_output",
        "_tail",
        "pictures",
        "pieces",
        "sample_bytes",
        "served",
        "sound_bytes",
        "text_bytes",
    )

    def __init__(self, output: Output) -> None:
        self._output = output
        self._keys = output.keys
        self._documents: list[bytes] = []
        self._tail = b""
        self._in_text: bool | None = None
        self.pieces = 0
        self.text_bytes = 0
        self.pictures = 0
        self.sample_bytes = 0
        self.sound_bytes = 0
        self.served = False

    @property
    def text_tokens(self) -> int:
        """Return the greater of one token per piece and one per four bytes of text."""
        return max(self.pieces, -(-self.text_bytes // BYTES_PER_TOKEN))

    def seen(self) -> Seen:
        """Return what was shown so far.

        A whole document counts only if nothing else has shown the same before.
        """
        while self._documents and not self.pieces:
            for part in _parts(self._documents.pop(), self._output.within):
                self._read(part, self._output.in_document)
        pictures = self.pictures * TOKENS_PER_PICTURE
        sound = -(-self.sample_bytes // SAMPLE_BYTES_PER_TOKEN) + -(
            -self.sound_bytes // SOUND_BYTES_PER_TOKEN
        )
        tokens = self.text_tokens + pictures + sound
        return Seen(tokens > 0 or self.served, tokens, pictures, sound)

    def read_event(self, event: bytes) -> bool:
        """Count the output of one event. Return False if it shows none."""
        if len(event) > SHORT_BYTES:
            return self._read(event, self._output.in_event)
        return self.read_short_event(event)

    def read_short_event(self, event: bytes) -> bool:
        """Count the output of one event that has room for one piece of text."""
        try:
            for key in self._keys:
                at = event.rfind(key)
                if at < 0:
                    continue
                at += len(key)
                if event[at] == _QUOTE:
                    # The usual value, a string, is counted inline: a call would cost as much as the
                    # count.
                    end = event.find(b'"', at + 1)
                    if event[end - 1] == _BACKSLASH:
                        end = _end_of_string(event, at)
                    text_bytes = end - at - 1
                    if text_bytes > 0:
                        self.pieces += 1
                        self.text_bytes += text_bytes
                        return True
                    if text_bytes:
                        break
                elif event[at] in _MORE:
                    break
        except IndexError:  # the event is cut
            pass
        return self._read(event, self._output.in_event)

    def read_document(self, body: bytes) -> None:
        """Count the output of a whole body, on request: for most, nobody asks."""
        self._documents.append(body)

    def read_piece(self, piece: bytes) -> None:
        """Count the output of a body that is too long to keep, piece by piece."""
        start = 0
        if self._in_text is not None:
            start = self._go_on(piece)
            if start < 0:
                return
        data = self._tail + piece[start:]
        end = self._read_whole(data)
        if self._in_text is None:
            self._tail = data[max(end, len(data) - _TAIL_BYTES) :]

    def end_piece(self) -> None:
        """Start another body."""
        self._in_text, self._tail = None, b""

    def read_plain_text(self, text: bytes | bytearray) -> None:
        """Count text outside of JSON."""
        self.served = self.served or bool(text)
        self.text_bytes += len(text)

    def read_picture(self, picture: bytes) -> None:
        """Count a body that is one picture and arrives in pieces."""
        self.pictures = self.pictures or int(bool(picture))

    def read_sound(self, sound: bytes) -> None:
        """Count bytes of sound."""
        self.sound_bytes += len(sound)

    def pass_over(self, unread: bytes | bytearray) -> None:
        """Count unreadable bytes: something was served, and only its length is known."""
        self.read_plain_text(unread)

    def _take(self, text: bytes) -> None:
        """Count the contents of a JSON string."""
        self.pieces += 1
        self.text_bytes += len(text)

    def _read(self, data: bytes, pattern: re.Pattern[bytes]) -> bool:
        found = False
        for match in pattern.finditer(data):
            found = self._read_match(match, data) or found
        return found

    def _read_match(self, match: re.Match[bytes], data: bytes) -> bool:
        """Count one member by its kind. Return False if it is empty."""
        kind, text = _kind(match), match["string"]
        if kind == "answer":
            self.served = True
        if text is not None:
            return bool(text) and self._read_string(kind, text)
        if match["open"] is None:
            return False
        if kind == "arguments":
            self._take(data[match.start("open") : _end_of(data, match.start("open"))])
        elif kind == "picture":
            self.pictures += 1
        elif kind == "vector":
            self.served = True
        return kind not in ("text", "sound")

    def _read_string(self, kind: str, text: bytes) -> bool:
        if kind == "picture":
            self.pictures += 1
        elif kind == "sound":
            self.sample_bytes += len(text)
        elif kind == "vector":
            self.served = True
        else:
            self._take(text)
        return True

    def _read_whole(self, data: bytes) -> int:
        """Count the members of a piece; return where the last of them ends."""
        end = 0
        for match in self._output.in_document.finditer(data):
            self._read_match(match, data)
            end = match.end()
            text = match["string"]
            if text is not None and end >= len(data) - 1 and data[end : end + 1] != b'"':
                kind = _kind(match)
                self._in_text, self._tail = kind in ("text", "arguments"), data[end:]
                if not text and not self._in_text:
                    self._read_string(kind, b'"')
        return end

    def _go_on(self, piece: bytes) -> int:
        """Continue a string from an earlier piece; return where it ends, or -1 if
        not in this one.
        """
        data = self._tail + piece
        match = _STRING_REST.match(data)
        end = match.end() if match is not None else 0
        if self._in_text:
            self.text_bytes += end
        before, self._tail = len(self._tail), data[end:]
        if data[end : end + 1] != b'"':
            return -1
        self._in_text, self._tail = None, b""
        return end + 1 - before


class Counted(Shown):
    """Counts text with the model's tokenizer."""

    __slots__ = ("_count", "_counted_tokens", "_uncounted")

    def __init__(self, output: Output, count: Callable[[str], int]) -> None:
        super().__init__(output)
        self._count = count
        self._counted_tokens = 0
        self._uncounted = b""

    @property
    def text_tokens(self) -> int:
        """Return the tokenizer's count."""
        self._count_now()
        return self._counted_tokens

    def read_short_event(self, event: bytes) -> bool:
        """Count the output of one event by its pieces of text."""
        return self._read(event, self._output.in_event)

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


def _kind(match: re.Match[bytes]) -> str:
    """Return the kind of output that matched: the first group of the expression is its name."""
    return next(kind for kind, name in match.groupdict().items() if name is not None)


def _end_of_string(data: bytes, at: int) -> int:
    """Return where the string that begins here ends; -1 if it is cut."""
    end = data.find(b'"', at + 1)
    while end > 0 and data[end - 1] == _BACKSLASH:
        end = data.find(b'"', end + 1)
    return end


def _end_of(data: bytes, at: int) -> int:
    """Return where the object or list that begins here ends; the end of the data if it is cut."""
    depth = 0
    while at < len(data):
        if data[at] in b"{[":
            depth += 1
        elif data[at] in b"}]":
            depth -= 1
            if depth == 0:
                return at + 1
        else:  # a string without an end
            return len(data)
        match = _TO_BRACKET.match(data, at + 1)
        at = match.end() if match is not None else len(data)
    return len(data)


def _parts(body: bytes, within: tuple[Names, ...]) -> list[bytes]:
    """Return the raw members of a body that hold output; the whole body if they are not known, it
    is no JSON, or it has none of them and is no error either.
    """
    if not within:
        return [body]
    try:
        decoded = _members.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return [body]
    documents = decoded if isinstance(decoded, list) else [decoded]
    parts = [
        part
        for document in documents
        for names in within
        if (part := _member(document, names)) is not None
    ]
    if parts or any(_is_error(document) for document in documents):
        return parts
    return [body]


def _is_error(document: dict[str, msgspec.Raw]) -> bool:
    """Return whether a document reports an error, or is marked as one."""
    return any(
        name in document and bytes(document[name]) not in _NOTHING for name in _ERRORS
    ) or any(name in document and bytes(document[name]) == b'"error"' for name in _KINDS)


def _member(document: dict[str, msgspec.Raw], names: Names) -> bytes | None:
    """Return one raw member with its name."""
    *above, last = names
    for name in above:
        try:
            document = msgspec.json.decode(document[name], type=dict[str, msgspec.Raw])
        except (KeyError, msgspec.MsgspecError):
            return None
    if last not in document:
        return None
    return b'"%b":%b' % (last.encode(), bytes(document[last]))
