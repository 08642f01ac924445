"""How a program that starts gateways is run from a shell."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

import typer
from rich.console import Console
from tests.load.errors import BenchFailed


def guarded(name: str, work: Callable[[Console], None]) -> None:
    """Run it: one sentence when it fails; SIGTERM is as Ctrl-C, and both leave nothing running."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(width=None if sys.stdout.isatty() else 220)
    try:
        work(console)
    except BenchFailed as error:
        print(f"{name}: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        print(f"{name}: stopped; nothing was written", file=sys.stderr)
        raise typer.Exit(130) from None
