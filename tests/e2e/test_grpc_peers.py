"""`tollgate serve` before gRPC peers that are no Envoy: grpcio's client, over both transports, and
with TLS.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
import pytest_asyncio
import trustme
from grpc import Compression, StatusCode
from grpc.aio import AioRpcError, Channel
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from tests.e2e.gateway import CONFIG
from tests.e2e.test_workers import worker_pids
from tests.valkeys import valkey_server
from valkey.asyncio import Valkey

from tollgate.pb.ext_authz_pb2 import CheckRequest, CheckResponse

CHECK = "/envoy.service.auth.v3.Authorization/Check"
HEALTH = "/grpc.health.v1.Health"
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
MEGABYTE = 1024 * 1024


@dataclass
class Peer:
    """A served Tollgate with one worker, and a client of it."""

    channel: Channel
    process: subprocess.Popen[str]
    store: Path

    async def check(self, message: bytes, **options: Any) -> CheckResponse:
        answer = await self.channel.unary_unary(CHECK)(message, timeout=20, **options)
        return CheckResponse.FromString(answer)

    async def health(self, service: str = "") -> int:
        asked = HealthCheckRequest(service=service).SerializeToString()
        answer = await self.channel.unary_unary(f"{HEALTH}/Check")(asked, timeout=20)
        return HealthCheckResponse.FromString(answer).status


@pytest_asyncio.fixture(params=["own", "grpcio", "tls"])
async def peer(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Peer]:
    config = CONFIG.replace("workers: 2", "workers: 1")
    config += (
        "  serve_grpc: '127.0.0.1:0'\n  serve_native: '127.0.0.1:0'\n  serve_http: '127.0.0.1:0'\n"
    )
    credentials = None
    if request.param == "tls":
        ca = trustme.CA()
        issued, mine = ca.issue_cert("127.0.0.1"), ca.issue_cert("peer")
        issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
        issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
        ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        for name, file in (("certificate", "cert"), ("key", "key"), ("client_ca", "ca")):
            config += f"  serve_grpc_{name}: '{tmp_path}/{file}.pem'\n"
        credentials = grpc.ssl_channel_credentials(
            ca.cert_pem.bytes(), mine.private_key_pem.bytes(), mine.cert_chain_pems[0].bytes()
        )
    else:
        config += f"  grpc_server: {request.param}\n"
    (tmp_path / "file.yaml").write_text(config)
    with valkey_server(tmp_path / "store") as store:
        arguments = [
            "serve",
            "--config",
            str(tmp_path / "file.yaml"),
            "--redis-url",
            f"unix://{store}",
        ]
        process = subprocess.Popen(
            [sys.executable, "-m", "tollgate.commands.main", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        address = await asyncio.to_thread(served_at, process)
        options = [("grpc.max_send_message_length", -1)]
        if credentials is None:
            channel = grpc.aio.insecure_channel(address, options=options)
        else:
            channel = grpc.aio.secure_channel(address, credentials, options=options)
        async with channel:
            yield Peer(channel, process, store)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        print(await asyncio.to_thread(process.stdout.read))
        assert await asyncio.to_thread(process.wait, 30) == 0
        process.stdout.close()


def served_at(process: subprocess.Popen[str]) -> str:
    """Where gRPC is served, once it is."""
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="")
        if line.startswith("ready: grpc "):
            return line.split()[2].strip(",")
    raise AssertionError("it did not start")


def asked(body: bytes = b"{}") -> bytes:
    request = CheckRequest()
    http = request.attributes.request.http
    http.method, http.path, http.raw_body = "POST", "/v1/chat/completions", body
    http.headers["authorization"] = "Bearer sk-none"
    return request.SerializeToString()


def memory_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no such process")


async def refused(asking: Any) -> AioRpcError:
    with pytest.raises(AioRpcError) as failed:
        await asking
    return failed.value


async def test_a_peer_is_served_as_envoy_is(peer: Peer) -> None:
    """Answers, compression, errors in words, limits; and nothing of what is refused is kept."""
    for compression in (Compression.NoCompression, Compression.Gzip, Compression.Deflate):
        assert (
            await peer.check(asked(), compression=compression)
        ).denied_response.status.code == 401
    services = (
        "",
        "envoy.service.auth.v3.Authorization",
        "envoy.service.ext_proc.v3.ExternalProcessor",
    )
    assert {await peer.health(service) for service in services} == {SERVING}
    assert (await refused(peer.health("none"))).code() is StatusCode.NOT_FOUND

    unknown = await refused(
        peer.channel.unary_unary("/envoy.service.auth.v3.Authorization/Other")(b"")
    )
    assert (unknown.code(), bool(unknown.details())) == (StatusCode.UNIMPLEMENTED, True)
    call = peer.channel.stream_stream(CHECK)(timeout=20)
    await call.done_writing()
    silent = await refused(call.read())
    assert (silent.code(), bool(silent.details())) == (StatusCode.INTERNAL, True)

    (worker,) = worker_pids(peer.process.pid)
    before = memory_bytes(worker)
    for _ in range(3):
        long = await refused(peer.check(asked(b"x" * 100 * MEGABYTE)))
        assert long.code() is StatusCode.RESOURCE_EXHAUSTED
    assert memory_bytes(worker) - before < 60 * MEGABYTE
    assert (await peer.check(asked(b"x" * MEGABYTE))).denied_response.status.code == 401


async def test_health_is_red_while_the_store_fails_and_while_it_drains(peer: Peer) -> None:
    """Who asks is told, and who watches too."""
    watching = peer.channel.unary_stream(f"{HEALTH}/Watch")(
        HealthCheckRequest().SerializeToString()
    )

    async def told() -> int:
        return HealthCheckResponse.FromString(await asyncio.wait_for(watching.read(), 20)).status

    assert await told() == SERVING
    async with Valkey(unix_socket_path=str(peer.store)) as store:
        await store.client_pause(4_000, all=True)  # of which it is told without a call
        assert await told() == NOT_SERVING
        assert await peer.health() == NOT_SERVING
    assert await told() == SERVING
    (worker,) = worker_pids(peer.process.pid)
    os.kill(worker, signal.SIGTERM)
    assert await told() == NOT_SERVING
