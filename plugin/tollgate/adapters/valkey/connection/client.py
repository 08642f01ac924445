"""Connect through the client library, and map its errors to ours, which happens only here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ssl import SSLContext
from typing import Any, cast

from valkey.asyncio import BlockingConnectionPool, Valkey
from valkey.asyncio.cluster import ClusterNode, ValkeyCluster
from valkey.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from valkey.asyncio.retry import Retry
from valkey.backoff import NoBackoff
from valkey.exceptions import ConnectionError as LostConnection
from valkey.exceptions import ReadOnlyError, ValkeyError

from tollgate.adapters.valkey.connection.address import StoreAddress, StoreKind
from tollgate.adapters.valkey.connection.primary import Sentinels
from tollgate.core.errors import StoreUnavailable


class _TlsConnection(SSLConnection):
    """The library's connection, verifying the store as all our connections do."""

    def __init__(self, *, tls: SSLContext, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context.context = tls  # which the library would build from its own options


class _FollowingConnection(Connection):
    """The library's connection, to the primary that sentinels name when it connects."""

    def __init__(self, *, sentinels: Sentinels, **options: Any) -> None:
        super().__init__(**options)
        self._sentinels = sentinels

    async def connect(self) -> None:
        """Connect, or make sure that this is the primary still. The pool asks before each use."""
        if self.is_connected and await self._sentinels.moved_from(self.host, self.port):
            await self.disconnect()
        await super().connect()  # type: ignore[no-untyped-call]

    async def _connect(self) -> None:
        primary = await self._sentinels.locate()
        self.host, self.port = primary.host, primary.port
        await super()._connect()  # type: ignore[no-untyped-call]

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*arguments, **options)
        except ReadOnlyError as error:
            await self.disconnect()
            raise LostConnection("the server is no primary any more") from error


class _FollowingTlsConnection(_FollowingConnection, _TlsConnection):
    """The same, with TLS."""


def connect(url: str, timeout_s: float, connections: int = 64) -> Valkey:
    """Return a client with a bounded pool, in a cluster with one for each node.

    A command that takes longer than `timeout_s` fails. The library retries nothing: `reserve` is
    not idempotent, and a waiting caller needs an answer. Raises SettingsError.
    """
    address = StoreAddress.of(url)
    timeout_s = address.timeout_s or timeout_s
    kind, place = _place(address, timeout_s)
    options: dict[str, Any] = {
        "username": address.username,
        "password": address.password,
        "max_connections": connections,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": address.connect_timeout_s or timeout_s,
        "retry": Retry(NoBackoff(), 0),
    }
    if address.kind is StoreKind.CLUSTER:
        # It has all commands that are used here.
        return cast("Valkey", _Cluster(address, options, kind, place))
    pool = BlockingConnectionPool(
        connection_class=kind,
        **place,
        **options,
        db=address.database,
        timeout=timeout_s,  # type: ignore[arg-type]  # fractions are as good
    )
    client: Valkey = Valkey.from_pool(pool)
    return client


class _Cluster(ValkeyCluster):
    """The library's client of a cluster, with our connections."""

    def __init__(
        self,
        address: StoreAddress,
        options: Mapping[str, Any],
        kind: type[Connection],
        place: Mapping[str, Any],
    ) -> None:
        seeds = [ClusterNode(host, port) for host, port in address.seeds]
        super().__init__(startup_nodes=seeds, connection_error_retry_attempts=0, **options)
        own = {"connection_class": kind, **place}
        self.connection_kwargs.update(own)
        for node in self.nodes_manager.startup_nodes.values():
            node.connection_class = kind
            node.connection_kwargs.update(place)


def _place(address: StoreAddress, timeout_s: float) -> tuple[type[Any], Mapping[str, Any]]:
    """Return the library's class of connection, and its arguments."""
    if address.path:
        return UnixDomainSocketConnection, {"path": address.path}
    tls = {} if address.tls is None else {"tls": address.tls}
    if address.kind is StoreKind.SENTINEL:
        following = _FollowingTlsConnection if tls else _FollowingConnection
        return following, {"sentinels": Sentinels(address, timeout_s), **tls}
    kind = _TlsConnection if tls else Connection
    if address.kind is StoreKind.CLUSTER:
        return kind, tls
    return kind, {"host": address.host, "port": address.port, **tls}


@contextmanager
def store_errors() -> Iterator[None]:
    """Map errors of the store to StoreUnavailable."""
    try:
        yield
    except (ValkeyError, OSError, TimeoutError) as error:
        raise StoreUnavailable(f"{type(error).__name__}: {error}") from error
