"""What a gateway takes of the machine, and what it clears away."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tollgate.gateway.places import socket_folder

HOLDS_ONE = """
from tollgate.gateway.places import socket_folder
with socket_folder() as folder:
    print(folder, flush=True)
    input()
"""


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder of this test's own, with a short name."""
    with tempfile.TemporaryDirectory(prefix="tg-") as name:
        monkeypatch.setenv("TMPDIR", name)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield Path(name)


def another() -> tuple[subprocess.Popen[str], Path]:
    """A process that owns a folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS_ONE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_start_removes_the_folder_of_an_owner_that_was_killed(temporary: Path) -> None:
    process, left = another()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert left.parent == temporary
    assert left.exists()
    with socket_folder() as own:
        assert list(temporary.iterdir()) == [own]


def test_a_start_leaves_the_folder_of_an_owner_that_lives(temporary: Path) -> None:
    process, theirs = another()
    with socket_folder() as own:
        assert set(temporary.iterdir()) == {own, theirs}
    process.communicate("\n")
    assert list(temporary.iterdir()) == []


def test_a_start_leaves_what_is_not_a_gateways(temporary: Path) -> None:
    """A folder that only begins alike has no owner's file."""
    other = temporary / "tollgate-notes"
    other.mkdir()
    with socket_folder():
        pass
    assert list(temporary.iterdir()) == [other]
