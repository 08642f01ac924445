"""`tollgate mock-llm`.

The supervisor runs this module itself, so that the provider need not load what Envoy's
configuration takes. Nothing else loads `tollgate.mock_llm`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated

import typer

from tollgate.commands.errors import failing_clearly


def mock_llm(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="port on 127.0.0.1; 0 takes a free one")
    ] = 8001,
    latency_ms: Annotated[int, typer.Option(min=0, help="wait before each reply")] = 0,
    chunk_ms: Annotated[int, typer.Option(min=0, help="wait between a stream's pieces")] = 0,
    chunks: Annotated[int, typer.Option(min=1, help="pieces of a stream")] = 20,
    unix_path: Annotated[str | None, typer.Option(help="a Unix socket instead of a port")] = None,
) -> None:
    """Run a provider that invents its answers and counts them correctly: OpenAI, Anthropic and
    Gemini, JSON and streams.

    Example: `tollgate mock-llm --port 9000`
    """
    from tollgate.mock_llm import MockOptions, serve

    options = MockOptions(
        port=port,
        unix_path=unix_path,
        latency_ms=latency_ms,
        chunk_ms=chunk_ms,
        chunks=chunks,
        on_ready=lambda address: print(f"ready: {address}", flush=True),
    )
    with failing_clearly(), suppress(KeyboardInterrupt):
        asyncio.run(serve(options))


if __name__ == "__main__":
    typer.run(mock_llm)
