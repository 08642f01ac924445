"""Define what a gRPC service sees of a call, whichever transport carries it.

Receivers are called on the event loop as messages arrive, and need no task unless they wait.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Protocol

from msgspec import Struct


class Status(IntEnum):
    """The codes of google.rpc.Code that are used here."""

    OK = 0
    INVALID_ARGUMENT = 3
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


class Receiver(Protocol):
    """What a call does with its messages."""

    def received(self, message: bytes) -> None:
        """Take one message."""

    def ended(self, *, whole: bool) -> None:
        """Take the end of messages: the client has finished (`whole`), or it has left.

        Not called after we have ended the call.
        """


class Call(Protocol):
    """One call, as its receiver answers it."""

    def left(self) -> bool:
        """Return whether the client no longer waits for answers."""
        ...

    def send(self, message: bytes) -> bool:
        """Send one answer. Return False if nobody waits for it."""
        ...

    def answer(self, message: bytes) -> bool:
        """Send the last or only answer and end the call.

        Returns False if nobody waits for it.
        """
        ...

    def close(self, status: int = Status.OK, why: str = "") -> bool:
        """End the call, with a sentence if it failed. Return False if it had already ended."""
        ...


class Method(Struct, frozen=True):
    """How calls of one path begin.

    `unary`: one message and one answer; the receiver need not check that the message arrived.
    """

    begin: Callable[[Call], Receiver]
    unary: bool


def unary(begin: Callable[[Call], Receiver]) -> Method:
    """Return a method with one message and one answer."""
    return Method(begin, unary=True)


def streaming(begin: Callable[[Call], Receiver]) -> Method:
    """Return a method with any number of messages or answers."""
    return Method(begin, unary=False)


Methods = Mapping[str, Method]
"""Methods by path: `/package.Service/Method`."""


class Limits(Struct, frozen=True):
    """What one client can make us keep.

    `message_bytes`: one message, inflated. `streams`: calls at once on one connection.
    """

    message_bytes: int = 33 * 1024 * 1024
    streams: int = 4096


class Server(Protocol):
    """Serves methods on one address."""

    async def start(self, address: str) -> None:
        """Listen on `unix:/path` or `host:port`; several processes may share a port."""

    async def stop(self, grace_s: float) -> None:
        """Accept no new calls, let open ones end, and close."""
