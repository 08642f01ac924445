"""What deployments' replies had lately, shared by the workers.

One hash, written when something was learned, read when it is needed.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import msgspec

from tollgate import telemetry
from tollgate.adapters.valkey.connection.pipe import Pipe, ReplyError, unavailable
from tollgate.adapters.valkey.keys import OUTPUTS
from tollgate.core.errors import StoreUnavailable
from tollgate.core.requests.estimate import Lately
from tollgate.metering.unseen import OwnOutputs

# A client that leaves at once after somebody else's reply finds what that reply taught.
PUBLISHED_AFTER_S = 0.1

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Lately).decode


class SharedOutputs(OwnOutputs):
    """The port `OutputBook` on Valkey.

    Of a deployment the worker that learned last has the last word.
    """

    def __init__(self, pipe: Pipe) -> None:
        super().__init__()
        self._pipe = pipe
        self._learned: set[str] = set()
        self._publishing: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Learn what others have: a worker that starts does not begin anew.

        Raises StoreUnavailable.
        """
        found = await self._ask(b"HGETALL", OUTPUTS)
        for name, text in zip(found[::2], found[1::2], strict=True):
            with suppress(msgspec.DecodeError):
                lately = _decode(text)
                self.means.learn(name.decode(), lately.output_tokens, lately.hidden_tokens)

    def learn(self, deployment: str, output_tokens: int, hidden_tokens: int) -> None:
        self.means.learn(deployment, output_tokens, hidden_tokens)
        self._learned.add(deployment)
        if self._publishing is None:
            self._publishing = asyncio.create_task(self._publish_soon())

    async def lately(self, deployment: str) -> Lately | None:
        try:
            text = await self._ask(b"HGET", OUTPUTS, deployment)
            if text is None:
                return self.own(deployment)
            return _decode(text)
        except StoreUnavailable as error:
            telemetry.store_failed("outputs", error)
        except msgspec.DecodeError:
            pass  # another version's: it is written anew with the next reply
        return self.own(deployment)

    async def close(self) -> None:
        """Publish what is not published yet."""
        if self._publishing is not None:
            self._publishing.cancel()
            self._publishing = None
            await self._publish()

    async def _publish_soon(self) -> None:
        await asyncio.sleep(PUBLISHED_AFTER_S)
        self._publishing = None
        await self._publish()

    async def _publish(self) -> None:
        learned, self._learned = self._learned, set()
        told: list[str | bytes] = []
        for deployment in learned:
            told += deployment, _encode(self.own(deployment))
        try:
            await self._ask(b"HSET", OUTPUTS, *told)
        except StoreUnavailable as error:
            telemetry.store_failed("outputs", error)

    async def _ask(self, *command: str | bytes) -> Any:
        try:
            return await self._pipe.call(*command)
        except ReplyError as error:
            raise unavailable(error) from error
