"""Make every command fail with a sentence instead of a traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from tollgate.core.errors import TollgateError


@contextmanager
def failing_clearly() -> Iterator[None]:
    """Print errors of ours, one line per fault, and exit with status 1."""
    try:
        yield
    except TollgateError as error:
        complain(str(error))
        raise typer.Exit(1) from error


def complain(message: str) -> None:
    """Print an error."""
    for line in message.splitlines():
        print(f"tollgate: {line}", file=sys.stderr)


def fail(message: str) -> NoReturn:
    """Print an error and exit with status 1."""
    typer.echo(message, err=True)
    raise typer.Exit(1)
