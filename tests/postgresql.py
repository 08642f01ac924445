"""A PostgreSQL server of the tests' own, from a wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

# PostgreSQL refuses to run as root, which a container's user often is.
_UNPRIVILEGED = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}


@contextmanager
def postgresql_server() -> Iterator[str]:
    """Run a server that keeps nothing on a Unix socket; gives the URL of its database."""
    found = find_spec("pgserver")
    assert found is not None
    assert found.submodule_search_locations is not None
    programs = Path(found.submodule_search_locations[0]) / "pginstall" / "bin"
    folder = Path(tempfile.mkdtemp(prefix="tg-pg-"))
    if _UNPRIVILEGED:
        os.chown(folder, 65534, 65534)
    data = folder / "data"
    try:
        _run(programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync")
        options = ("-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off")
        with subprocess.Popen(
            [str(each) for each in (programs / "postgres", *options)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            **_UNPRIVILEGED,  # type: ignore[call-overload]
        ) as server:
            _wait_until_it_serves(programs / "pg_isready", folder)
            try:
                yield f"postgresql://postgres@/postgres?host={folder}"
            finally:
                server.terminate()
    finally:
        shutil.rmtree(folder)


def _run(program: Path, *arguments: object) -> None:
    subprocess.run(
        [str(program), *map(str, arguments)],
        check=True,
        capture_output=True,
        cwd="/",
        **_UNPRIVILEGED,  # type: ignore[call-overload]
    )


def _wait_until_it_serves(program: Path, folder: Path) -> None:
    deadline = time.monotonic() + 30
    while subprocess.run([str(program), "-q", "-h", str(folder)], check=False).returncode:
        assert time.monotonic() < deadline, "PostgreSQL does not start"
        time.sleep(0.05)
