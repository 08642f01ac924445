"""Where the store is, and connections to it, for the little that does not go through the client library."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

import hiredis
from msgspec import Struct
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection, parse_url

Command = tuple[str | bytes | int, ...]
P = TypeVar("P", bound=asyncio.Protocol)


class Address(Struct, frozen=True):
    """A store's URL, as the client library reads it."""

    options: dict[str, Any]

    @classmethod
    def of(cls, url: str) -> Address:
        """Read a URL: redis://, rediss:// or unix://."""
        return cls(dict(parse_url(url)))

    @property
    def login(self) -> tuple[Command, ...]:
        """What a new connection says first."""
        found: list[Command] = []
        if (password := self.options.get("password")) is not None:
            name = (self.options["username"],) if self.options.get("username") else ()
            found.append(("AUTH", *name, password))
        if database := self.options.get("db"):
            found.append(("SELECT", database))
        return tuple(found)

    async def dial(self, make: Callable[[], P]) -> P:
        """A connection with a protocol of its own. Raises OSError."""
        loop, options = asyncio.get_running_loop(), self.options
        if options.get("connection_class") is UnixDomainSocketConnection:
            return (await loop.create_unix_connection(make, options["path"]))[1]
        tls = ssl.create_default_context() if options.get("connection_class") is SSLConnection else None
        host, port = options.get("host", "localhost"), options.get("port", 6379)
        return (await loop.create_connection(make, host, port, ssl=tls))[1]


def packed(command: Command) -> bytes:
    """A command as it is sent."""
    return hiredis.pack_command(command)  # type: ignore[arg-type, no-any-return] # its stub knows one argument only
