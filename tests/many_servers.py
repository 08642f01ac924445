"""Stores of several servers: a cluster, and a primary that sentinels watch. All are real."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import valkey
from tests.store_programs import server_program

SLOTS = 16384
ACL_FOR_US = "~tollgate:* &tollgate:* +@all -@admin -@dangerous +info"
"""What docs/operations.md says that a user of ours needs; in a cluster also the map of slots."""
ADMIN: dict[str, Any] = {"password": "admin"}
PATIENCE_S = 30


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on."""
    with ExitStack() as taken:
        found = []
        for _ in range(count):
            one = taken.enter_context(socket.socket())
            one.bind(("127.0.0.1", 0))
            found.append(int(one.getsockname()[1]))
        return found


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Wait for a state of servers that they reach by talking to each other."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with suppress(valkey.ValkeyError, OSError):
            if true():
                return
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@dataclass
class Server:
    """One server, which a test may kill and start again."""

    folder: Path
    port: int
    options: tuple[str, ...]
    login: Mapping[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        arguments = [server_program(), *self.options]
        self.process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, cwd=self.folder)
        wait_until(lambda: bool(self.client().ping()), f"no server on port {self.port}")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def client(self) -> valkey.Valkey:
        """A client of this server alone."""
        return valkey.Valkey(port=self.port, socket_timeout=5, **self.login)

    def ask(self, *command: str | int) -> object:
        with self.client() as client:
            # By its words, so that no callback changes the answer.
            return client.execute_command(*command)

    def info(self, section: str) -> dict[str, str]:
        with self.client() as client:
            found: dict[str, str] = client.info(section)
            return found


def data_server(
    folder: Path, port: int, *options: str, login: Mapping[str, Any] | None = None
) -> Server:
    """A server that keeps what it is told on disk.

    `login`: of the tests' own client; with `ssl` the server speaks TLS only.
    """
    listening = ("--port", "0", "--tls-port") if login and "ssl" in login else ("--port",)
    common = (*listening, str(port), "--bind", "127.0.0.1", "--dir", str(folder))
    kept = ("--save", "", "--appendonly", "yes", "--repl-diskless-sync-delay", "0")
    return Server(folder, port, (*common, *kept, *options), login or {})


@dataclass
class Cluster:
    """Primaries, each with the same share of the slots, and their replicas behind them."""

    servers: list[Server]
    primaries: int

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.servers)
        return f"valkey+cluster://{hosts}"

    def serving(self, slot: int) -> Server:
        """The primary of a slot, as most of the servers say."""
        said = [each for each in self.servers if each.process is not None]
        for first, last, primary, *_ in said[0].ask("CLUSTER", "SLOTS"):  # type: ignore[attr-defined]
            if first <= slot <= last:
                return next(each for each in self.servers if each.port == primary[1])
        raise AssertionError(f"nobody serves {slot}")

    def wait_until_it_serves(self) -> None:
        for each in self.servers:
            if each.process is not None:
                wait_until(lambda at=each: _is_whole(at), f"{each.port} knows no whole cluster")  # type: ignore[misc]


def _is_whole(server: Server) -> bool:
    with server.client() as client:
        info = client.execute_command("CLUSTER INFO")
    return bool(info["cluster_state"] == "ok")


@contextmanager
def cluster(
    folder: Path,
    *options: str,
    primaries: int = 3,
    replicas: int = 0,
    login: Mapping[str, Any] | None = None,
) -> Iterator[Cluster]:
    """A cluster, whole."""
    count = primaries * (1 + replicas)
    ports = free_ports(2 * count)
    servers = [
        data_server(
            folder / f"node-{number}",
            ports[number],
            *("--cluster-enabled", "yes", "--cluster-port", str(ports[count + number])),
            *("--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0"),
            *options,
            login=login,
        )
        for number in range(count)
    ]
    try:
        for each in servers:
            each.start()
        _join(servers, ports[count:], primaries)
        found = Cluster(servers, primaries)
        found.wait_until_it_serves()
        yield found
    finally:
        for each in servers:
            each.kill()


def _join(servers: list[Server], bus_ports: list[int], primaries: int) -> None:
    edges = [SLOTS * number // primaries for number in range(primaries + 1)]
    for number, server in enumerate(servers):
        server.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        if number < primaries:
            server.ask("CLUSTER", "ADDSLOTSRANGE", edges[number], edges[number + 1] - 1)
        if number:
            place = ("127.0.0.1", servers[0].port, bus_ports[0])
            server.ask("CLUSTER", "MEET", *place)
    for server in servers:
        wait_until(
            lambda at=server: _known(at) == len(servers),  # type: ignore[misc]
            f"{server.port} does not know all nodes",
        )
    for number, server in enumerate(servers[primaries:]):
        primary = servers[number % primaries]
        identity = primary.ask("CLUSTER", "MYID")
        assert isinstance(identity, bytes)
        server.ask("CLUSTER", "REPLICATE", identity.decode())
    for number, server in enumerate(servers[primaries:]):
        wait_until(
            lambda at=server: at.info("replication")["master_link_status"] == "up",  # type: ignore[misc]
            f"the replica {number} has not caught up",
        )


def move(servers: Cluster, slot: int, to: Server, pause_s: float = 0.0) -> None:
    """Move a slot key by key, as `valkey-cli --cluster reshard` does."""
    source = servers.serving(slot)
    (source_id, target_id) = (_identity(each) for each in (source, to))
    to.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
    while names := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 1):
        assert isinstance(names, list)
        login = ("AUTH", to.login["password"]) if "password" in to.login else ()
        place = ("127.0.0.1", to.port, "", 0, 5000, *login, "KEYS")
        source.ask("MIGRATE", *place, *(each.decode() for each in names))
        time.sleep(pause_s)
    for each in (to, source, *servers.servers[: servers.primaries]):
        each.ask("CLUSTER", "SETSLOT", slot, "NODE", target_id)


def _identity(server: Server) -> str:
    found = server.ask("CLUSTER", "MYID")
    assert isinstance(found, bytes)
    return found.decode()


def _known(server: Server) -> int:
    with server.client() as client:
        nodes = client.execute_command("CLUSTER NODES")
    return sum("handshake" not in each["flags"] for each in nodes.values())


@dataclass
class Trio:
    """A primary and a replica, and three sentinels that watch them as `main`."""

    servers: list[Server]
    sentinels: list[Server]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels)
        return f"valkey+sentinel://{hosts}/main"

    @property
    def primary(self) -> Server:
        """The server that the first sentinel names."""
        _, port = self.sentinels[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")  # type: ignore[misc]
        return next(each for each in self.servers if each.port == int(port))


@contextmanager
def sentinel_trio(
    folder: Path,
    *options: str,
    sentinel_lines: str = "",
    login: Mapping[str, Any] | None = None,
) -> Iterator[Trio]:
    """Two servers and three sentinels, which agree on who is the primary.

    `login`: as `data_server`; the same for the sentinels. `sentinel_lines`: of each sentinel's
    configuration, which hold what it needs to log in.
    """
    ports = free_ports(5)
    listening = "port 0\ntls-port" if login and "ssl" in login else "port"
    servers = [data_server(folder / "server-0", ports[0], *options, login=login)]
    follow = ("--replicaof", "127.0.0.1", str(ports[0]))
    servers.append(data_server(folder / "server-1", ports[1], *options, *follow, login=login))
    sentinels = []
    for number, port in enumerate(ports[2:]):
        place = folder / f"sentinel-{number}"
        place.mkdir()
        file = place / "sentinel.conf"
        file.write_text(
            f"{listening} {port}\nbind 127.0.0.1\ndir {place}\n"
            f"sentinel monitor main 127.0.0.1 {ports[0]} 2\n"
            "sentinel down-after-milliseconds main 500\n"
            f"sentinel failover-timeout main 3000\n{sentinel_lines}"
        )
        sentinels.append(Server(place, port, (str(file), "--sentinel"), login or {}))
    try:
        for each in (*servers, *sentinels):
            each.start()
        for each in sentinels:
            wait_until(lambda at=each: _is_ready(at), f"the sentinel at {each.port} is alone")  # type: ignore[misc]
        yield Trio(servers, sentinels)
    finally:
        for each in (*sentinels, *servers):
            each.kill()


def _is_ready(sentinel: Server) -> bool:
    found = sentinel.ask("SENTINEL", "MASTER", "main")
    assert isinstance(found, dict | list)
    if isinstance(found, list):
        texts = [each.decode() for each in found]
        found = dict(zip(texts[::2], texts[1::2], strict=True))
    return int(found["num-other-sentinels"]) == 2 and int(found["num-slaves"]) == 1


@dataclass
class StoreUnderTest:
    """A store that a whole run of tests shares, and its servers."""

    url: str
    servers: Sequence[Server]

    def empty(self) -> None:
        """Remove everything from each primary."""
        for each in self.servers:
            with suppress(valkey.exceptions.ReadOnlyError), each.client() as client:
                client.flushall()


@contextmanager
def store_of_kind(kind: str, folder: Path) -> Iterator[StoreUnderTest]:
    """A `server` without a password, or servers whose user has the rights that we ask for:
    `sentinel`, `cluster`.
    """
    with ExitStack() as stack:
        if kind == "server":
            server = Server(folder, 0, ("--port", "0", "--unixsocket", "v.sock", "--save", ""))
            server.login = {"unix_socket_path": str(folder / "v.sock")}
            stack.callback(server.kill)
            server.start()
            yield StoreUnderTest(f"unix://{folder}/v.sock", [server])
        elif kind == "sentinel":
            trio = stack.enter_context(guarded_trio(folder))
            yield StoreUnderTest(with_login(trio.url) + WATCHER, trio.servers)
        else:
            found = stack.enter_context(guarded_cluster(folder))
            yield StoreUnderTest(with_login(found.url), found.servers)


def _our_user(*more: str) -> tuple[str, ...]:
    return (
        *("--requirepass", "admin", "--masterauth", "admin"),
        *("--user", "bob", "on", ">p@ss", *ACL_FOR_US.split(), *more),
    )


WATCHER = "?sentinel_username=watcher&sentinel_password=look"


def with_login(url: str) -> str:
    """The URL with the user whom servers with passwords let in, who has just the needed rights."""
    return url.replace("://", "://bob:p%40ss@", 1)


@dataclass(frozen=True)
class Tls:
    """Certificates for servers that speak nothing but TLS, and what verifies them."""

    certificate: Path
    key: Path
    authority: Path

    @property
    def settings(self) -> dict[str, str]:
        """The servers' settings; no certificate is asked of clients."""
        return {
            "tls-cert-file": str(self.certificate),
            "tls-key-file": str(self.key),
            "tls-ca-cert-file": str(self.authority),
            "tls-auth-clients": "no",
            "tls-replication": "yes",
        }

    @property
    def login(self) -> dict[str, Any]:
        return {**ADMIN, "ssl": True, "ssl_ca_certs": str(self.authority)}

    @property
    def options(self) -> tuple[str, ...]:
        return tuple(each for name, value in self.settings.items() for each in (f"--{name}", value))


@contextmanager
def guarded_trio(folder: Path, tls: Tls | None = None) -> Iterator[Trio]:
    """Servers and sentinels that let nobody in without a password."""
    lines = (
        "sentinel auth-pass main admin\n"
        "user default on >admin ~* &* +@all\n"
        "user watcher on >look -@all +auth +hello +sentinel|get-master-addr-by-name\n"
        "sentinel sentinel-pass admin\n"
    )
    options, login = _our_user(), ADMIN
    if tls is not None:
        lines += "".join(f"{name} {value}\n" for name, value in tls.settings.items())
        options, login = (*options, *tls.options), tls.login
    with sentinel_trio(folder, *options, sentinel_lines=lines, login=login) as found:
        yield found


@contextmanager
def guarded_cluster(
    folder: Path, *, replicas: int = 0, tls: Tls | None = None
) -> Iterator[Cluster]:
    """A cluster that lets nobody in without a password."""
    options, login = _our_user("+cluster|slots"), ADMIN
    if tls is not None:
        options = (*options, *tls.options, "--tls-cluster", "yes")
        login = tls.login
    with cluster(folder, *options, replicas=replicas, login=login) as found:
        yield found
