"""A request that Envoy refuses although it was admitted never reached a provider: what it held is
free at once, and it costs nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.envoy_lab import Gate, free_port, lab, running_envoy
from tests.e2e.gateway import CONFIG, bearer, gateway

from tollgate import settings
from tollgate.envoy_config import Address, Topology, bootstrap


@dataclass
class Answering:
    """ext_authz over HTTP that answers as the test says, and keeps Envoy's names for the requests."""

    head: bytes
    names: list[str] = field(default_factory=list)

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        name = head.partition("x-tollgate-stream: ")[2].partition("\r\n")[0]
        if name:
            self.names.append(name)
        writer.write((self.head if name else b"HTTP/1.1 204 \r\n") + b"\r\n")
        await writer.drain()
        writer.close()


@asynccontextmanager
async def native(folder: Path, head: bytes) -> AsyncIterator[tuple[str, Gate, Answering]]:
    """Envoy in native mode before it."""
    (folder / "file.yaml").write_text(CONFIG, encoding="utf-8")
    loaded = settings.load(folder / "file.yaml")
    loaded = replace(loaded, tollgate=loaded.tollgate.model_copy(update={"mode": "native"}))
    port, gate, answering = free_port(), Gate(), Answering(head)
    topology = Topology(
        Address(host="127.0.0.1", port=port),
        (Address(path=str(folder / "grpc")),),
        Address(path=str(folder / "admin")),
        mock=Address(path=str(folder / "mock")),
        workers_http=(Address(path=str(folder / "http")),),
    )
    (folder / "envoy.json").write_text(json.dumps(bootstrap(loaded, topology)), encoding="utf-8")
    keys = {f"TOLLGATE_PROVIDER_KEY_{number}": "k" for number in range(9)}
    server = await asyncio.start_unix_server(answering.connection, folder / "http")
    async with (
        server,
        gate.serving(folder / "grpc"),
        running_envoy(folder / "envoy.json", port, keys),
    ):
        yield f"http://127.0.0.1:{port}", gate, answering


async def entry(gate: Gate) -> Any:
    """The access log's first entry."""
    for _ in range(200):
        if gate.entries:
            return gate.entries[0]
        await asyncio.sleep(0.05)
    raise AssertionError("Envoy logged nothing")


@pytest.mark.parametrize(
    "line", [b"x litellm: 5\r\n", b"x-tollgate-route: a\x00b\r\n"], ids=["name", "value"]
)
async def test_an_answer_that_envoy_does_not_take_over_http_is_logged_by_the_requests_name(
    tmp_path: Path, line: bytes
) -> None:
    """By which Tollgate finds what it holds: no metadata has come."""
    async with native(tmp_path, b"HTTP/1.1 200 \r\nx-tollgate-route: gpt-4o\r\n" + line) as (
        url,
        gate,
        answering,
    ):
        async with httpx.AsyncClient() as client:
            reply = await client.post(
                f"{url}/v1/chat/completions", json={"model": "gpt-4o"}, headers=bearer("sk-any")
            )
        assert reply.status_code == 503
        told = await entry(gate)
        assert [told.request.request_headers["x-tollgate-stream"]] == answering.names
        assert told.common_properties.time_to_last_upstream_tx_byte is None


async def test_an_answer_that_envoy_does_not_take_over_grpc_is_logged() -> None:
    """With what it holds, or by the request's name."""
    async with lab() as found, httpx.AsyncClient() as client:
        reply = await client.post(
            f"{found.url}/v1/x", json={}, headers={"test-do": "break", **bearer("sk-any")}
        )
        assert reply.status_code == 500
        (told,) = await found.entries("/v1/x")
        assert (
            told.request.request_headers["x-tollgate-stream"]
            == found.gate.checks[0]["x-tollgate-stream"]
        )
        assert told.common_properties.time_to_last_upstream_tx_byte is None


@pytest.mark.parametrize("mode", ["grpc", "native"])
async def test_a_call_that_reaches_nobody_gives_back_its_slot(tmp_path: Path, mode: str) -> None:
    """Nobody listens there: six calls in a row each get the only slot, and cost nothing."""
    async with gateway(tmp_path, CONFIG, "--mode", mode) as running:
        key = await running.key(max_parallel_requests=1, max_budget=1)
        body = {
            "model": "nowhere",
            "max_tokens": 100_000,
            "messages": [{"role": "user", "content": "hi"}],
        }
        for _ in range(6):
            reply = await running.client.post(
                f"{running.url}/v1/chat/completions", json=body, headers=bearer(key)
            )
            assert reply.status_code == 503, reply.text
        await running.settled()
        assert {each["usage"] for each in await running.records(api_key=key)} == {"none"}
        assert (await running.info(key))["spend"] == 0
