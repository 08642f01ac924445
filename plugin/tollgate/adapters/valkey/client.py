"""The connection to the store, and the one place where the client library's errors become ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from tollgate.core.errors import StoreUnavailable


def connect(url: str, timeout_s: float, connections: int = 64) -> Redis:
    """A client of a bounded pool. A command that takes longer than `timeout_s` fails; nothing is tried twice behind our back:
    `reserve` is not idempotent, and a caller that waits is better told."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis(connection_pool=pool)


@contextmanager
def store_errors() -> Iterator[None]:
    """Map what can go wrong with the store to StoreUnavailable."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailable(f"{type(error).__name__}: {error}") from error
