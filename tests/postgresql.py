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
    package = Path(found.submodule_search_locations[0])
    folder = Path(tempfile.mkdtemp(prefix="tg-pg-"))
    data = folder / "data"
    try:
        if _UNPRIVILEGED:
            package = _copied(package, folder)
        programs = package / "pginstall" / "bin"
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


def _copied(package: Path, folder: Path) -> Path:
    """Copy the package where another user may run it: root's own folders may be closed to all."""
    os.chown(folder, 65534, 65534)
    libraries = package.with_name(f"{package.name}.libs")
    for each in (package / "pginstall", libraries):
        if each.exists():
            shutil.copytree(each, folder / each.relative_to(package.parent), symlinks=True)
    return folder / package.name


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
