"""What a start says of doors that are open to others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tollgate.commands.printing import report
from tollgate.gateway.exposure import warnings
from tollgate.settings import Settings, load

LONG = "sk-" + "5f" * 20


def loaded(folder: Path, master_key: str | None = LONG, **ours: object) -> Settings:
    file = folder / "file.yaml"
    general = {} if master_key is None else {"master_key": master_key}
    file.write_text(json.dumps({"general_settings": general, "tollgate": ours}))
    return load(file)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "gateway.internal"])
@pytest.mark.parametrize(
    ("key", "told"), [("sk-1234", "is the example's key"), ("sk-short", "8 characters")]
)
def test_a_master_key_that_others_can_guess_is_named_where_they_reach_it(
    tmp_path: Path, host: str, key: str, told: str
) -> None:
    """One line, with the address and what to do."""
    (line,) = warnings(loaded(tmp_path, key, host=host))
    assert told in line
    assert host in line
    assert "openssl rand" in line


@pytest.mark.parametrize(
    ("key", "host"),
    [("sk-1234", "127.0.0.1"), ("sk-1234", "127.0.0.2"), ("sk-1234", "::1"),
    ("sk-1234", "localhost"), (LONG, "0.0.0.0"), (None, "0.0.0.0")],
)  # fmt: skip
def test_nothing_is_said_of_a_key_that_nobody_can_guess_or_try(
    tmp_path: Path, key: str | None, host: str
) -> None:
    """A loopback address, a long key, or no key at all."""
    assert warnings(loaded(tmp_path, key, host=host)) == []


@pytest.mark.parametrize(
    "url",
    ["redis://store.internal/0", "redis://10.0.0.9:6380", "rediss://user@store:6379/1",
    "valkey+sentinel://127.0.0.1:1,far:2/main"],
)  # fmt: skip
def test_a_store_without_a_password_on_the_network_is_named(tmp_path: Path, url: str) -> None:
    """TLS alone asks nobody who they are."""
    (line,) = warnings(loaded(tmp_path, redis_url=url))
    assert line.startswith("tollgate.redis_url: the store at ")


@pytest.mark.parametrize(
    "url",
    ["redis://:p@store/0", "redis://store/0?password=p", "redis://127.0.0.1", "redis://localhost:1",
    "unix:///run/v.sock", "valkey+sentinel://127.0.0.1:1,localhost:2/main"],
)  # fmt: skip
def test_nothing_is_said_of_a_store_with_a_password_or_of_this_machine(
    tmp_path: Path, url: str
) -> None:
    assert warnings(loaded(tmp_path, redis_url=url)) == []


def test_metrics_without_a_key_on_a_port_that_others_reach_are_named(tmp_path: Path) -> None:
    """And not where only this machine reaches them, nor where they ask for a key."""
    (line,) = warnings(loaded(tmp_path, host="0.0.0.0", metrics={"open": True}))
    assert line.startswith("tollgate.metrics.open: whoever reaches 0.0.0.0 reads dollars")
    assert warnings(loaded(tmp_path, host="127.0.0.1", metrics={"open": True})) == []
    assert warnings(loaded(tmp_path, host="0.0.0.0", metrics={"address": "127.0.0.1:9090"})) == []


def test_check_ends_with_the_warnings(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "sk-1234", host="0.0.0.0")
    assert report.describe(settings, {})[-1] == f"warning: {warnings(settings)[0]}"
