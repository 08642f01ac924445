"""The pure parts of `make chaos`: what was charged against what was served, and what
clients ask.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from tests.chaos.hostile import Result as Attacked
from tests.chaos.hostile import Seen
from tests.chaos.hostile import table as hostile_table
from tests.chaos.tally import Tally
from tests.chaos.traffic import drawn
from tests.chaos.verdict import (
    NO_RECORD,
    Comparison,
    Result,
    Share,
    UnderStrict,
    compared,
    percent,
    table,
)
from tests.load.hasty import in_pieces, status_of
from tests.load.proc import Group

SERVED = {0: 100, 1: 50, 2: 50, 3: 0}


def test_what_was_charged_as_served_is_no_error() -> None:
    """Each call to the nano-dollar."""
    found = compared(
        SERVED, [(0, 100, "exact"), (1, 50, "exact"), (2, 50, "partial"), (3, 0, "none")]
    )
    assert (found.error, found.wrong_calls, found.twice) == (0, 0, 0)


def test_errors_are_told_by_certainty_and_are_parts_of_what_was_served() -> None:
    """Charged minus served; calls whose errors cancel out are wrong all the same."""
    found = compared(SERVED, [(0, 130, "expired"), (1, 40, "partial"), (2, 60, "partial")])
    assert found.shares["expired"] == Share(calls=1, wrong_calls=1, error_nanousd=30)
    assert found.shares["partial"] == Share(calls=2, wrong_calls=2, error_nanousd=0)
    assert (found.error, found.wrong_calls) == (0.15, 3)


def test_what_was_served_and_never_charged_is_an_error_of_its_own() -> None:
    """A call that reached no provider needs no record."""
    found = compared(SERVED, [(0, 100, "exact"), (1, 50, "exact")])
    assert found.shares[NO_RECORD] == Share(calls=1, wrong_calls=1, error_nanousd=-50)
    assert (found.error, found.forgotten) == (-0.25, 1)


def test_a_call_with_two_records_was_served_once() -> None:
    """All of the second record is too much."""
    found = compared(
        SERVED, [(0, 100, "exact"), (0, 100, "expired"), (1, 50, "exact"), (2, 50, "exact")]
    )
    assert (found.twice, found.shares["expired"].error_nanousd, found.error) == (1, 100, 0.5)


def test_errors_of_the_certainties_add_up_to_the_whole_error() -> None:
    """No call is left out, and none counted twice."""
    found = compared(
        SERVED, [(0, 130, "expired"), (0, 7, "exact"), (1, 40, "partial"), (3, 5, "estimated")]
    )
    total = sum(share.error_nanousd for share in found.shares.values())
    assert total == found.charged_nanousd - found.served_nanousd == -18


def test_where_nothing_was_served_there_is_no_share_of_it() -> None:
    """And no division by zero."""
    assert compared({}, [(0, 5, "expired")]).error == 0


@pytest.mark.parametrize(("part", "expected"), [(0, "0"), (0.0443, "+4.43%"), (-0.1, "-10.00%")])
def test_an_error_has_a_sign(part: float, expected: str) -> None:
    """Too much and too little are different things to a client."""
    assert percent(part) == expected


def test_a_row_tells_calls_and_error_of_each_certainty_and_whether_all_was_kept() -> None:
    """What did not occur stays empty."""
    shares = {"exact": Share(9, 0, 0), "expired": Share(2, 1, 20)}
    row = table(
        "Title",
        [
            Result(
                "Envoy",
                "native",
                12,
                1,
                Comparison(1000, 1020, shares, 0),
                1,
                ("broken",),
                UnderStrict(4, 90, 105, 100),
            )
        ],
    ).rows[0]
    head = ("Envoy", "native", "12", "1", "1,000", "1,020", "+2.00%", "1")
    assert row == (*head, "9", "", "", "2 (+2.00%)", "", "", "1", "4", "5", "NO")


def test_a_call_follows_from_seed_and_number() -> None:
    """So that a run can be made again; the ends of ranges are within what the provider takes."""
    assert drawn(1, 7, 0.5) == drawn(1, 7, 0.5) != drawn(2, 7, 0.5)
    assert all(drawn(1, number, 0).leaves_ms is None for number in range(50))
    assert any(drawn(1, number, 0.5).leaves_ms is not None for number in range(50))


def test_a_tally_outlives_who_wrote_it(tmp_path: Path) -> None:
    """Another provider goes on where the one before was killed, and whoever judges reads both."""
    Tally(tmp_path / "tally").reached(3)
    second = Tally(tmp_path / "tally")
    second.said(3, 5)
    second.said(3, 2)
    judge = Tally(tmp_path / "tally")
    assert (judge.times(3), judge.words(3), judge.times(2)) == (1, 7, 0)


def test_a_row_of_an_attack_tells_what_it_cost_the_good_tenant() -> None:
    """Latencies and memory before and during it, beside what the attackers were told."""
    before, during = Seen((1.0, 2.0, 30.0), 0), Seen((4.0, 5.0, 60.0), 1)
    memory = {Group.ENVOY: (70_000_000, 90_000_000), Group.WORKERS: (80_000_000, 81_000_000)}
    found = Attacked(
        "wrong keys", "grpc", {"401": 1200, "0": 3}, before, during, memory, compared({}, []), ()
    )
    assert hostile_table("Title", [found]).rows[0] == (
        *("wrong keys", "grpc", "1,200 of 401, 3 of 0", "2.00", "5.00", "30.0", "60.0", "1"),
        *("70, 90", "80, 81", "0", "yes"),
    )


async def test_who_is_refused_before_the_body_comes_again_at_once() -> None:
    """The status is read while the body is being sent, which nobody takes."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 401 \r\n\r\n")
        with suppress(OSError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        head = b"POST / HTTP/1.1\r\n\r\n"
        assert await status_of(url, in_pieces(head + b"x" * 30_000_000)) == 401


async def test_a_connection_without_a_reply_has_no_status() -> None:
    """It ends, or the client's patience does."""

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if not request.startswith(b"END"):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert await status_of(url, in_pieces(b"END / HTTP/1.1\r\n\r\n")) == 0
        assert await status_of(url, in_pieces(b"GET / HTTP/1.1\r\n\r\n"), patience_s=0.05) == 0
