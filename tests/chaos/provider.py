"""The mock provider as a program that also keeps a tally: which call reached it, and how many words
it sent for it.

A call says its number as its `user`, `call-17`; a word is `tol `, four bytes, which is what a token
is taken for where nobody counts.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from tests.chaos.tally import Tally

from tollgate.mock_llm.controls import Controls
from tollgate.mock_llm.protocol import MockConnection, Shared

CALL = "call-"
"""What the `user` of a call begins with; its number follows."""
WORD = b"tol "


class _Heard:
    """A transport that tells what is written to it. Everything else is the transport's own."""

    def __init__(self, transport: asyncio.Transport, hear: Callable[[bytes], None]) -> None:
        self._transport = transport
        self._hear = hear

    def write(self, data: bytes) -> None:
        self._hear(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Counting(MockConnection):
    """A connection of the mock that keeps the tally.

    Envoy sends the next request when the reply to the one before has ended.
    """

    def __init__(self, shared: Shared, tally: Tally) -> None:
        super().__init__(shared)
        self._tally = tally
        self._request: list[bytes] = []
        self._call = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        heard = _Heard(cast(asyncio.Transport, transport), self._wrote)
        super().connection_made(cast(asyncio.BaseTransport, heard))

    def on_body(self, body: bytes) -> None:
        self._request.append(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._call = int(json.loads(b"".join(self._request))["user"].removeprefix(CALL))
        self._request.clear()
        self._tally.reached(self._call)
        super().on_message_complete()

    def _wrote(self, data: bytes) -> None:
        self._tally.said(self._call, data.count(WORD))


async def _serve(port: int, tally: Tally) -> None:
    numbers = count(1)
    shared = Shared(Controls(), lambda: f"{next(numbers):024x}", set())
    loop = asyncio.get_running_loop()
    server = await loop.create_server(partial(_Counting, shared, tally), "127.0.0.1", port)
    print(f"ready: http://127.0.0.1:{port}", flush=True)
    await server.serve_forever()


def main(
    port: Annotated[int, typer.Option(help="on 127.0.0.1")],
    tally: Annotated[Path, typer.Option(help="its file")],
) -> None:
    """Serve until killed."""
    asyncio.run(_serve(port, Tally(tally)))


if __name__ == "__main__":
    typer.run(main)
