"""TLS on the gateway's own port, and certificates of clients."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import httpx
import pytest
import trustme
from tests.e2e.gateway import CONFIG, MASTER, bearer, gateway

BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}


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


async def test_a_client_without_a_certificate_is_not_served_where_one_is_asked_for(
    tmp_path: Path,
) -> None:
    """One of the authorities' is."""
    authority = trustme.CA()
    async with gateway(tmp_path, with_tls(tmp_path, authority, clients=True)) as tollgate:
        assert await call(tollgate.url, trusting(authority, known=True)) == 200
        with pytest.raises(httpx.HTTPError):
            await call(tollgate.url, trusting(authority))
