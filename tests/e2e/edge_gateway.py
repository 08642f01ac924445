"""A gateway with tight bounds, and a client that sends what no library would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from tests.e2e.envoy_lab import free_port
from tests.e2e.gateway import CONFIG, Gateway, gateway

TIGHT = {
    "request_timeout_seconds": 3,
    "request_headers_timeout_seconds": 2,
    "max_connections": 300,
    "max_streams_per_connection": 7,
    "envoy_memory_mib": 256,
    "max_request_bytes": 33554432,
    "metrics": f"{{address: '127.0.0.1:{free_port()}'}}",
    "cors_origins": '["https://app.example", "https://other.example"]',
}
CHAT = "/v1/chat/completions"


@pytest_asyncio.fixture(scope="module", params=["grpc", "native"])
async def tight(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """A gateway with bounds that a test can reach."""
    own = "".join(f"  {name}: {value}\n" for name, value in TIGHT.items())
    flash = (
        "  - {model_name: flash, litellm_params: {model: gemini/flash, api_base: http://mock-llm,"
        " api_key: k}}\n"
    )
    config = CONFIG.replace("general_settings", f"{flash}general_settings").replace(
        "  max_request_bytes: 1048576\n", own
    )
    async with gateway(tmp_path_factory.mktemp("edge"), config, "--mode", request.param) as running:
        yield running


@dataclass(slots=True)
class Line:
    """One connection, on which bytes are sent as they are."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def to(cls, running: Gateway) -> Line:
        host, _, port = running.url.removeprefix("http://").rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    async def post(self, path: str = CHAT, *lines: str) -> None:
        """A request's head."""
        head = "".join(
            f"{each}\r\n" for each in ("host: gateway", "content-type: application/json", *lines)
        )
        await self.send(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode())

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def status(self, seconds: float = 20) -> int:
        """The status of the answer; 0: the connection ended without one."""
        async with asyncio.timeout(seconds):
            try:
                line = await self.reader.readline()
            except ConnectionError:
                return 0
        return int(line.split()[1]) if line else 0

    def close(self) -> None:
        self.writer.close()
