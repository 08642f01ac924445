"""A gRPC call of Envoy's, of which a test sees what is answered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass(eq=False)
class EnvoyCall:
    """The answers that were sent, and whether the call was ended.

    `gone`: Envoy waits for none of them.
    """

    sent: list[bytes] = field(default_factory=list)
    closed: bool = False
    gone: bool = False
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    def send(self, message: bytes) -> bool:
        self.sent.append(message)
        self.answered.set()
        return not self.gone

    def answer(self, message: bytes) -> bool:
        self.closed = True
        return self.send(message)

    def close(self, status: int = 0) -> bool:
        self.closed = True
        return status == 0

    def left(self) -> bool:
        return self.gone
