"""What the supervisor and its fork server tell each other.

A request is one byte on a stream socket, with three descriptors: a file with a ForkRequest as JSON,
and the ends for the child's output and errors. News come back as JSON, one line each.
"""

from __future__ import annotations

from msgspec import Struct

REQUESTED = b"f"


class ForkRequest(Struct, frozen=True):
    """What a child is to be: a command of `tollgate.app` with its environment.

    `orphaned`: the signal that it gets when the server ends (Linux).
    """

    arguments: tuple[str, ...]
    environment: dict[str, str]
    orphaned: int


class ForkNews(Struct, frozen=True, omit_defaults=True):
    """That a child was forked; or that it has ended, with its exit code or minus its signal."""

    pid: int
    code: int | None = None
