"""How long reports of a month take over the sums of 100 million calls.

    .venv/bin/python -m tests.load.history_sums [--teams 500] [--models 8] [--postgresql]

It fills a history with the sums that so many calls leave behind (a row for each hour, payer and
model), not with the calls, and prints how long `spend by team` and `spend by day` take: once after
the file's pages are gone from the database's cache, then again.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from sqlalchemy import Engine, insert
from tests.postgresql import postgresql_server

from tollgate.adapters.history.database import open_database
from tollgate.adapters.history.history import SqlHistory
from tollgate.adapters.history.record_rows import Row, payer_day_rows
from tollgate.adapters.history.row_writer import RowWriter
from tollgate.adapters.history.tables import HOURLY_SUMS, PAYER_DAYS
from tollgate.ports import LedgerQuery
from tollgate.ports.history_ports import HOUR_US, Group

_CALLS = 100_000_000
_MONTHS = 3
_HOURS = 24 * 30
_FIRST_HOUR = 495_000


def rows(teams: int, models: int) -> Iterator[Row]:
    """Return the sums of all hours: of everything, and of each team, by model."""
    a_row = _CALLS // (_MONTHS * _HOURS * teams * models)
    for hour in range(_FIRST_HOUR, _FIRST_HOUR + _MONTHS * _HOURS):
        for number in range(models):
            for kind, scope, calls in (
                ("all", "", a_row * teams),
                *(("team", f"team-{team}", a_row) for team in range(teams)),
            ):
                amounts = (calls, 0, 900 * calls, 200 * calls, 0, 0, 4_000 * calls, 0, 0)
                yield hour, kind, scope, "default", f"model-{number}", *amounts


def fill(engine: Engine, teams: int, models: int) -> int:
    """Write the sums; return the number of rows."""
    count = 0
    hourly, daily = (
        RowWriter(insert(table), engine.dialect) for table in (HOURLY_SUMS, PAYER_DAYS)
    )
    # The rows of a day are together: each of its sums is written once.
    for day in batched(rows(teams, models), 24 * models * (teams + 1)):
        with engine.begin() as connection:
            hourly.run(connection, day)
            daily.run(connection, payer_day_rows(day))
        count += len(day)
    return count


def batched(each: Iterator[Row], size: int) -> Iterator[list[Row]]:
    """Return what comes in parts of a size."""
    while part := list(islice(each, size)):
        yield part


async def measure(engine: Engine, teams: int, models: int) -> None:
    """Fill a history, and time its reports of the last month."""
    history = SqlHistory(engine)
    await history.prepare()
    print(f"{fill(engine, teams, models):,} rows of hourly sums, {_CALLS:,} calls")
    first = (_FIRST_HOUR + (_MONTHS - 1) * _HOURS) * HOUR_US
    month = LedgerQuery(since_us=first, until_us=first + _HOURS * HOUR_US - 1)
    for name, by in (("team", (Group.TEAM,)), ("day", (Group.DAY,)), ("model", (Group.MODEL,))):
        engine.dispose()
        times = []
        for _ in range(3):
            begin = time.perf_counter()
            found = await history.usage(month, by)
            times.append(time.perf_counter() - begin)
        shown = ", ".join(f"{each * 1000:.0f} ms" for each in times)
        print(f"spend by {name} of a month: {len(found.rows)} groups in {shown}")


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--teams", type=int, default=500)
    parser.add_argument("--models", type=int, default=8)
    parser.add_argument("--postgresql", action="store_true")
    options = parser.parse_args()
    with ExitStack() as resources:
        if options.postgresql:
            url = resources.enter_context(postgresql_server())
        else:
            folder = Path(resources.enter_context(tempfile.TemporaryDirectory()))
            url = f"sqlite:///{folder}/history.db"
        engine = open_database(url)
        asyncio.run(measure(engine, options.teams, options.models))
        engine.dispose()


if __name__ == "__main__":
    main()
