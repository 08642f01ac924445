"""The Counters port in memory, over one Valkey, and over a cluster of three.

Each behaviour is written once and runs over all of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
from tests.fakes import FixedClock, MemoryCounters
from tests.many_servers import Cluster, cluster
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.cluster.of_store import counters_of
from tollgate.adapters.valkey.connection.client import connect
from tollgate.adapters.valkey.connection.opening import open_pipe
from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.adapters.valkey.counters.counters import ValkeyCounters
from tollgate.ports import Counters

LEASE_US = 60_000_000
LEDGER_US = 30 * 86_400_000_000


@dataclass
class Bench:
    """A store of counters and the clock that it goes by."""

    counters: Counters
    clock: FixedClock

    def advance(self, seconds: float) -> None:
        self.clock.us += round(seconds * 1_000_000)
        if isinstance(self.counters, ValkeyCounters):
            self.counters.now_us = self.clock.us


@pytest.fixture(scope="session")
def cluster_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of three primaries, for the whole run."""
    with cluster(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture(scope="session")
def cluster_url(cluster_servers: Cluster) -> str:
    """The URL of the cluster."""
    return cluster_servers.url


@pytest.fixture
async def cluster_pipe(cluster_url: str) -> AsyncIterator[Pipe]:
    """A pipe to an empty cluster."""
    pipe = open_pipe(cluster_url, timeout_s=5)
    await pipe.everywhere(b"FLUSHALL")
    yield pipe
    await pipe.aclose()


@pytest.fixture
async def cluster_client(cluster_url: str) -> AsyncIterator[Valkey]:
    """The library's client of the cluster."""
    client = connect(cluster_url, 5)
    yield client
    await client.aclose()


@pytest.fixture(params=["memory", "valkey", "cluster"])
def bench(request: pytest.FixtureRequest) -> Bench:
    clock = FixedClock()
    if request.param == "memory":
        return Bench(MemoryCounters(clock, LEASE_US), clock)
    if request.param == "valkey":
        client, pipe = (request.getfixturevalue(each) for each in ("store", "pipe"))
        return Bench(counters_of(client, pipe, LEASE_US, LEDGER_US, clock.us), clock)
    client, pipe = (request.getfixturevalue(each) for each in ("cluster_client", "cluster_pipe"))
    return Bench(counters_of(client, pipe, LEASE_US, LEDGER_US, clock.us), clock)
