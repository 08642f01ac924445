"""The port `Overflow` as files of JSON lines, one for each organization."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from msgspec import DecodeError, Raw, Struct
from msgspec.json import Decoder, Encoder

from tollgate.core.errors import HistoryUnavailable
from tollgate.ports.history_ports import SettledText, StreamedRecords
from tollgate.reporting import history_telemetry

_AT_ONCE = 2_000


class _Line(Struct):
    """A record in a file, as the ledger had it."""

    organization: str
    settled_us: int
    record: Raw


_encode = Encoder().encode
_decode = Decoder(_Line).decode


class OverflowFiles:
    """Files `ledger-ORGANIZATION.jsonl` of one folder, each record on a line of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def write(self, organization: str, streamed: StreamedRecords) -> None:
        """Write records to the disk itself. Raises HistoryUnavailable."""
        lines = [
            _encode(_Line(organization, each.settled_us, Raw(each.text)))
            for each in streamed.records
        ]
        try:
            await asyncio.to_thread(self._append, organization, lines)
        except OSError as error:
            raise HistoryUnavailable(f"{self._folder}: {error.strerror}") from error

    async def waiting(self) -> AsyncIterator[tuple[str, Sequence[SettledText]]]:
        """Return all that was written, in parts, and remove each file at its end.

        A line that a power cut left behind is told and left out. Raises HistoryUnavailable for a
        file that cannot be read.
        """
        if not self._folder.is_dir():
            return
        for file in sorted(self._folder.glob("ledger-*.jsonl")):
            try:
                with file.open("rb") as lines:
                    while part := list(islice(_read(file, lines), _AT_ONCE)):
                        yield part[0][0], [settled for _, settled in part]
                file.unlink()
            except OSError as error:
                raise HistoryUnavailable(f"{file}: {error.strerror}") from error

    def _append(self, organization: str, lines: Sequence[bytes]) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._folder / f"ledger-{quote(organization, safe='')}.jsonl"
        file.touch(mode=0o600)
        with file.open("ab") as written:
            written.write(b"".join(line + b"\n" for line in lines))
            written.flush()
            os.fsync(written.fileno())


def _read(file: Path, lines: Iterator[bytes]) -> Iterator[tuple[str, SettledText]]:
    for line in lines:
        try:
            told = _decode(line)
            settled = SettledText(told.settled_us, bytes(told.record))
            settled.read()
        except DecodeError:
            history_telemetry.overflow_not_read(file.name)
        else:
            yield told.organization, settled
