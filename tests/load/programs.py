"""Runs another program to its end, bounded in time."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.load.errors import BenchFailed

# What a program may take beyond the time that it was to take, before it is ended.
_GRACE_S = 30.0
_TICK_S = 0.2

Tick = Callable[[], None]
"""Called several times a second while a program runs."""


def run_bounded(
    argv: Sequence[str], seconds: float, tick: Tick, environment: Mapping[str, str] | None = None
) -> str:
    """What a program printed.

    Raises BenchFailed when it fails or takes much longer than it was to.
    """
    name = Path(argv[0]).name
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    left_s = seconds + _GRACE_S
    try:
        while True:
            tick()
            try:
                said, _ = process.communicate(timeout=_TICK_S)
                break
            except subprocess.TimeoutExpired:
                left_s -= _TICK_S
                if left_s < 0:
                    raise BenchFailed(
                        f"{name} did not end {_GRACE_S:.0f} s after its time"
                    ) from None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise BenchFailed(f"{name} ended with exit code {process.returncode}:\n{said.strip()}")
    return said
