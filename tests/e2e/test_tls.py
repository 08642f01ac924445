"""TLS on the gateway's own port, and certificates of clients."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path

import httpx
import pytest
import trustme
from tests.e2e.gateway import CONFIG, MASTER, bearer, gateway

BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}

# TLS tells of a missing certificate when the client reads: httpx does not wrap that error.
NOT_SERVED = (httpx.HTTPError, ssl.SSLError)


def with_tls(folder: Path, authority: trustme.CA, *, clients: bool) -> str:
    """A configuration whose gateway shows a certificate, and may ask clients for theirs."""
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    files = {"certificate": folder / "chain.pem", "key": folder / "key.pem"}
    files["key"].write_bytes(certificate.private_key_pem.bytes())
    files["certificate"].write_bytes(b"".join(each.bytes() for each in certificate.cert_chain_pems))
    if clients:
        files["client_ca"] = folder / "clients.pem"
        files["client_ca"].write_bytes(authority.cert_pem.bytes())
    return f"{CONFIG}  tls: {json.dumps({name: str(path) for name, path in files.items()})}\n"


def trusting(authority: trustme.CA, *, known: bool = False) -> ssl.SSLContext:
    """What a client trusts; `known`: it has a certificate to show."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if known:
        authority.issue_cert("client@example.org").configure_cert(context)
    return context


async def call(url: str, context: ssl.SSLContext) -> int:
    async with httpx.AsyncClient(verify=context, timeout=30) as client:
        made = await client.post(url + "/key/generate", json={}, headers=bearer(MASTER))
        reply = await client.post(
            url + "/v1/chat/completions", json=BODY, headers=bearer(made.json()["key"])
        )
        return reply.status_code


@pytest.mark.parametrize("mode", ["grpc", "native"])
async def test_clients_call_over_tls(tmp_path: Path, mode: str) -> None:
    """The gateway says so where it says that it is ready; without TLS nobody is served."""
    authority = trustme.CA()
    config = with_tls(tmp_path, authority, clients=False)
    async with gateway(tmp_path, config, "--mode", mode) as tollgate:
        assert tollgate.url.startswith("https://")
        assert await call(tollgate.url, trusting(authority)) == 200
        with pytest.raises(httpx.HTTPError):
            await tollgate.client.get(tollgate.url.replace("https:", "http:") + "/v1/models")


async def certificate_of(url: str, context: ssl.SSLContext) -> bytes:
    """The certificate that a new connection is shown."""
    host, _, port = url.rpartition("//")[2].rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname=host)
    shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return shown


async def test_renewed_certificates_are_taken_in_without_a_restart(tmp_path: Path) -> None:
    """As Kubernetes and certbot replace them: a link beside the files, which are links themselves.
    Clients' authorities too.
    """
    first, second = trustme.CA(), trustme.CA()

    def renew(name: str, authority: trustme.CA) -> None:
        (tmp_path / name).mkdir()
        with_tls(tmp_path / name, authority, clients=True)
        (tmp_path / "new").symlink_to(name)
        (tmp_path / "new").rename(tmp_path / "..data")

    renew("one", first)
    config = with_tls(tmp_path, first, clients=True)
    for each in ("chain.pem", "key.pem", "clients.pem"):
        (tmp_path / each).unlink()
        (tmp_path / each).symlink_to(f"..data/{each}")
    async with gateway(tmp_path, config) as tollgate:
        before = await certificate_of(tollgate.url, trusting(first, known=True))
        assert await call(tollgate.url, trusting(first, known=True)) == 200
        renew("two", second)
        for _ in range(100):
            try:
                if await call(tollgate.url, trusting(second, known=True)) == 200:
                    break
            except NOT_SERVED:
                await asyncio.sleep(0.05)
        assert await certificate_of(tollgate.url, trusting(second, known=True)) != before
        with pytest.raises(NOT_SERVED):
            await call(tollgate.url, trusting(first, known=True))


async def test_a_client_without_a_certificate_is_not_served_where_one_is_asked_for(
    tmp_path: Path,
) -> None:
    """One of the authorities' is."""
    authority = trustme.CA()
    async with gateway(tmp_path, with_tls(tmp_path, authority, clients=True)) as tollgate:
        assert await call(tollgate.url, trusting(authority, known=True)) == 200
        with pytest.raises(NOT_SERVED):
            await call(tollgate.url, trusting(authority))
