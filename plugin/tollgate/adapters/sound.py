"""Read the length of uploaded sound from the file's own header."""

from __future__ import annotations

from io import BufferedReader, RawIOBase

from tinytag import TinyTag, TinyTagException


class TaggedSound:
    """The port `SoundLength` for WAV, MP3, M4A, OGG, Opus, FLAC, WMA and AIFF."""

    def __call__(self, raw: bytes, start: int, end: int) -> float | None:
        """Return the seconds of the file between two positions; None if its format does not state
        them.
        """
        try:
            with BufferedReader(_Part(memoryview(raw)[start:end])) as file:
                duration = TinyTag.get(file_obj=file, tags=False, duration=True).duration
        except (TinyTagException, ValueError, OverflowError, ArithmeticError, LookupError):
            # A damaged upload is measured by its size instead.
            return None
        if duration is not None and duration > 0:
            return duration
        return None


class _Part(RawIOBase):
    """A slice of bytes as a file, without a copy."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        part = self._view[self._at : self._at + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self._at, len(self._view))[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at
