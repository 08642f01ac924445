"""Signs of life that a process leaves in a file, for its supervisor and the admin server to read.

Written by the event loop itself, so a loop that is blocked writes none. A pipe or a socket would
need somebody at its other end; a file may be read by several, or by nobody.
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
"""A process whose last sign of life is older counts as one that does not serve."""

_HEAD = struct.Struct(
    "<dH"
)  # when, by the machine's monotonic clock; length of the trouble in bytes
_TROUBLE_BYTES = 300


@dataclass(frozen=True, slots=True)
class Beat:
    """One sign of life. `at_s`: time.monotonic(), whose start all processes of a machine share.

    `trouble`: why the process cannot do its work although it runs; empty: it can.
    """

    at_s: float
    trouble: str

    @property
    def fresh(self) -> bool:
        """Whether it is recent enough to say that the process runs."""
        return time.monotonic() - self.at_s < STALE_AFTER_S


async def keep_beating(file: Path, trouble: Callable[[], str]) -> None:
    """Leave a sign of life at once, and then again for ever."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            text = trouble().encode()[:_TROUBLE_BYTES]
            os.pwrite(descriptor, _HEAD.pack(time.monotonic(), len(text)) + text, 0)
            await asyncio.sleep(BEAT_EVERY_S)
    finally:
        os.close(descriptor)


def last_beat(file: Path) -> Beat | None:
    """The last sign of life in a file; None where there is none."""
    try:
        found = file.read_bytes()
    except OSError:
        return None
    if len(found) < _HEAD.size:
        return None
    at_s, length = _HEAD.unpack_from(found)
    return Beat(at_s, found[_HEAD.size : _HEAD.size + length].decode(errors="replace"))


def why_nobody_serves(folder: Path) -> str | None:
    """None when a process that beats in a folder serves; otherwise one sentence that says why none
    does.
    """
    beats = [
        beat for file in folder.iterdir() if (beat := last_beat(file)) is not None and beat.fresh
    ]
    if not beats:
        return "no worker gives a sign of life"
    return None if any(not beat.trouble for beat in beats) else beats[0].trouble
