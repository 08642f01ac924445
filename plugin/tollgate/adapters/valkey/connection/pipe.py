"""Define what carries commands to the store, whichever servers it consists of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

from tollgate.adapters.valkey.connection.address import Command
from tollgate.core.errors import StoreUnavailable


class ReplyError(Exception):
    """An error reply of the store; the first word of the message is its kind."""

    @property
    def word(self) -> str:
        """Return the kind of the error."""
        return str(self).partition(" ")[0]

    @property
    def demoted(self) -> bool:
        """Return whether a replica refuses a write; older servers put it into a script's error."""
        return "READONLY" in str(self)


def unavailable(error: Exception) -> StoreUnavailable:
    """Return a failed command as StoreUnavailable, in the store's words without
    the script location.
    """
    if isinstance(error, StoreUnavailable):
        return error
    return StoreUnavailable(str(error).partition(" script: ")[0])


Heard = Callable[[Any], None]
"""Called with a command's reply: ReplyError if the store refused the command, StoreUnavailable if
the outcome is unknown.
"""


class Pipe(Protocol):
    """Commands to the store.

    `is_cluster`: keys with different hash tags may be on different servers. All keys of a command
    have one hash tag.
    """

    @property
    def is_cluster(self) -> bool: ...

    async def call(self, *arguments: str | bytes | int) -> Any:
        """Run one command, in a cluster where its first key is.

        Raises StoreUnavailable (StoreSilent, once it was sent), or ReplyError if the store refuses
        it.
        """
        ...

    def start(self, command: Command, heard: Heard) -> None:
        """Run a command and pass its reply to `heard`, without a future."""
        ...

    async def everywhere(self, *arguments: str | bytes | int) -> list[Any]:
        """Run a command on each primary, and return their replies. Raises as `call` does."""
        ...

    def keys(self, pattern: bytes) -> AsyncIterator[bytes]:
        """Yield every key that matches, each at least once. Raises as `call` does."""
        ...

    async def aclose(self) -> None:
        """Close all connections; waiting calls fail."""
        ...
