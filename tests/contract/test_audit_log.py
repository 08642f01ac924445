"""What every audit log does: memory and a real Valkey."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import pytest
from tests.make import limit_set
from tests.unit.memory_registry import MemoryAuditLog, MemoryRegistry
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.entities import registry as registry_module
from tollgate.adapters.valkey.entities.audit_stream import ValkeyAuditLog
from tollgate.adapters.valkey.entities.registry import ValkeyRegistry
from tollgate.core.audit import Action, Change
from tollgate.core.entities import Key, Member, Team, User
from tollgate.core.errors import BadRequest, Conflict
from tollgate.ports import Registry, Stored, Write
from tollgate.ports.audit_ports import AuditedAt, AuditLog, AuditQuery

EVERYTHING = AuditQuery()
MANY = 100_000


@dataclass
class Audited:
    """A registry, and the log of its changes."""

    registry: Registry
    log: AuditLog

    async def changes(self, query: AuditQuery = EVERYTHING) -> list[Change]:
        """All of them, the newest first."""
        return [each.entry.change for each in (await self.log.page(query, 100)).entries]


@pytest.fixture(params=["memory", "valkey"])
async def audited(request: pytest.FixtureRequest, store: Valkey) -> Audited:
    """Each implementation of the ports."""
    if request.param == "memory":
        memory = MemoryRegistry()
        return Audited(memory, MemoryAuditLog(memory))
    return Audited(ValkeyRegistry(store), ValkeyAuditLog(store))


async def stored(registry: Registry, identity: str) -> Stored[User]:
    (found,) = await registry.get(User, [identity])
    assert found is not None
    return found


async def test_a_change_is_told_with_the_fields_that_differ(audited: Audited) -> None:
    """Made, changed, removed; by whom."""
    alice = audited.registry.acting_as("alice")
    await alice.write(Write(None, User("u", alias="Ulla", created_us=1)))
    before = await stored(alice, "u")
    await audited.registry.acting_as("bob").write(
        Write(before, replace(before.entity, blocked=True, models=("m",), updated_us=2))
    )
    await audited.registry.write(Write(await stored(alice, "u"), None))
    page = await audited.log.page(EVERYTHING, 10)
    assert [each.entry.by for each in page.entries] == ["", "bob", "alice"]
    assert await audited.changes() == [
        Change(
            Action.DELETE,
            "user",
            "u",
            "Ulla",
            {"id": "u", "alias": "Ulla", "blocked": True, "models": ["m"]},
        ),
        Change(
            Action.CHANGE,
            "user",
            "u",
            "Ulla",
            {"blocked": None, "models": None},
            {"blocked": True, "models": ["m"]},
        ),
        Change(Action.CREATE, "user", "u", "Ulla", {}, {"id": "u", "alias": "Ulla"}),
    ]


async def test_a_change_that_does_not_happen_is_not_told(audited: Audited) -> None:
    """Conflict: nothing was changed."""
    await audited.registry.write(Write(None, User("u")))
    with pytest.raises(Conflict):
        await audited.registry.write(Write(None, Team("t")), Write(None, User("u")))
    assert [each.id for each in await audited.changes()] == ["u"]


async def test_a_key_with_a_new_secret_is_one_change(audited: Audited) -> None:
    """Its document moves to another hash; the key is the same."""
    old = Key("h1", "sk-...1", alias="laptop")
    await audited.registry.write(Write(None, old))
    (before,) = await audited.registry.get(Key, ["h1"])
    assert before is not None
    new = replace(old, hash="h2", name="sk-...2", first_hash="h1")
    await audited.registry.write(Write(before, None), Write(None, new))
    change = (await audited.changes())[0]
    assert (change.action, change.id, change.name) == (Action.CHANGE, "h1", "laptop")
    assert change.before == {"hash": "h1", "name": "sk-...1", "first_hash": None}


async def test_limits_are_told_as_a_whole(audited: Audited) -> None:
    """Before and after."""
    team = Team("t", limits=limit_set(max_budget_nanousd=5))
    await audited.registry.write(Write(None, team))
    (before,) = await audited.registry.get(Team, ["t"])
    assert before is not None
    await audited.registry.write(Write(before, replace(team, limits=limit_set(rpm=2))))
    change = (await audited.changes())[0]
    assert change.before["limits"]["max_budget_nanousd"] == 5
    assert change.after["limits"]["max_budget_nanousd"] is None


async def test_what_is_no_entitys_document_is_noted(audited: Audited) -> None:
    """Such as spend that somebody corrected."""
    change = Change(Action.SPEND, "key", "h", before={"spend_nanousd": 5}, after={})
    await audited.registry.acting_as("alice").note(change)
    page = await audited.log.page(EVERYTHING, 1)
    assert [(each.entry.by, each.entry.change) for each in page.entries] == [("alice", change)]


async def test_entries_are_found_by_kind_and_id_in_parts(audited: Audited) -> None:
    """Each once, the newest first, and no cursor after the last."""
    for number in range(5):
        await audited.registry.write(Write(None, User(f"u{number}")))
        await audited.registry.write(Write(None, Member("t", f"u{number}")))
    assert len(await audited.changes(AuditQuery("user"))) == 5
    assert [each.id for each in await audited.changes(AuditQuery("member", "t/u3"))] == ["t/u3"]
    found, cursor = [], None
    while True:
        page = await audited.log.page(AuditQuery("user"), 2, cursor)
        found += [each.entry.change.id for each in page.entries]
        cursor = page.cursor
        if cursor is None:
            break
    assert found == ["u4", "u3", "u2", "u1", "u0"]


async def test_entries_are_found_by_when_they_were_written(audited: Audited) -> None:
    """Both ends are included; before the first and after the last there is nothing."""
    entries: tuple[AuditedAt, ...] = ()
    while len({each.at_us for each in entries}) < 3:
        await audited.registry.write(Write(None, User(f"u{len(entries)}")))
        entries = (await audited.log.page(EVERYTHING, MANY)).entries
    times = sorted({each.at_us for each in entries})
    bounds = [None, -1, *(each + more for each in times for more in (-1, 0, 1))]
    for since_us, until_us in product(bounds, bounds):
        query = AuditQuery(since_us=since_us, until_us=until_us)
        found = (await audited.log.page(query, MANY)).entries
        expected = [
            each
            for each in entries
            if (since_us is None or since_us <= each.at_us)
            and (until_us is None or each.at_us <= until_us)
        ]
        assert list(found) == expected


async def test_parts_of_a_time_follow_each_other(audited: Audited) -> None:
    """Each entry once; what was written after it does not come."""
    for number in range(4):
        await audited.registry.write(Write(None, User(f"u{number}")))
    until_us = (await audited.log.page(EVERYTHING, 1)).entries[0].at_us
    query = AuditQuery(until_us=until_us)
    first = await audited.log.page(query, 3)
    second = await audited.log.page(query, 3, first.cursor)
    names = [each.entry.change.id for each in (*first.entries, *second.entries)]
    assert names == ["u3", "u2", "u1", "u0"]


async def test_a_filter_is_for_the_kind_and_the_id_alone(audited: Audited) -> None:
    """Not for other fields that say the same."""
    await audited.registry.write(Write(None, User("team", alias="t")))
    await audited.registry.write(Write(None, Team("t", alias="user")))
    assert [each.id for each in await audited.changes(AuditQuery("team"))] == ["t"]
    assert [each.kind for each in await audited.changes(AuditQuery(id="t"))] == ["team"]
    assert await audited.changes(AuditQuery("user", "t")) == []


async def test_more_entries_than_are_read_at_once_are_all_found(store: Valkey) -> None:
    """However few of them match."""
    registry, log = ValkeyRegistry(store), ValkeyAuditLog(store)
    await registry.write(Write(None, Team("first")))
    await registry.write(*(Write(None, User(f"u{number}")) for number in range(4100)))
    page = await log.page(AuditQuery("team"), 10)
    assert [each.entry.change.id for each in page.entries] == ["first"]
    assert page.entries[0].at_us > 1_700_000_000_000_000


async def test_the_log_is_bounded(store: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest entries go."""
    monkeypatch.setattr(registry_module, "KEPT_ENTRIES", 100)
    registry = ValkeyRegistry(store)
    for _ in range(10):
        changes = [Change(Action.SPEND, "key", "h")] * 60
        for change in changes:
            await registry.note(change)
    assert await store.xlen("tollgate:{entities}:audit") < 300


async def test_a_cursor_that_no_page_told_is_refused(store: Valkey) -> None:
    """By name."""
    with pytest.raises(BadRequest, match="cursor"):
        await ValkeyAuditLog(store).page(EVERYTHING, 1, "x")
