"""How every command fails: with a sentence, not with a traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from tollgate.core.errors import TollgateError


@contextmanager
def failing_clearly() -> Iterator[None]:
    """Print our own errors for whoever typed the command, one line per fault, and exit with 1."""
    try:
        yield
    except TollgateError as error:
        complain(str(error))
        raise typer.Exit(1) from error


def complain(message: str) -> None:
    """Print what went wrong."""
    for line in message.splitlines():
        print(f"tollgate: {line}", file=sys.stderr)


def fail(message: str) -> NoReturn:
    """Say what is wrong and end with status 1."""
    typer.echo(message, err=True)
    raise typer.Exit(1)
