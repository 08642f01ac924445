"""Write and read signs of life, for the supervisor and the admin server.

The event loop itself writes them, so a blocked loop writes none. A file suits this better than a
pipe or a socket, which would need a reader: it may have several readers, or none.
"""

from __future__ import annotations

import asyncio
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

BEAT_EVERY_S = 0.5
STALE_AFTER_S = 2.5
"""Age from which a sign of life counts as stale and its process as not serving."""

_HEAD = struct.Struct(
    "<dH"
)  # time of writing by the machine's monotonic clock; length of the trouble in bytes
_TROUBLE_BYTES = 300


@dataclass(frozen=True, slots=True)
class Beat:
    """One sign of life.

    `at_s`: time.monotonic(), which all processes of a machine share. `trouble`: why the process
    cannot work although it runs; empty if it can.
    """

    at_s: float
    trouble: str

    @property
    def fresh(self) -> bool:
        """Return whether the sign is recent enough to show that the process runs."""
        return time.monotonic() - self.at_s < STALE_AFTER_S


async def keep_beating(file: Path, trouble: Callable[[], str]) -> None:
    """Write a sign of life now, and then regularly, forever."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            text = trouble().encode()[:_TROUBLE_BYTES]
            os.pwrite(descriptor, _HEAD.pack(time.monotonic(), len(text)) + text, 0)
            await asyncio.sleep(BEAT_EVERY_S)
    finally:
        os.close(descriptor)


def last_beat(file: Path) -> Beat | None:
    """Return the last sign of life in a file; None if there is none."""
    try:
        found = file.read_bytes()
    except OSError:
        return None
    if len(found) < _HEAD.size:
        return None
    at_s, length = _HEAD.unpack_from(found)
    return Beat(at_s, found[_HEAD.size : _HEAD.size + length].decode(errors="replace"))


def why_nobody_serves(folder: Path) -> str | None:
    """Return why no process that writes to a folder serves; None if one does."""
    beats = [
        beat for file in folder.iterdir() if (beat := last_beat(file)) is not None and beat.fresh
    ]
    if not beats:
        return "no worker gives a sign of life"
    if any(not beat.trouble for beat in beats):
        return None
    return beats[0].trouble
