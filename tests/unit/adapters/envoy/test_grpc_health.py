"""The health service over both transports, TLS, reflection, and which transport serves which
address.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
import trustme
from google.protobuf.descriptor_pool import DescriptorPool
from grpc import StatusCode
from grpc.aio import AioRpcError, Channel
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from tollgate.adapters.envoy.grpc import health as module
from tollgate.adapters.envoy.grpc import serving
from tollgate.adapters.envoy.grpc.call import Limits, Server
from tollgate.adapters.envoy.grpc.health import Health
from tollgate.adapters.envoy.grpc.library import LibraryServer
from tollgate.adapters.envoy.grpc.own import OwnServer
from tollgate.adapters.envoy.grpc.tls import TlsFiles
from tollgate.background import beside
from tollgate.core.errors import SettingsError

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
Made = Callable[..., Server]


class Ward:
    """A server that is well until a test says what ails it."""

    def __init__(self, folder: Path, make: Made) -> None:
        self.trouble = ""
        self.health = Health({"a.Service"}, lambda: self.trouble)
        self.server = make(self.health.methods, Limits())
        self.address = f"unix:{folder / 'h.sock'}"


@pytest.fixture(params=[OwnServer, LibraryServer])
async def ward(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Ward]:
    monkeypatch.setattr(module, "_LOOK_EVERY_S", 0.01)
    made = Ward(tmp_path, request.param)
    await made.server.start(made.address)
    async with beside(made.health.keep_telling()):
        yield made
    await made.server.stop(0)


@pytest.fixture
async def channel(ward: Ward) -> AsyncIterator[Channel]:
    async with grpc.aio.insecure_channel(ward.address) as made:
        yield made


def asked(service: str) -> bytes:
    return HealthCheckRequest(service=service).SerializeToString()


async def check(channel: Channel, service: str = "") -> int:
    answer = await channel.unary_unary("/grpc.health.v1.Health/Check")(asked(service))
    return HealthCheckResponse.FromString(answer).status


async def told(watching: Any) -> int:
    answer = await asyncio.wait_for(watching.read(), 10)
    return HealthCheckResponse.FromString(answer).status


@pytest.mark.parametrize("service", ["", "a.Service", "grpc.health.v1.Health"])
async def test_each_service_serves_while_the_worker_is_well(
    ward: Ward, channel: Channel, service: str
) -> None:
    """And none while its store fails."""
    assert await check(channel, service) == SERVING
    ward.trouble = "OOM command not allowed"
    assert await check(channel, service) == NOT_SERVING
    ward.trouble = ""
    assert await check(channel, service) == SERVING


@pytest.mark.parametrize(
    ("body", "code"),
    [(asked("none"), StatusCode.NOT_FOUND), (b"\xff", StatusCode.INVALID_ARGUMENT)],
)
async def test_what_is_not_known_or_not_read_is_refused(
    channel: Channel, body: bytes, code: StatusCode
) -> None:
    with pytest.raises(AioRpcError) as failed:
        await channel.unary_unary("/grpc.health.v1.Health/Check")(body)
    assert failed.value.code() is code
    assert failed.value.details()


async def test_who_watches_is_told_of_each_change(ward: Ward, channel: Channel) -> None:
    """At first how it is, then when it is otherwise, and last that it drains."""
    watching = channel.unary_stream("/grpc.health.v1.Health/Watch")(asked("a.Service"))
    assert await told(watching) == SERVING
    ward.trouble = "LOADING"
    assert await told(watching) == NOT_SERVING
    ward.trouble = ""
    assert await told(watching) == SERVING
    ward.health.drain()
    assert await told(watching) == NOT_SERVING
    assert await watching.code() is StatusCode.UNAVAILABLE
    assert await check(channel) == NOT_SERVING
    late = channel.unary_stream("/grpc.health.v1.Health/Watch")(asked(""))
    assert await told(late) == NOT_SERVING


async def test_a_service_that_is_not_known_may_be_watched(channel: Channel) -> None:
    """The protocol has it so."""
    watching = channel.unary_stream("/grpc.health.v1.Health/Watch")(asked("none"))
    assert await told(watching) == HealthCheckResponse.SERVICE_UNKNOWN
    watching.cancel()


async def test_who_has_left_is_watched_for_no_longer(ward: Ward, channel: Channel) -> None:
    """However many come and go."""
    for _ in range(5):
        watching = channel.unary_stream("/grpc.health.v1.Health/Watch")(asked(""))
        assert await told(watching) == SERVING
        watching.cancel()
    for _ in range(500):
        if not ward.health._watchers:
            break
        await asyncio.sleep(0.01)
    assert not ward.health._watchers


@pytest.mark.parametrize(
    ("transport", "address", "own"),
    [
        ("auto", "unix:/run/t.sock", True),
        ("auto", "127.0.0.1:4001", True),
        ("auto", "[::1]:4001", True),
        ("auto", "localhost:4001", True),
        ("auto", "0.0.0.0:4001", False),
        ("auto", "[::]:4001", False),
        ("auto", "10.1.2.3:4001", False),
        ("auto", "tollgate.internal:4001", False),
        ("own", "0.0.0.0:4001", True),
        ("grpcio", "unix:/run/t.sock", False),
    ],
)
async def test_what_only_this_host_can_reach_is_served_by_our_own(
    transport: serving.Transport, address: str, own: bool
) -> None:
    """Unless the settings say otherwise."""
    made = serving.server(transport, address, {}, Limits(), None)
    assert type(made) is (OwnServer if own else LibraryServer)


class Pki:
    """An authority, and files of a server's."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.files = TlsFiles(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")
        self.renew()
        self.ca.cert_pem.write_to_path(str(folder / "ca.pem"))

    def renew(self) -> None:
        """A new certificate of the server's."""
        issued = self.ca.issue_cert("localhost")
        issued.private_key_pem.write_to_path(str(self.files.key))
        issued.cert_chain_pems[0].write_to_path(str(self.files.certificate))

    def credentials(self, *, shown: bool = True) -> grpc.ChannelCredentials:
        """A client's, with or without a certificate of its own."""
        mine = self.ca.issue_cert("client")
        pair = (
            (mine.private_key_pem.bytes(), mine.cert_chain_pems[0].bytes())
            if shown
            else (None, None)
        )
        return grpc.ssl_channel_credentials(self.ca.cert_pem.bytes(), *pair)


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


@pytest.fixture
def port(unused_tcp_port: int) -> int:
    return unused_tcp_port


async def secured(port: int, credentials: grpc.ChannelCredentials) -> int:
    async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
        return await check(channel)


@pytest.mark.parametrize("mutual", [False, True])
async def test_tls_and_certificates_of_clients(pki: Pki, port: int, mutual: bool) -> None:
    """With authorities of clients, who shows no certificate of theirs is not served."""
    files = pki.files if mutual else TlsFiles(pki.files.certificate, pki.files.key)
    server = serving.server("auto", f"127.0.0.1:{port}", Health((), str).methods, Limits(), files)
    await server.start(f"127.0.0.1:{port}")
    try:
        assert await secured(port, pki.credentials()) == SERVING
        if mutual:
            with pytest.raises(AioRpcError):
                await secured(port, pki.credentials(shown=False))
        else:
            assert await secured(port, pki.credentials(shown=False)) == SERVING
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            with pytest.raises(AioRpcError):
                await check(channel)
    finally:
        await server.stop(0)


async def test_a_renewed_certificate_is_served_without_restart(
    pki: Pki, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    """And one that cannot be read is said, and leaves the one before in place."""
    server = LibraryServer(Health((), str).methods, Limits(), pki.files)
    await server.start(f"127.0.0.1:{port}")
    try:
        assert await secured(port, pki.credentials()) == SERVING
        pki.ca = trustme.CA()
        pki.ca.cert_pem.write_to_path(str(pki.files.client_ca))
        pki.renew()
        assert await secured(port, pki.credentials()) == SERVING
        pki.files.key.unlink()
        assert await secured(port, pki.credentials()) == SERVING
        assert "the certificate stays as it was: cannot read" in caplog.text
    finally:
        await server.stop(0)


async def test_files_that_are_not_there_are_named(pki: Pki, port: int) -> None:
    pki.files.key.unlink()
    with pytest.raises(SettingsError, match=r"cannot read .*key\.pem: No such file"):
        await LibraryServer({}, Limits(), pki.files).start(f"127.0.0.1:{port}")


async def test_reflection_lists_the_services(tmp_path: Path) -> None:
    """As grpcurl asks for them."""
    server = LibraryServer(Health((), str).methods, Limits())
    await server.start(f"unix:{tmp_path}/r.sock")

    def services() -> list[str]:
        with grpc.insecure_channel(f"unix:{tmp_path}/r.sock") as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            found = sorted(database.get_services())
            described = DescriptorPool(database).FindServiceByName("grpc.health.v1.Health")
            return [*found, *sorted(method.name for method in described.methods)]

    try:
        assert await asyncio.to_thread(services) == [
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
            "Check",
            "List",
            "Watch",
        ]
    finally:
        await server.stop(0)
