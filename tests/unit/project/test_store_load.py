"""The pure parts of what is measured of a store: a cluster's cost, and growth over time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.load.cluster_cost import Measured, Pair, Share, cpu_table, latency_table, nodes_table
from tests.load.generators import Load
from tests.load.proc import Group
from tests.load.rounds import SETTLE_S, Sample, Series
from tests.load.scenarios import JSON_1, JSON_32, Scenario
from tests.load.soak import Bound, Grown, Ledger, Look, compared, memory_at, soak_table

MB = 1_000_000


def measured(
    scenario: Scenario, store_us: float, p50_us: float = 1000, idle_us: float = 0
) -> Measured:
    """Two rounds of a thousand requests in a second."""
    sample = Sample(Load(1000, 1.0, 0, 0, p50_us, p50_us, p50_us), {Group.STORE: store_us})
    return Measured(Series(scenario, "system", (sample, sample)), idle_us)


def test_what_idle_nodes_take_is_no_cost_of_a_request() -> None:
    """Three nodes talk to each other whether anybody calls or not."""
    idle_us = 20_000 / (1 + SETTLE_S)
    pair = Pair("grpc", measured(JSON_32, 50), measured(JSON_32, 80, idle_us=idle_us))
    assert pair.times.median == pytest.approx(1.2)
    (row,) = cpu_table([pair]).rows
    assert row == ("JSON, 32 clients", "grpc", "50.0", "60.0", "1.20x", "yes (<= 1.3)")


def test_a_cluster_that_costs_more_than_it_may_is_told() -> None:
    dear = Pair("native", measured(JSON_32, 50), measured(JSON_32, 70))
    slow = Pair("native", measured(JSON_1, 50, 1000), measured(JSON_1, 50, 1400))
    assert cpu_table([dear]).rows[0][-1] == "NO (<= 1.3)"
    assert latency_table([slow]).rows[0][-2:] == ("0.40", "NO (<= 0.3)")


def test_a_second_node_buys_what_it_takes_from_the_busiest() -> None:
    table = nodes_table({1: [Share(900, (60.0,))], 2: [Share(950, (28.0, 40.0))]})
    assert table.rows == (
        ("1", "900", "60.0", "", "1.00x"),
        ("2", "950", "40.0", "28.0", "1.50x"),
    )


def looks(*sizes: int, keys: int = 100) -> list[Look]:
    return [Look({"worker": size * MB, "valkey": 10 * MB}, keys, 50 * MB) for size in sizes]


SAID = {"first": {"p50_us": 2000, "p99_us": 9000}, "last": {"p50_us": 2100, "p99_us": 9000}}
NO_LEDGER = (Ledger(0, 0), Ledger(0, 0))


def broken(last: Sequence[Look], ledgers: tuple[Ledger, Ledger] = NO_LEDGER) -> list[str]:
    return [each.name for each in compared(looks(100), last, ledgers, SAID) if not each.kept]


def test_what_stays_as_it_was_is_kept() -> None:
    """What a figure may grow by is more than what a quiet process does."""
    assert broken(looks(102)) == []


def test_growth_of_a_process_and_of_keys_is_told() -> None:
    assert broken(looks(150, keys=300)) == ["memory of worker, MB", "store keys"]


def test_a_process_that_ended_is_told() -> None:
    assert broken([Look({}, 100, 50 * MB)]) == ["memory of worker, MB"]


def test_the_ledger_may_grow_and_nothing_else_of_the_store() -> None:
    """It keeps an hour of records."""
    more = [Look({"worker": 100 * MB}, 100, 90 * MB)]
    assert broken(more) == ["store memory without the ledger, MB"]
    assert broken(more, (Ledger(0, 0), Ledger(9, 40 * MB))) == []


def test_one_look_is_not_what_a_process_has() -> None:
    """The median of the last ten: a process may have much for a moment."""
    assert memory_at(looks(500, *[100] * 9, 300))["worker"] == 100 * MB


def test_latency_that_grows_is_told() -> None:
    slower = Grown("p50 of JSON, ms", 2000, 9000, Bound(0.5, 2000), 1000)
    assert soak_table([slower]).rows == (("p50 of JSON, ms", "2.00", "9.00", "NO (<= 5.00)"),)
