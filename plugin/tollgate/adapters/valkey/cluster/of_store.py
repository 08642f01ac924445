"""Make what counts in a store, whether it is one server or a cluster."""

from __future__ import annotations

from valkey.asyncio import Valkey

from tollgate.adapters.valkey.cluster.cluster_counters import ClusterCounters
from tollgate.adapters.valkey.cluster.cluster_spend_book import ClusterSpendBook
from tollgate.adapters.valkey.connection.clock import StoreClock
from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.adapters.valkey.counters.counters import ValkeyCounters
from tollgate.adapters.valkey.counters.spend_book import ValkeySpendBook


def counters_of(
    client: Valkey,
    pipe: Pipe,
    lease_us: int,
    ledger_us: int,
    now_us: int | None = None,
    clock: StoreClock | None = None,
) -> ValkeyCounters:
    """Return the counters of the store that client and pipe lead to.

    `now_us`, `clock`: as ValkeyCounters takes them.
    """
    make = ClusterCounters if pipe.is_cluster else ValkeyCounters
    return make(client, pipe, lease_us, ledger_us, now_us, clock)


def spend_book_of(client: Valkey, pipe: Pipe) -> ValkeySpendBook:
    """Return the spend book of the store that client and pipe lead to."""
    return ClusterSpendBook(client) if pipe.is_cluster else ValkeySpendBook(client)
