"""Signs of life in a file, and what is read from them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tollgate import heartbeat
from tollgate.background import beside
from tollgate.heartbeat import keep_beating, last_beat, why_nobody_serves


async def test_a_process_that_beats_serves(tmp_path: Path) -> None:
    """From the first moment on."""
    async with beside(keep_beating(tmp_path / "worker-0", lambda: "")):
        await asyncio.sleep(0)
        assert why_nobody_serves(tmp_path) is None


async def test_each_beat_is_newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_EVERY_S", 0)
    file = tmp_path / "worker-0"
    async with beside(keep_beating(file, lambda: "")):
        await asyncio.sleep(0)
        first = last_beat(file)
        await asyncio.sleep(0.001)
        second = last_beat(file)
    assert first is not None
    assert second is not None
    assert first.at_s < second.at_s


async def test_what_a_process_suffers_from_is_told_until_it_is_over(tmp_path: Path) -> None:
    """The shorter text of a later beat leaves nothing of the longer one."""
    for trouble in ("OOM command not allowed", "LOADING", "é" * 400):
        async with beside(keep_beating(tmp_path / "worker-0", lambda told=trouble: told)):  # type: ignore[misc]
            await asyncio.sleep(0)
        assert why_nobody_serves(tmp_path) == trouble[:150]


async def test_one_that_serves_is_enough(tmp_path: Path) -> None:
    async with (
        beside(keep_beating(tmp_path / "a", lambda: "LOADING")),
        beside(keep_beating(tmp_path / "b", str)),
    ):
        await asyncio.sleep(0)
        assert why_nobody_serves(tmp_path) is None


async def test_a_beat_that_is_too_old_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with beside(keep_beating(tmp_path / "a", str)):
        await asyncio.sleep(0)
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s + heartbeat.STALE_AFTER_S)
    assert why_nobody_serves(tmp_path) == "no worker gives a sign of life"


@pytest.mark.parametrize("content", [b"", b"\0" * 3])
def test_a_file_without_a_whole_beat_is_none(tmp_path: Path, content: bytes) -> None:
    """It was opened, and nothing written yet."""
    (tmp_path / "a").write_bytes(content)
    assert last_beat(tmp_path / "a") is None
    assert last_beat(tmp_path / "b") is None
    assert why_nobody_serves(tmp_path) == "no worker gives a sign of life"
