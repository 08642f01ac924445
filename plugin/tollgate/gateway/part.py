"""One program of a gateway: how it is started, watched and stopped."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """One program.

    - `forked`: `argv` are the arguments of `tollgate.app`, which runs as a fork (forking.py).
    - `probe`: called until it reports that the part serves; None: the part prints a line that
      begins with `ready`.
    - `restarts`: the part is restarted when it dies; otherwise its end stops everything.
    - `quiet`: output is kept, and shown only on failure.
    - `drain`: runs before the part is told to stop, and hurries once its event is set.
    - `hurried`: the signal that makes the part cut its calls instead of letting them end, if any.
    - `orphaned`: the signal that the part gets when we are killed (Linux).
    - `pulse`: returns a different value each time while the part is well; a part whose value stays
      the same for some seconds hangs, and is killed.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    note: str = ""
    probe: Callable[[], Awaitable[bool]] | None = None
    restarts: bool = False
    quiet: bool = False
    drain: Callable[[asyncio.Event], Awaitable[None]] | None = None
    pulse: Callable[[], object] | None = None
    grace_seconds: float = 5.0
    hurried: signal.Signals | None = None
    orphaned: signal.Signals = signal.SIGKILL
    keep_open: tuple[int, ...] = ()
    forked: bool = False
