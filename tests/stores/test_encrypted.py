"""Sentinels and a cluster whose servers speak TLS only, and let nobody in without a password."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from tests.contract.test_survey import all_connections_serve, refused, silent
from tests.make import KEY, account_of, reservation, settlement
from tests.many_servers import (
    WATCHER,
    Server,
    Tls,
    guarded_cluster,
    guarded_trio,
    wait_until,
    with_login,
)

from tollgate.adapters.valkey.cluster.of_store import counters_of
from tollgate.adapters.valkey.connection.client import connect
from tollgate.adapters.valkey.connection.cluster_pipe import slot_of_key
from tollgate.adapters.valkey.connection.opening import open_pipe
from tollgate.adapters.valkey.connection.survey import survey
from tollgate.adapters.valkey.keys import organization_keys
from tollgate.core.errors import StoreUnavailable


@dataclass
class Encrypted:
    """A store behind TLS: its URL, and a primary with the replica that follows it."""

    url: str
    primary: Server
    replica: Server


@pytest.fixture(params=["sentinel", "cluster"])
def encrypted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Encrypted]:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    tls = Tls(tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem")
    authority.cert_pem.write_to_path(tls.authority)
    issued.cert_chain_pems[0].write_to_path(tls.certificate)
    issued.private_key_pem.write_to_path(tls.key)
    verified = f"ssl_ca_certs={tls.authority}&socket_timeout=2"
    if request.param == "sentinel":
        with guarded_trio(tmp_path, tls) as trio:
            first, second = trio.servers
            yield Encrypted(f"{_secure(trio.url)}{WATCHER}&{verified}", first, second)
    else:
        with guarded_cluster(tmp_path, replicas=1, tls=tls) as found:
            primary = found.serving(slot_of_key(organization_keys("default")[0]))
            replica = found.servers[found.servers.index(primary) + found.primaries]
            yield Encrypted(f"{_secure(found.url)}?{verified}", primary, replica)


def _secure(url: str) -> str:
    return with_login(url.replace("valkey+", "valkeys+"))


async def test_every_connection_is_encrypted_and_counts_go_on_after_the_primary_died(
    encrypted: Encrypted,
) -> None:
    """The survey has nothing to say; of a limit of five, what was held before counts after."""
    assert await survey(encrypted.url, silent) == []
    await all_connections_serve(encrypted.url)
    pipe, client = open_pipe(encrypted.url, 2), connect(encrypted.url, 2)
    counters = counters_of(client, pipe, 60_000_000, 60_000_000)
    limited = account_of(KEY, rpm=5, budget_nanousd=100)
    call = reservation("call", limited, cost=60)
    assert (await counters.reserve(call)).refused is None
    written = encrypted.primary.info("replication")["master_repl_offset"]
    wait_until(
        lambda: encrypted.replica.info("replication")["slave_repl_offset"] >= written,
        "the replica is behind",
    )
    encrypted.primary.kill()
    settled = None
    for _ in range(400):
        try:
            settled = await counters.settle(call, settlement(3, 7))
        except StoreUnavailable:
            continue
        break
    assert settled is not None
    (spend,) = await counters.spend("default", (limited,))
    assert (spend.used_nanousd, spend.held_nanousd) == (7, 0)
    await pipe.aclose()
    await client.aclose()


async def test_what_is_wrong_with_tls_or_login_is_said(encrypted: Encrypted) -> None:
    """An unknown authority, and a wrong password, each in one sentence."""
    unverified, _, _ = encrypted.url.partition("ssl_ca_certs=")
    untrusted = await refused(unverified.rstrip("&?"))
    assert "cannot be trusted" in untrusted
    assert "certificate is not accepted" in untrusted
    assert "WRONGPASS" in await refused(encrypted.url.replace("p%40ss", "wrong"))
