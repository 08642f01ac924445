"""What a gRPC service sees of a call, whichever transport carries it.

Receivers are called in turn on the event loop, as messages come, and need no task unless they wait.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Protocol

from msgspec import Struct


class Status(IntEnum):
    """google.rpc.Code, as far as it is said here."""

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
        """One message has come."""

    def ended(self, *, whole: bool) -> None:
        """No more will come: the client has said all (`whole`), or it has left.

        Not called once we have ended the call.
        """


class Call(Protocol):
    """One call, as its receiver answers it."""

    def left(self) -> bool:
        """Whether the client waits for no answer any more."""
        ...

    def send(self, message: bytes) -> bool:
        """Send one answer. False: nobody waits for it any more."""
        ...

    def answer(self, message: bytes) -> bool:
        """Send the last answer, or the only one, and end the call with it.

        False: nobody waits for it any more.
        """
        ...

    def close(self, status: int = Status.OK, why: str = "") -> bool:
        """End the call, with a sentence where it failed. False: it has ended before."""
        ...


class Method(Struct, frozen=True):
    """How calls of one path begin.

    `unary`: of one message and one answer; its receiver need not look whether the message came.
    """

    begin: Callable[[Call], Receiver]
    unary: bool


def unary(begin: Callable[[Call], Receiver]) -> Method:
    """A method of one message and one answer."""
    return Method(begin, unary=True)


def streaming(begin: Callable[[Call], Receiver]) -> Method:
    """A method of any number of messages, or of answers."""
    return Method(begin, unary=False)


Methods = Mapping[str, Method]
"""By path: `/package.Service/Method`."""


class Limits(Struct, frozen=True):
    """What one client may make us keep.

    `message_bytes`: of one message, inflated; `streams`: calls at once on one connection.
    """

    message_bytes: int = 33 * 1024 * 1024
    streams: int = 4096


class Server(Protocol):
    """Serves methods on one address."""

    async def start(self, address: str) -> None:
        """Listen on `unix:/path` or `host:port`; several processes may share a port."""

    async def stop(self, grace_s: float) -> None:
        """Take no new calls, let those that are open end, and close."""
