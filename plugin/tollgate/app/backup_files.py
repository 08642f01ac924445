"""Carry out `tollgate backup` and `tollgate restore`, on a running store or on a state folder."""

from __future__ import annotations

import gzip
import os
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, cast

from tollgate import __version__
from tollgate.adapters.valkey.connection.client import connect
from tollgate.adapters.valkey.outbox.key_dumps import ValkeyKeys
from tollgate.core.errors import SettingsError
from tollgate.gateway.embedded_store import find_valkey, store_part
from tollgate.gateway.places import answers_ping, socket_folder, state_folder
from tollgate.reporting.backups import back_up, restore

_TIMEOUT_S = 60.0


async def back_up_to(file: Path, redis_url: str | None, state_dir: Path) -> int:
    """Write a store to a file that only its owner may read; return the number of keys.

    Raises SettingsError, StoreUnavailable.
    """
    unfinished = file.with_name(f"{file.name}.part")
    unfinished.touch(mode=0o600)
    async with _keys(redis_url, state_dir) as keys:
        with _opened(unfinished, file, "wb") as written:
            count = await back_up(keys, written, __version__)
    unfinished.replace(file)
    return count


async def restore_from(file: Path, redis_url: str | None, state_dir: Path, *, force: bool) -> int:
    """Write a backup into a store; return the number of keys.

    Raises SettingsError, StoreUnavailable.
    """
    try:
        with _opened(file, file, "rb") as read:
            lines = read.readlines()
    except (OSError, EOFError) as error:
        raise SettingsError(f"{file}: {error}") from error
    async with _keys(redis_url, state_dir) as keys:
        return await restore(keys, lines, force=force)


def _opened(path: Path, named: Path, mode: str) -> IO[bytes]:
    """Open a file, which is compressed if its name ends in .gz."""
    if named.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, mode))
    return cast(IO[bytes], path.open(mode))


@asynccontextmanager
async def _keys(redis_url: str | None, state_dir: Path) -> AsyncIterator[ValkeyKeys]:
    with ExitStack() as resources:
        url = redis_url or await _serve(resources, state_dir)
        client = connect(url, _TIMEOUT_S, connections=2)
        try:
            yield ValkeyKeys(client)
        finally:
            await client.aclose()


@contextmanager
def _running(
    argv: Sequence[str], environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program, and end it as it should be."""
    with subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()


async def _serve(resources: ExitStack, state_dir: Path) -> str:
    """Run the embedded store on a state folder that no gateway uses; return its URL."""
    lock = resources.enter_context(state_folder(state_dir))
    path = resources.enter_context(socket_folder()) / "valkey.sock"
    environment = {"PATH": os.environ.get("PATH", "")}
    part = store_part((str(find_valkey()),), state_dir, lock, path, environment)
    process = resources.enter_context(_running(part.argv, environment))
    while not await answers_ping(path):
        if process.poll() is not None:
            raise SettingsError(f"the store does not start on {state_dir}")
    return f"unix://{path}"
