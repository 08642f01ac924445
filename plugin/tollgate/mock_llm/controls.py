"""Control the mock provider by start options, and per reply by `x-mock-` request headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tollgate.core.errors import BadRequest, SettingsError

PREFIX = b"x-mock-"

_TEN_MINUTES_MS = 600_000
# A JSON reply is built in memory: these bounds keep one request from taking all of it.
_MOST_WORDS = 1_000_000
_MOST_TEXT_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class MockOptions:
    """Options of the mock provider: where it listens, and its default answers.

    `unix_path` replaces host and port; port 0 takes a free one. `on_ready` is called once with the
    address: `http://HOST:PORT` or `unix:PATH`.
    """

    host: str = "127.0.0.1"
    port: int = 8001
    unix_path: str | None = None
    latency_ms: int = 0
    chunk_ms: int = 0
    chunks: int = 20
    on_ready: Callable[[str], None] | None = None


@dataclass(frozen=True, slots=True)
class Controls:
    """How to answer one request.

    - `chunks`: words of each choice. `size`: bytes of text, reached by longer or shorter words.
    - `cut`: close after this many words of a stream, or bytes of a JSON body.
    - `split`: bytes of each piece of a stream; the pace `chunk_ms` then applies to pieces.
    - `reset`: close without a reply.
    """

    latency_ms: int = 0
    chunk_ms: int = 0
    chunks: int = 20
    size: int = 0
    status: int | None = None
    cut: int | None = None
    split: int | None = None
    usage: bool = True
    gzip: bool = False
    chunked: bool = False
    reset: bool = False


@dataclass(frozen=True, slots=True)
class _Whole:
    """A control with a whole number in a range."""

    field: str
    least: int
    most: int

    @property
    def right(self) -> str:
        return f"a whole number from {self.least} to {self.most}"

    def parse(self, value: bytes) -> int | None:
        # bytes.isdigit knows ASCII digits only; the length bounds what int() gets.
        number = int(value) if value.isdigit() and len(value) <= 10 else -1
        if self.least <= number <= self.most:
            return number
        return None


@dataclass(frozen=True, slots=True)
class _Choice:
    """A control with one of a few words."""

    field: str
    meanings: Mapping[bytes, bool]

    @property
    def right(self) -> str:
        return " or ".join(word.decode() for word in self.meanings)

    def parse(self, value: bytes) -> bool | None:
        return self.meanings.get(value)


_FLAG = {b"1": True, b"0": False}
_LATENCY = _Whole("latency_ms", 0, _TEN_MINUTES_MS)
_PACE = _Whole("chunk_ms", 0, _TEN_MINUTES_MS)
_CHUNKS = _Whole("chunks", 0, _MOST_WORDS)

_HEADERS: dict[bytes, _Whole | _Choice] = {
    b"x-mock-latency-ms": _LATENCY,
    b"x-mock-chunk-ms": _PACE,
    b"x-mock-chunks": _CHUNKS,
    b"x-mock-size": _Whole("size", 0, _MOST_TEXT_BYTES),
    b"x-mock-status": _Whole("status", 400, 599),
    b"x-mock-cut": _Whole("cut", 0, 2**31),
    b"x-mock-split": _Whole("split", 1, 2**31),
    b"x-mock-usage": _Choice("usage", {b"none": False}),
    b"x-mock-gzip": _Choice("gzip", _FLAG),
    b"x-mock-chunked": _Choice("chunked", _FLAG),
    b"x-mock-reset": _Choice("reset", _FLAG),
}


def from_options(options: MockOptions) -> Controls:
    """Return the defaults from the options.

    Raises SettingsError with the option, its value and what would be right.
    """
    for control in (_LATENCY, _PACE, _CHUNKS):
        value = getattr(options, control.field)
        if not control.least <= value <= control.most:
            raise SettingsError(
                f"mock provider: {control.field} is {value}, but takes {control.right}"
            )
    return Controls(latency_ms=options.latency_ms, chunk_ms=options.chunk_ms, chunks=options.chunks)


def from_headers(defaults: Controls, headers: Mapping[bytes, bytes]) -> Controls:
    """Return the defaults, overridden by `x-mock-` headers (lower case).

    Raises BadRequest with the header, its value and what would be right.
    """
    changes: dict[str, Any] = {}
    for name, value in headers.items():
        control = _HEADERS.get(name)
        if control is None:
            # A misspelt control without effect would make a test pass for the wrong reason.
            known = ", ".join(each.decode() for each in _HEADERS)
            raise BadRequest(
                f"{_shown(name)} is no header of the mock provider; it knows {known}", _shown(name)
            )
        setting = control.parse(value)
        if setting is None:
            raise BadRequest(
                f"{_shown(name)} is '{_shown(value)}', but takes {control.right}", _shown(name)
            )
        changes[control.field] = setting
    return replace(defaults, **changes)


def _shown(text: bytes) -> str:
    return text[:100].decode("latin-1")
