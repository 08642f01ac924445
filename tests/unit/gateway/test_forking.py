"""Forks of a process that has imported what they share: each is a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.valkeys import valkey_server

from tollgate.gateway.forking import Forked, Forking
from tollgate.settings import EXAMPLE_FILE

_LONGEST_LINE_BYTES = 1 << 16


@pytest_asyncio.fixture
async def forking(tmp_path: Path) -> AsyncIterator[Forking]:
    found = Forking(_LONGEST_LINE_BYTES)
    await found.begin(environment(tmp_path))
    yield found
    await found.end()


def environment(folder: Path, **more: str) -> dict[str, str]:
    counts = folder / "metrics"
    counts.mkdir(exist_ok=True)
    return {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(counts), **more}


async def fork(forking: Forking, folder: Path, *arguments: str, **more: str) -> Forked:
    return await forking.fork(arguments, environment(folder, **more), signal.SIGKILL)


async def told(forked: Forked) -> tuple[int, str, str]:
    """Its exit code, output and errors."""
    assert forked.stdout is not None
    assert forked.stderr is not None
    out, errors = await asyncio.gather(forked.stdout.read(), forked.stderr.read())
    return await forked.wait(), out.decode(), errors.decode()


def channels(pid: int) -> set[str]:
    """The pipes and sockets that a process holds, but for where it prints."""
    held = (each.readlink() for each in Path(f"/proc/{pid}/fd").iterdir() if int(each.name) > 2)
    return {str(each) for each in held if str(each).startswith(("pipe:", "socket:"))}


async def recorder(forking: Forking, folder: Path, store: Path) -> Forked:
    """A recorder that runs."""
    forked = await fork(
        forking,
        folder,
        "recorder",
        "--config",
        str(EXAMPLE_FILE),
        "--beat",
        str(folder / "beat"),
        "--folder",
        str(folder),
        TOLLGATE_STORE_URL=f"unix://{store}",
        TOLLGATE_HISTORY_URL=f"sqlite:///{folder}/history.db",
    )
    assert forked.stdout is not None
    assert await forked.stdout.readline() == b"ready\n"
    return forked


async def test_a_fork_ends_as_the_program_would(forking: Forking, tmp_path: Path) -> None:
    """With its output, its errors and its exit code: of a success, of words that it does not know,
    and of what it refuses with a sentence.
    """
    shown, unknown = [await fork(forking, tmp_path, each) for each in ("--help", "nonsense")]
    code, out, errors = await told(shown)
    assert (code, "worker" in out, errors) == (0, True, "")
    code, out, errors = await told(unknown)
    assert (code, out, "nonsense" in errors) == (2, "", True)
    refused = await fork(
        forking,
        tmp_path,
        *("recorder", "--config", str(EXAMPLE_FILE), "--beat", "b", "--folder", "f"),
        TOLLGATE_STORE_URL="unix:///nowhere",
        TOLLGATE_HISTORY_URL="nonsense",
    )
    assert await told(refused) == (1, "", "tollgate.history_url: is no URL of a database\n")


async def test_a_fork_is_a_process_of_its_own(forking: Forking, tmp_path: Path) -> None:
    """With a name, a session, an environment, and no descriptors of the server's; it can be killed
    and the others stay.
    """
    with valkey_server(tmp_path / "store") as store:
        first, second = [await recorder(forking, tmp_path, store) for _ in range(2)]
        process = Path(f"/proc/{first.pid}")
        assert process.joinpath("cmdline").read_bytes().startswith(b"tollgate.app recorder ")
        assert os.getsid(first.pid) == first.pid
        server = int(process.joinpath("stat").read_text().rpartition(") ")[2].split()[1])
        assert channels(server)
        assert not channels(server) & channels(first.pid)
        first.send_signal(signal.SIGKILL)
        assert (await first.wait(), second.returncode) == (-signal.SIGKILL, None)
        first.send_signal(signal.SIGKILL)  # nobody may have its id by now
        second.send_signal(signal.SIGTERM)
        assert await second.wait() == 0


async def test_forks_end_with_their_server_and_the_next_one_has_another(
    forking: Forking, tmp_path: Path
) -> None:
    with valkey_server(tmp_path / "store") as store:
        first = await recorder(forking, tmp_path, store)
        assert forking._server is not None
        forking._server.terminate()  # as systemd does, with all processes of a service
        assert (await told(await fork(forking, tmp_path, "--help")))[0] == 0
        forking._server.kill()
        assert await first.wait() == -signal.SIGKILL
        second = await recorder(forking, tmp_path, store)
        second.send_signal(signal.SIGTERM)
        assert await second.wait() == 0


async def test_a_server_that_cannot_start_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for it for ever."""
    monkeypatch.setattr("tollgate.gateway.forking._SERVER", ("/bin/false",))
    broken = Forking(_LONGEST_LINE_BYTES)
    with pytest.raises(OSError, match="forks others has ended"):
        await fork(broken, tmp_path, "--help")
    await broken.end()


async def test_each_fork_makes_ids_of_its_own(forking: Forking, tmp_path: Path) -> None:
    """They were seeded anew: two forks of one state would give the same ids."""
    from tollgate.app.base import new_id

    def forked_id() -> bytes:
        readable, writable = os.pipe()
        if os.fork() == 0:
            os.write(writable, new_id()[-16:].encode())
            os._exit(0)
        os.close(writable)
        with os.fdopen(readable, "rb") as pipe:
            return pipe.read()

    assert forked_id() != forked_id()
