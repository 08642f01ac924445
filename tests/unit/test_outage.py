"""What the log says while the store fails."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tollgate import outage
from tollgate.background import beside
from tollgate.core.errors import StoreUnavailable
from tollgate.outage import Outage


class Store:
    """Takes writes, or says why not."""

    def __init__(self) -> None:
        self.fault: str | None = None
        self.asked = asyncio.Event()

    async def probe(self) -> None:
        self.asked.set()
        if self.fault is not None:
            raise StoreUnavailable(self.fault)

    async def asked_again(self, times: int = 1) -> None:
        for _ in range(times):
            self.asked.clear()
            await asyncio.wait_for(self.asked.wait(), 5)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(outage, "PROBE_EVERY_S", 0)
    monkeypatch.setattr(outage, "QUIET_S", 0)
    caplog.set_level(logging.WARNING, "tollgate")


async def test_an_outage_is_one_line_when_it_begins_and_one_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However many calls it fails."""
    store, seen = Store(), Outage()
    store.fault = "OOM command not allowed"
    async with beside(seen.watch(store.probe)):
        for _ in range(3):
            seen.failed(StoreUnavailable(store.fault))
        seen.unmetered()
        await store.asked_again(3)
        assert seen.word == "OOM command not allowed"
        assert caplog.messages == ["the store fails: OOM command not allowed"]
        store.fault = None
        await store.asked_again()
        await asyncio.sleep(0)
    assert caplog.messages[1:] == [
        "the store serves again after 0 s, 3 operations failed, 1 requests passed unmetered"
    ]
    assert seen.word == ""


async def test_while_it_lasts_it_is_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every so often, with the newest word."""
    monkeypatch.setattr(outage, "SAID_EVERY_S", 0)
    store, seen = Store(), Outage()
    async with beside(seen.watch(store.probe)):
        seen.failed(StoreUnavailable("no answer within 0.25 s"))
        store.fault = "LOADING"
        await store.asked_again(2)
    assert "the store still fails, 1 operations failed: LOADING" in caplog.messages


async def test_a_store_that_serves_is_not_asked() -> None:
    store, seen = Store(), Outage()
    async with beside(seen.watch(store.probe)):
        for _ in range(5):
            await asyncio.sleep(0)
    assert not store.asked.is_set()


async def test_a_second_outage_is_told_as_the_first_was(caplog: pytest.LogCaptureFixture) -> None:
    """It counts anew."""
    store, seen = Store(), Outage()
    async with beside(seen.watch(store.probe)):
        for _ in range(2):
            seen.failed(StoreUnavailable("away"))
            await store.asked_again()
            await asyncio.sleep(0)
    assert [line.split(" after")[0] for line in caplog.messages] == [
        "the store fails: away",
        "the store serves again",
    ] * 2
    assert all("1 operations failed" in line for line in caplog.messages[1::2])


async def test_while_operations_go_on_failing_it_is_not_over(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store may take the probe and refuse what a call needs."""
    monkeypatch.setattr(outage, "QUIET_S", 3600)
    store, seen = Store(), Outage()
    async with beside(seen.watch(store.probe)):
        seen.failed(StoreUnavailable("NOPERM"))
        await store.asked_again(3)
    assert caplog.messages == ["the store fails: NOPERM"]
