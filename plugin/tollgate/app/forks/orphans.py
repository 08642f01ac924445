"""Let a process end when the one that started it does, however that ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_SET_PARENT_DEATH_SIGNAL = 1  # prctl(2): PR_SET_PDEATHSIG
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent(parent: int, number: int) -> None:
    """Ask the kernel for a signal at our parent's death, in a new child (Linux; elsewhere nothing).

    SIGHUP is ignored until somebody listens to it.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if _LIBC is None:
        return
    _LIBC.prctl(_SET_PARENT_DEATH_SIGNAL, number)
    # It may have died before the kernel was asked.
    if os.getppid() != parent:
        os._exit(1)
