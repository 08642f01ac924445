"""Send requests to the shipped configuration."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from tests.e2e.envoy_lab import Lab, lab

RESERVATION = '["id","default",[["b",["key","k"],null,1]],1800000,"ollama","m","d",1,1]'


@pytest_asyncio.fixture(scope="session")
async def running() -> AsyncIterator[Lab]:
    async with lab() as each:
        yield each


@pytest.fixture
def gateway(running: Lab) -> Lab:
    """The running gateway, with nothing seen yet."""
    for memory in (
        running.gate.checks,
        running.gate.key_checks,
        running.gate.streams,
        running.gate.entries,
        running.provider.seen,
        running.admin.seen,
    ):
        memory.clear()
    return running


async def send(
    gateway: Lab,
    path: str = "/v1/chat/completions",
    body: bytes = b"{}",
    method: str = "POST",
    **test: str,
) -> httpx.Response:
    """Send one request; `test` become the headers that tell the lab what to do."""
    headers = {"authorization": "Bearer sk-any", "content-type": "application/json"}
    headers |= {name.replace("_", "-"): value for name, value in test.items()}
    async with httpx.AsyncClient(timeout=20) as client:
        return await client.request(method, gateway.url + path, content=body, headers=headers)
