"""Connect through the client library, and map its errors to ours, which happens only here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ssl import SSLContext
from typing import Any

from valkey.asyncio import BlockingConnectionPool, Valkey
from valkey.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from valkey.asyncio.retry import Retry
from valkey.backoff import NoBackoff
from valkey.exceptions import ValkeyError

from tollgate.adapters.valkey.connection.address import StoreAddress
from tollgate.core.errors import StoreUnavailable


class _TlsConnection(SSLConnection):
    """The library's connection, verifying the store as all our connections do."""

    def __init__(self, *, tls: SSLContext, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context.context = tls  # which the library would build from its own options


def connect(url: str, timeout_s: float, connections: int = 64) -> Valkey:
    """Return a client with a bounded pool.

    A command that takes longer than `timeout_s` fails. The library retries nothing: `reserve` is
    not idempotent, and a waiting caller needs an answer. Raises SettingsError.
    """
    address = StoreAddress.of(url)
    timeout_s = address.timeout_s or timeout_s
    kind, place = _place(address)
    pool = BlockingConnectionPool(
        connection_class=kind,
        **place,
        db=address.database,
        username=address.username,
        password=address.password,
        max_connections=connections,
        timeout=timeout_s,  # type: ignore[arg-type]  # fractions are as good
        socket_timeout=timeout_s,
        socket_connect_timeout=address.connect_timeout_s or timeout_s,
        retry=Retry(NoBackoff(), 0),
    )
    client: Valkey = Valkey.from_pool(pool)
    return client


def _place(address: StoreAddress) -> tuple[type[Any], Mapping[str, Any]]:
    """Return the library's class of connection, and its arguments."""
    if address.path:
        return UnixDomainSocketConnection, {"path": address.path}
    place = {"host": address.host, "port": address.port}
    if address.tls is None:
        return (Connection, place)
    return (_TlsConnection, {**place, "tls": address.tls})


@contextmanager
def store_errors() -> Iterator[None]:
    """Map errors of the store to StoreUnavailable."""
    try:
        yield
    except (ValkeyError, OSError, TimeoutError) as error:
        raise StoreUnavailable(f"{type(error).__name__}: {error}") from error
