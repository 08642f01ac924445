"""A backup of a real store goes into an empty one."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
from tests.contract.test_survey import Heard
from tests.make import account_of, settlement
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.adapters.valkey.counters.counters import ValkeyCounters
from tollgate.adapters.valkey.counters.ledger import ValkeyLedger
from tollgate.adapters.valkey.entities.changes import follow
from tollgate.adapters.valkey.entities.registry import ValkeyRegistry
from tollgate.adapters.valkey.outbox.key_dumps import ValkeyKeys
from tollgate.app.backup_files import back_up_to, restore_from
from tollgate.core.entities import Team
from tollgate.core.errors import SettingsError
from tollgate.core.limits.accounts import Scope, ScopeKind
from tollgate.ports import LedgerQuery
from tollgate.reporting.backups import back_up, restore

FORMER = Path(__file__).with_name("formats") / "store-0.2.0.backup"
# When it was written, by its clock, and how long its lease was.
NOW_US, LEASE_US = 1_800_000_000_000_000, 10**15
KEY = account_of(Scope(ScopeKind.KEY, "k1"), rpm=10, tpm=1000, parallel=3, budget_nanousd=500)
USER = account_of(Scope(ScopeKind.USER, "u1"), budget_nanousd=10**9)


async def fill(store: Valkey) -> None:
    """Keys of each type that Tollgate has, one with an expiry, and one of somebody else."""
    await store.set("tollgate:{a}:counters:key:k", b"\x00\xff\n")
    await store.set("tollgate:{a}:counters:customer:c", b"1", px=3_600_000)
    await store.hset("tollgate:{entities}:key:k", mapping={"version": 3, "document": "{}"})  # type: ignore[misc]
    await store.zadd("tollgate:{entities}:all:key", {"k": 1})
    await store.sadd("tollgate:organizations", "a")  # type: ignore[misc]
    await store.xadd("tollgate:{a}:ledger", {"1": "{}"}, id="5-1")
    await store.set("tollgate:probe", "")
    await store.set("other", "theirs")


async def contents(store: Valkey) -> dict[bytes, bytes]:
    return {name: await store.dump(name) for name in await store.keys("*")}


async def test_what_is_backed_up_comes_back(store: Valkey) -> None:
    """Every type, with its expiry, and a stream with its positions; nothing of others."""
    await fill(store)
    before = await contents(store)
    file = io.BytesIO()
    assert await back_up(ValkeyKeys(store), file, "test") == 6
    await store.flushdb()
    lines = file.getvalue().splitlines(keepends=True)
    assert await restore(ValkeyKeys(store), lines, force=False) == 6
    del before[b"tollgate:probe"], before[b"other"]
    assert await contents(store) == before
    assert 3_500_000 < await store.pttl("tollgate:{a}:counters:customer:c") <= 3_600_000
    assert await store.pttl("tollgate:{a}:counters:key:k") == -1
    assert await store.xadd("tollgate:{a}:ledger", {"2": "{}"}, id="5-*") == b"5-2"


async def test_a_store_that_is_not_empty_is_refused(store: Valkey) -> None:
    """Unless it is forced: then nothing else is left of Tollgate."""
    await fill(store)
    file = io.BytesIO()
    await back_up(ValkeyKeys(store), file, "test")
    lines = file.getvalue().splitlines(keepends=True)
    await store.set("tollgate:{a}:counters:key:new", "1")
    with pytest.raises(SettingsError, match="--force"):
        await restore(ValkeyKeys(store), lines, force=False)
    assert await restore(ValkeyKeys(store), lines, force=True) == 6
    assert not await store.exists("tollgate:{a}:counters:key:new")
    assert await store.get("other") == b"theirs"


async def test_a_store_that_gateways_work_on_is_refused(store: Valkey, valkey_url: str) -> None:
    """Also by force, and nothing is changed; once they have stopped it is taken."""
    await fill(store)
    file = io.BytesIO()
    await back_up(ValkeyKeys(store), file, "test")
    lines = file.getvalue().splitlines(keepends=True)
    before = await contents(store)
    heard = Heard()
    following = asyncio.create_task(follow(valkey_url, heard))
    await asyncio.wait_for(heard.fresh.wait(), 10)
    with pytest.raises(SettingsError, match="gateway processes work on the store: stop"):
        await restore(ValkeyKeys(store), lines, force=True)
    assert await contents(store) == before
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    for _ in range(1_000):
        if not await ValkeyKeys(store).gateways():
            break
    assert await restore(ValkeyKeys(store), lines, force=True) == 6


async def test_a_cut_file_changes_nothing(store: Valkey) -> None:
    """It is read whole before the store is touched."""
    await fill(store)
    before = await contents(store)
    file = io.BytesIO()
    await back_up(ValkeyKeys(store), file, "test")
    lines = file.getvalue().splitlines(keepends=True)
    for bad in (lines[:-1], lines[:-2] + lines[-1:], [], [b"{}\n"], [*lines[:2], b'{"a":1}']):
        with pytest.raises(SettingsError):
            await restore(ValkeyKeys(store), bad, force=True)
    later = [lines[0].replace(b":1,", b":2,"), *lines[1:]]
    with pytest.raises(SettingsError, match="format 2"):
        await restore(ValkeyKeys(store), later, force=True)
    assert await contents(store) == before


async def test_a_state_folder_is_backed_up_and_restored(tmp_path: Path, store: Valkey) -> None:
    """The embedded store runs for the time that it takes; the file is its owner's alone."""
    await fill(store)
    plain = tmp_path / "plain"
    with plain.open("wb") as file:
        await back_up(ValkeyKeys(store), file, "test")
    state = tmp_path / "state"
    assert await restore_from(plain, None, state, force=False) == 6
    packed = tmp_path / "packed.gz"
    assert await back_up_to(packed, None, state) == 6
    assert packed.stat().st_mode & 0o077 == 0
    assert await restore_from(packed, None, tmp_path / "other", force=False) == 6
    with pytest.raises(SettingsError, match="holds keys"):
        await restore_from(packed, None, state, force=False)


async def test_a_store_of_0_2_0_goes_on(store: Valkey, pipe: Pipe) -> None:
    """Its backup is restored and converted: spend, a call in flight, an entity."""
    lines = FORMER.read_bytes().splitlines(keepends=True)
    await restore(ValkeyKeys(store), lines, force=False)
    later_us = NOW_US + LEASE_US + 1
    counters = ValkeyCounters(store, pipe, LEASE_US, 2 * LEASE_US, later_us)
    await counters.meet_store()
    for spend in await counters.spend("default", (USER, KEY)):
        assert (spend.total_nanousd, spend.held_nanousd) == (100, 120)
    (held,) = await counters.expired("default")
    assert await counters.settle(held, settlement(cost=7)) is not None
    for spend in await counters.spend("default", (USER, KEY)):
        assert (spend.total_nanousd, spend.held_nanousd) == (107, 0)
    ledger = await ValkeyLedger(store).page(LedgerQuery(), 10)
    assert [each.record.cost_nanousd for each in ledger.records] == [7]
    (team,) = await ValkeyRegistry(store).get(Team, ["t1"])
    assert team is not None
