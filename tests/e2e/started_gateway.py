"""Start `tollgate up` as a process of its own, and see its parts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
OK = 200
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
# In grpc mode workers and admin server are stand-ins, so that the supervisor alone is tested; in
# native mode they are our own.
PROGRAMS = {"grpc": "tests.e2e.standin", "native": "tollgate.commands.main"}
HEADERS = {
    "grpc": {"test-route": "gpt-4o", "authorization": "Bearer sk-any"},
    "native": {"authorization": "Bearer sk-1234"},
}


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running `tollgate up`, in a temporary folder of its own that its processes can
    be told by.
    """

    process: subprocess.Popen[str]
    folder: Path
    lines: list[str]
    mode: str

    @property
    def url(self) -> str:
        return self.lines[-1].removeprefix("ready: ")

    def chat(self, **controls: str) -> int:
        """The status of a chat; raises httpx.HTTPError when it is cut.

        `controls`: of the built-in provider.
        """
        headers = HEADERS[self.mode] | {
            f"x-mock-{name.replace('_', '-')}": value for name, value in controls.items()
        }
        return httpx.post(
            f"{self.url}/v1/chat/completions", json=CHAT, headers=headers, timeout=25
        ).status_code

    def pids(self, name: str = "") -> list[int]:
        """The processes of this gateway, those whose command holds `name`."""
        return [
            pid for pid, command in commands() if str(self.folder) in command and name in command
        ]

    def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end; gives the exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)


def commands() -> Iterator[tuple[int, str]]:
    """Every process's id and command line (Linux)."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield (
                    int(entry.name),
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"),
                )
            except OSError:
                continue


def eventually(true: Callable[[], object]) -> bool:
    """Whether it becomes true within a minute: several processes may have to start on a busy
    machine.
    """
    deadline = time.monotonic() + 60
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def arguments(folder: Path, *more: str, mode: str = "grpc") -> list[str]:
    return [
        sys.executable,
        "-m",
        PROGRAMS[mode],
        "up",
        "--mode",
        mode,
        "--state-dir",
        str(folder / "state"),
        "--workers",
        "1",
        *more,
    ]


def start(folder: Path, mode: str, *more: str) -> Gateway:
    """Start a gateway on a free port and wait until it is ready."""
    output = folder / "output"
    with output.open("w") as file:
        process: subprocess.Popen[str] = subprocess.Popen(
            arguments(folder, "--port", "0", *more, mode=mode),
            cwd=ROOT,
            env=os.environ | {"TMPDIR": str(folder)},
            stdout=file,
            text=True,
        )
    if not eventually(lambda: "\nready: " in output.read_text() or process.poll() is not None):
        process.kill()
        raise AssertionError(f"not ready: {output.read_text()}")
    return Gateway(process, folder, output.read_text().splitlines(), mode)


def finished(folder: Path, *more: str, **environment: str) -> tuple[int, str]:
    """Run `tollgate up` to its end; gives exit code and what it complained of."""
    done = subprocess.run(
        arguments(folder, *more),
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(folder)} | environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: Unix sockets go below it."""
    with tempfile.TemporaryDirectory(prefix="tg-") as name:
        yield Path(name)


@pytest.fixture(params=PROGRAMS)
def gateway(request: pytest.FixtureRequest, folder: Path) -> Iterator[Gateway]:
    """A gateway for one test to end."""
    running = start(folder, request.param)
    yield running
    running.process.kill()
    running.process.wait()
