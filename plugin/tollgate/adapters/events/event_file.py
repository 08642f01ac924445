"""A sink of events that appends them to a file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from tollgate.reporting.call_events import CallEvent, SinkUnavailable


class FileSink:
    """Writes a line of JSON for each event, to the disk itself.

    The file is opened for each part, so it may be renamed at any time.
    """

    def __init__(self, name: str, file: Path) -> None:
        self.name = name
        self._file = file

    async def deliver(self, events: Sequence[CallEvent]) -> None:
        """Append events. Raises SinkUnavailable."""
        try:
            await asyncio.to_thread(self._append, events)
        except OSError as error:
            raise SinkUnavailable(f"{self._file}: {error.strerror}") from error

    async def close(self) -> None:
        """Do nothing: no file is open."""

    def _append(self, events: Sequence[CallEvent]) -> None:
        self._file.touch(mode=0o600)
        with self._file.open("ab") as written:
            written.write(b"".join(each.text + b"\n" for each in events))
            written.flush()
            os.fsync(written.fileno())
