"""The pure parts of the benchmark: statistics, /proc, what load generators print, tables."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.load.callers import Who
from tests.load.errors import BenchFailed
from tests.load.findings import Findings
from tests.load.generators import Load, Target, http_request, parse_h2load_log
from tests.load.machine import machine
from tests.load.openloop import OpenLoop
from tests.load.proc import (
    Group,
    family,
    group_of,
    groups_of,
    parse_parent,
    parse_pss_bytes,
    parse_ran_ns,
)
from tests.load.quick import comparison
from tests.load.report import TARGETS, cliffs, tables
from tests.load.report import Target as Line12
from tests.load.rounds import Sample, Series
from tests.load.scenarios import (
    ALL_LIMITS,
    JSON_1,
    JSON_32,
    JSON_BY_CLIENTS,
    KEY_LIMITED,
    UNLIMITED,
    Scenario,
)
from tests.load.stats import Spread, fitted, percentile, spread
from tests.load.systems import ENVOY_ALONE
from tests.load.tables import Table, figure, markdown, shown, with_section
from tests.unit.mock_llm.mock_llm_client import CHAT, HI, request, running

GRPC = "Tollgate grpc"


def series(scenario: Scenario, system: str, *p50s_us: float, store_us: float = 0.0) -> Series:
    """A sample for each median latency; workers take 100 us, Envoy 10."""
    cpu_us = {Group.WORKERS: 100.0, Group.ENVOY: 10.0, Group.STORE: store_us}
    samples = [Sample(Load(1000, 1.0, 0, 0, p50, 2 * p50, 3 * p50), cpu_us) for p50 in p50s_us]
    return Series(scenario, system, tuple(samples))


def series_of_rps(scenario: Scenario, *rates: float) -> Series:
    samples = [
        Sample(Load(int(rate), 1.0, 0, 0, 1, 2, 3), {Group.WORKERS: 100.0}) for rate in rates
    ]
    return Series(scenario, GRPC, tuple(samples))


def findings(*found: Series) -> Findings:
    limits = {Who.NOBODY: 0, Who.KEY: 4, Who.EACH: 8, Who.ALL: 10}
    return Findings(found, {GRPC: limits}, "SSE", {})


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1), (10, 1), (50, 5), (90, 9), (99, 10), (99.9, 10), (100, 10)]
)
def test_a_percentile_is_a_value_that_was_seen(percent: float, expected: int) -> None:
    """Nearest rank: no value between two samples is made up."""
    assert expected == percentile(list(range(1, 11)), percent)


def test_a_percentile_does_not_slip_by_the_error_of_floats() -> None:
    """99.9 % of a thousand values are 999 of them, though 0.999 * 1000 is more in floats on some
    machines.
    """
    assert percentile(list(range(1, 1001)), 99.9) == 999


def test_a_spread_is_the_median_and_the_ends() -> None:
    """One bad round moves an end and not the middle."""
    assert spread([3, 100, 1]) == Spread(3, 1, 100)


def test_a_line_goes_through_points_that_lie_on_one() -> None:
    """Cost by limits: a start, and so much for each limit more."""
    line = fitted([(0, 10.0), (4, 18.0), (10, 30.0)])
    assert line is not None
    assert [line.start, line.slope, line.at(8)] == pytest.approx([10, 2, 26])


def test_there_is_no_line_through_one_count() -> None:
    """Two costs of the same number of limits tell nothing of a third number."""
    assert fitted([(4, 1.0), (4, 2.0)]) is None


def test_a_process_name_may_hold_spaces_and_parentheses() -> None:
    """proc(5): the name ends at the last closing parenthesis; the parent is two fields after it."""
    assert (
        parse_parent("42 (a (b) c) S 7 42 42 0 -1 4194304 1 2 3 4 25 17 900 901 20 0 3 0 1 2 3\n")
        == 7
    )


def test_a_thread_s_time_is_told_in_nanoseconds() -> None:
    """sched-stats.rst of the kernel: time on the CPU, time in its queue, and how often it ran."""
    assert parse_ran_ns("420000123 900 17\n") == 420_000_123


def test_memory_is_told_in_kilobytes_of_1024() -> None:
    """proc(5): Pss, of which a shared page is a part."""
    rollup = "5600-7ffd ---p 0 0:0 0 [rollup]\nRss:  300 kB\nPss:  200 kB\nPss_Anon:  3 kB\n"
    assert parse_pss_bytes(rollup) == 204_800


def test_an_ending_process_has_no_memory() -> None:
    """A zombie's file is empty."""
    assert parse_pss_bytes("") == 0


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("python tollgate.app worker --config f", Group.WORKERS),
        ("python tollgate.app admin --config f", Group.ADMIN),
        ("python tollgate.app recorder --config f", Group.RECORDER),
        ("python tollgate.app fork-server", Group.SUPERVISOR),
        ("python python -m tollgate.commands.mock_llm --port 0", Group.MOCK),
        ("valkey-server /somewhere/valkey-server unixsocket:/run/valkey.sock", Group.STORE),
        ("envoy /site-packages/envoy/_bin/envoy -c envoy.json", Group.ENVOY),
        ("python python -m tollgate.commands.main up --config f", Group.SUPERVISOR),
    ],
)
def test_a_process_belongs_to_the_part_that_it_runs(description: str, expected: Group) -> None:
    """By its name where it has one of its own, by its command line where it is Python."""
    assert expected == group_of(description, Group.SUPERVISOR)


_STORE_THAT_FORKS = """
import os, setproctitle, sys
setproctitle.setproctitle("valkey-server")
if os.fork():
    print("ready", flush=True)
sys.stdin.read()
"""


def test_forks_of_a_store_are_not_counted_since_they_come_and_go() -> None:
    """As when it writes its file anew, which could fall into any run."""
    with subprocess.Popen(
        [sys.executable, "-c", _STORE_THAT_FORKS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as store:
        assert store.stdout is not None
        assert store.stdout.readline() == "ready\n"
        assert len(family(store.pid)) == 2
        assert groups_of(store.pid, Group.SUPERVISOR) == {Group.STORE: (store.pid,)}
        assert store.stdin is not None
        store.stdin.close()


def test_h2load_tells_of_each_request() -> None:
    """Start, status and time of each, in microseconds; -1 is a connection that broke; what is
    missing failed too.
    """
    load = parse_h2load_log(
        "1000000\t200\t400000\n1000100\t429\t600000\n1000200\t-1\t10\n", requests=4
    )
    assert (load.requests, load.refused, load.failed) == (3, 1, 2)
    assert (load.p50_us, load.p99_us, load.seconds) == (400_000, 600_000, 0.6001)


def test_h2load_without_any_reply_is_no_run() -> None:
    """Its figures would be made up."""
    with pytest.raises(BenchFailed):
        parse_h2load_log("", requests=4)


def test_a_request_says_how_long_its_body_is(tmp_path: Path) -> None:
    """In bytes, not characters."""
    body = tmp_path / "body.json"
    body.write_text("é", encoding="utf-8")
    sent = http_request(
        Target("http://127.0.0.1:80/v1/chat", (("authorization", "Bearer k"),), body)
    )
    assert (
        sent
        == b"POST /v1/chat HTTP/1.1\r\nhost: 127.0.0.1:80\r\ncontent-length: 2\r\nauthorization:"
        b" Bearer k\r\n\r\n\xc3\xa9"
    )


def test_added_latency_is_taken_round_by_round() -> None:
    """A machine that slows down between two rounds slows both sides of a pair."""
    found = findings(
        series(JSON_1, GRPC, 1500, 9500, 1700), series(JSON_1, ENVOY_ALONE, 500, 8500, 500)
    )
    assert found.added_ms(GRPC) == Spread(1.0, 1.0, 1.2)


def test_nothing_is_added_to_what_was_not_measured() -> None:
    """No Envoy alone, no difference."""
    assert findings(series(JSON_1, GRPC, 1500)).added_ms(GRPC) is None


def test_what_a_limit_costs_the_store_is_the_slope_over_all_callers() -> None:
    """However many limits each of them has."""
    found = findings(
        series(UNLIMITED, GRPC, 1, store_us=10), series(KEY_LIMITED, GRPC, 1, store_us=18),
        series(ALL_LIMITS, GRPC, 1, store_us=30)
    )  # fmt: skip
    line = found.store_line(GRPC)
    assert line is not None
    assert line.slope == pytest.approx(2)


def test_a_line_of_the_design_is_kept_or_not() -> None:
    """Each mode has its own bound."""
    target = Line12("cost", 100, 10, lambda *_: None)
    assert target.verdict(Spread(50, 1, 200), "grpc") == "yes (<= 100)"
    assert target.verdict(Spread(50, 1, 200), "native") == "NO (<= 10)"


def test_every_table_has_a_cell_for_each_column() -> None:
    """Also for what was not measured, and for Envoy alone, which has no store."""
    found = findings(series(JSON_32, GRPC, 1500), series(JSON_32, ENVOY_ALONE, 500))
    for table in tables(found):
        assert {len(row) for row in table.rows} <= {len(table.columns)}, table.title


def test_a_change_that_may_be_chance_is_in_brackets() -> None:
    """Only rounds that lie apart from those before tell that something changed."""
    before = {"a": Spread(10, 9, 11), "b": Spread(10, 9, 11)}
    table = comparison(
        {"a": Spread(12, 10.5, 13), "b": Spread(20, 19, 21), "c": Spread(1, 1, 1)}, before, "t"
    )
    assert [row[3] for row in table.rows] == ["(+20%)", "+100%", ""]


def test_a_figure_has_three_digits_or_all_that_are_whole() -> None:
    """More would claim what rounds do not give."""
    assert [figure(each) for each in (0.1234, 12.34, 123.4, 12345.6)] == [
        "0.12",
        "12.3",
        "123",
        "12,346",
    ]


def test_rounds_that_agree_are_one_figure() -> None:
    """And those that do not are shown with their ends."""
    assert [shown(Spread(5, 5, 5)), shown(Spread(5000, 4000, 6000), 1000)] == [
        "5.00",
        "5.00 (4.00 to 6.00)",
    ]


def test_a_table_becomes_markdown() -> None:
    """The first column is words; a bar in a cell does not end it."""
    table = Table("T", ("load", "us"), (("a|b", "1"),), "note")
    assert markdown(table) == "### T\n\n| load | us |\n| --- | ---: |\n| a\\|b | 1 |\n\nnote\n"


def test_a_benchmark_replaces_its_own_section_only() -> None:
    """What another one wrote stays, whatever it holds."""
    both = with_section(with_section("", "bench", "old"), "litellm", r"its \1 own")
    after = with_section(both, "bench", r"new \d")
    assert (
        after
        == "<!-- begin bench -->\nnew \\d\n<!-- end bench -->\n\n<!-- begin litellm -->\nits \\1"
        " own\n<!-- end litellm -->\n"
    )


async def opened(*headers: str) -> OpenLoop:
    """Twenty requests at a rate to a provider that is asked for something."""
    async with running() as address:
        where = urlsplit(address)
        sent = request(CHAT, HI, *headers, close=False)
        loop = OpenLoop((str(where.hostname), int(where.port or 0)), sent)
        await asyncio.to_thread(loop.run, 200, 0.1)
    return loop


@pytest.mark.parametrize(
    "header",
    ["x-mock-latency-ms: 0", "x-mock-latency-ms: 60", "x-mock-chunked: 1", "x-mock-size: 400000"],
)
async def test_an_open_loop_gets_a_reply_to_each_request(header: str) -> None:
    """Whether the reply comes late, in chunks, or in many pieces."""
    loop = await opened(header)
    assert (len(loop.latencies_us), loop.refused, loop.failed) == (20, 0, 0)


async def test_an_open_loop_tells_refusals_from_replies() -> None:
    """A refusal is a reply, and not what was to be measured."""
    loop = await opened("x-mock-status: 429")
    assert (len(loop.latencies_us), loop.refused, loop.failed) == (20, 20, 0)


async def test_an_open_loop_counts_what_was_never_answered() -> None:
    """A provider that closes without a word has failed each time, and the rate goes on."""
    loop = await opened("x-mock-reset: 1")
    assert (len(loop.latencies_us), loop.failed) == (0, 20)


def test_throughput_that_falls_by_more_than_a_tenth_when_a_client_is_added_is_a_cliff() -> None:
    found = findings(
        series_of_rps(JSON_BY_CLIENTS[6], 1900, 2000, 2100),
        series_of_rps(JSON_BY_CLIENTS[7], 1200, 1300, 1799),
    )
    assert cliffs(found) == [f"{GRPC}: 2,000 a second with 6 clients, at most 1,799 with 7"]


def test_one_slow_round_is_no_cliff() -> None:
    found = findings(
        series_of_rps(JSON_BY_CLIENTS[6], 1900, 2000, 2100),
        series_of_rps(JSON_BY_CLIENTS[7], 900, 1300, 1801),
    )
    assert cliffs(found) == []


def test_p99_and_memory_have_a_bound() -> None:
    names = [target.name for target in TARGETS]
    assert "latency at 1 client, p99 (ms)" in names
    assert "memory of Tollgate's processes, idle (MB)" in names


def test_the_versions_of_what_is_measured_can_be_told() -> None:
    assert "envoy-tollgate" in dict(machine())["Packages"]
