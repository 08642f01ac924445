"""A cluster whose slots move and whose primaries are killed, while calls are decided."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.make import KEY, account_of, reservation, settlement
from tests.many_servers import Cluster, guarded_cluster, move, wait_until, with_login
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.cluster.of_store import counters_of
from tollgate.adapters.valkey.connection.client import connect
from tollgate.adapters.valkey.connection.cluster_pipe import slot_of_key
from tollgate.adapters.valkey.connection.opening import open_pipe
from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.adapters.valkey.connection.survey import survey
from tollgate.adapters.valkey.keys import guest_keys, organization_keys
from tollgate.core.calls.records import request_id
from tollgate.core.calls.reservation import Reservation
from tollgate.core.errors import SettingsError, StoreUnavailable
from tollgate.core.limits.accounts import EVERYWHERE, Scope, ScopeKind
from tollgate.ports import Counters

DAY_US = 86_400_000_000
PROXY = Scope(ScopeKind.PROXY, "proxy")
OWN_SLOT = slot_of_key(organization_keys("default")[0])
SHARED_SLOT = slot_of_key(guest_keys(EVERYWHERE)[0])


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Cluster]:
    with guarded_cluster(tmp_path, replicas=1) as found:
        yield found


@pytest.fixture
async def store(servers: Cluster) -> AsyncIterator[tuple[Valkey, Pipe]]:
    url = with_login(servers.url)
    client, pipe = connect(url, 5), open_pipe(url, 5)
    yield client, pipe
    await pipe.aclose()
    await client.aclose()


@pytest.fixture
def counters(store: tuple[Valkey, Pipe]) -> Counters:
    return counters_of(*store, lease_us=60_000_000, ledger_us=DAY_US)


def call(number: int, limit: int) -> Reservation:
    """A call that a key and the whole proxy limit, in two slots."""
    accounts = tuple(
        account_of(scope, parallel=limit, budget_nanousd=10**9) for scope in (PROXY, KEY)
    )
    return reservation(request_id(time.time_ns() // 1000, number), *accounts)


async def flood(counters: Counters, count: int, limit: int) -> list[Reservation]:
    """Ask for many calls, eight at a time, and return those that were admitted."""
    numbers, admitted = iter(range(count)), []

    async def ask() -> None:
        for number in numbers:
            one = call(number, limit)
            if (await counters.reserve(one)).refused is None:
                admitted.append(one)

    await asyncio.gather(*(ask() for _ in range(8)))
    return admitted


async def test_slots_that_move_under_load_change_no_decision(
    servers: Cluster, counters: Counters
) -> None:
    """Back and forth, key by key: exactly the limit passes, and each call is charged once."""
    limit = 150
    primaries = servers.servers[: servers.primaries]
    flooding = asyncio.create_task(flood(counters, 1500, limit))
    for turn in range(6):
        slot = (OWN_SLOT, SHARED_SLOT)[turn % 2]
        source = servers.serving(slot)
        target = primaries[(primaries.index(source) + 1) % len(primaries)]
        await asyncio.to_thread(move, servers, slot, target, 0.01)
    admitted = await flooding
    assert len(admitted) == limit
    settling = asyncio.create_task(
        counters.settle_all([(each, settlement(3, 7)) for each in admitted])
    )
    await asyncio.to_thread(move, servers, OWN_SLOT, primaries[0], 0.01)
    assert await settling == [True] * limit
    accounts = admitted[0].accounts
    for spend in await counters.spend("default", accounts):
        assert (spend.used_nanousd, spend.held_nanousd) == (7 * limit, 0)
    for balance in (await counters.peek("default", accounts)).balances:
        assert balance.used[0] == 0


@pytest.mark.parametrize("slot", [OWN_SLOT, SHARED_SLOT])
async def test_after_a_primary_was_killed_its_replica_goes_on_with_its_counts(
    servers: Cluster, counters: Counters, slot: int
) -> None:
    """What was replicated counts: of a limit of six, three more pass, and none beside them."""
    for number in range(3):
        assert (await counters.reserve(call(number, 6))).refused is None
    killed = servers.serving(slot)
    offset = killed.info("replication")["master_repl_offset"]
    replica = servers.servers[servers.servers.index(killed) + servers.primaries]
    wait_until(lambda: replica.info("replication")["slave_repl_offset"] >= offset, "it is behind")
    killed.kill()
    passed = 0
    for number in range(3, 300):
        try:
            passed += (await counters.reserve(call(number, 6))).refused is None
        except StoreUnavailable:
            continue
        if passed == 3:
            break
    assert passed == 3
    assert (await counters.reserve(call(300, 6))).refused is not None


async def test_a_user_with_the_rights_that_are_documented_passes_the_survey(
    servers: Cluster,
) -> None:
    """And what is missing otherwise is said."""
    said: list[str] = []
    assert await survey(with_login(servers.url), said.append) == []
    assert said == []
    for each in servers.servers:
        each.ask("ACL", "SETUSER", "bob", "-cluster|slots")
    with pytest.raises(SettingsError) as fault:
        await survey(with_login(servers.url), said.append)
    assert "NOPERM" in str(fault.value)
    assert "\n" not in str(fault.value)


async def test_a_slot_that_nobody_serves_is_waited_for_and_named(servers: Cluster) -> None:
    first = servers.servers[0]
    for each in servers.servers[: servers.primaries]:
        each.ask("CLUSTER", "DELSLOTSRANGE", 100, 199)
    said: asyncio.Queue[str] = asyncio.Queue()
    surveying = asyncio.create_task(survey(with_login(servers.url), said.put_nowait))
    told = await asyncio.wait_for(said.get(), 20)
    assert "no node of the cluster serves the slots 100-199" in told
    first.ask("CLUSTER", "ADDSLOTSRANGE", 100, 199)
    assert await asyncio.wait_for(surveying, 20) == []
