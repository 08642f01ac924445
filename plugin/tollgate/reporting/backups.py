"""Back up what the store keeps, and restore it: entities, counters, holds, the ledger's streams.

The file is a line of JSON for each key, between a first line that names the version and a last line
with the number of keys, so that a file that was cut is noticed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Protocol

from msgspec import DecodeError, Struct, ValidationError
from msgspec.json import Decoder, Encoder

from tollgate.core.errors import SettingsError

_FORMAT = 1
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class KeyDump:
    """A key as the store serializes it. `left_ms`: until it expires; 0: it does not."""

    name: bytes
    left_ms: int
    value: bytes


class StoreKeys(Protocol):
    """All keys of Tollgate in a store. Errors are core.errors.StoreUnavailable."""

    def dumps(self) -> AsyncIterator[KeyDump]:
        """Return each key that exists for the whole time, and possibly others."""
        ...

    async def exist(self) -> bool:
        """Return whether there is any key of Tollgate."""
        ...

    async def gateways(self) -> int:
        """Return how many processes of gateways follow the store's changes now."""
        ...

    async def remove_all(self) -> None:
        """Remove every key of Tollgate."""
        ...

    async def restore(self, dumps: Sequence[KeyDump]) -> None:
        """Write keys as they were dumped. Raises SettingsError when the store refuses one."""
        ...


class _First(Struct):
    tollgate_backup: int
    version: str


class _Key(Struct):
    key: bytes
    left_ms: int
    value: bytes


class _Last(Struct):
    keys: int


_encode = Encoder().encode
_first, _key, _last = Decoder(_First).decode, Decoder(_Key).decode, Decoder(_Last).decode


async def back_up(keys: StoreKeys, file: IO[bytes], version: str) -> int:
    """Write all keys to a file; return their number.

    Each key is of one moment, all of them are of the time that it takes: a call that is settled
    meanwhile may be in one scope's counter and not yet in another's.
    """
    file.write(_encode(_First(_FORMAT, version)) + b"\n")
    count = 0
    async for each in keys.dumps():
        file.write(_encode(_Key(each.name, each.left_ms, each.value)) + b"\n")
        count += 1
    file.write(_encode(_Last(count)) + b"\n")
    return count


async def restore(keys: StoreKeys, lines: Sequence[bytes], *, force: bool) -> int:
    """Write the keys of a backup into a store; return their number.

    The whole file is read before anything is written. `force`: what the store holds is removed
    first. Raises SettingsError for a store that is not empty or that gateways work on, and for a
    file that is no backup.
    """
    dumps = list(_read(lines))
    if running := await keys.gateways():
        # They remember entities and layout, and would settle holds of both states.
        raise SettingsError(
            f"{running} gateway processes work on the store: stop all of them first"
        )
    if await keys.exist():
        if not force:
            raise SettingsError(
                "the store holds keys of Tollgate already; --force removes them first"
            )
        await keys.remove_all()
    for some in _in_parts(dumps):
        await keys.restore(some)
    return len(dumps)


def _read(lines: Sequence[bytes]) -> Iterator[KeyDump]:
    try:
        first = _first(lines[0])
        if first.tollgate_backup != _FORMAT:
            raise SettingsError(
                f"the file is of format {first.tollgate_backup}, written by Tollgate"
                f" {first.version}: restore it with that version or a later one"
            )
        if _last(lines[-1]).keys != len(lines) - 2:
            raise SettingsError("the file is cut: it has not as many keys as its last line says")
        for line in lines[1:-1]:
            found = _key(line)
            yield KeyDump(found.key, found.left_ms, found.value)
    except (DecodeError, ValidationError, IndexError) as error:
        raise SettingsError("the file is no backup of Tollgate, or is cut") from error


def _in_parts(dumps: Sequence[KeyDump]) -> Iterable[Sequence[KeyDump]]:
    return (dumps[at : at + _AT_ONCE] for at in range(0, len(dumps), _AT_ONCE))
