"""The port `History` over SQLAlchemy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, select
from sqlalchemy.dialects import postgresql, sqlite

from tollgate.adapters.history import partitions
from tollgate.adapters.history.database import in_transaction, migrate
from tollgate.adapters.history.record_rows import (
    daily_rows,
    hourly_rows,
    part_rows,
    payer_day_rows,
    read,
    record_row,
    summed_up,
)
from tollgate.adapters.history.row_writer import RowWriter, adding
from tollgate.adapters.history.selecting import (
    select_known,
    select_old,
    select_page,
    select_parts,
    select_usage,
    usage_row,
)
from tollgate.adapters.history.tables import (
    DAILY_PARTS,
    DAILY_SUMS,
    HOURLY_SUMS,
    PAYER_DAYS,
    POSITIONS,
    RECORDS,
    SUMMED,
)
from tollgate.core.calls import record_text
from tollgate.core.calls.ledger_sums import amounts_of
from tollgate.core.errors import HistoryUnavailable
from tollgate.ports import LedgerQuery, Settled
from tollgate.ports.history_ports import (
    Group,
    HistoryPlace,
    PartsRow,
    RecordedParts,
    RecordedUsage,
    SettledText,
)

T = TypeVar("T")
# Records that are removed in one transaction; other writers wait for no longer than that takes.
_REMOVED_AT_ONCE = 2_000
_BEGINNING = "0-0"  # the position before the first entry of a stream


class SqlHistory:
    """The history in a database. Each call runs in a thread and in one transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._partitioned = engine.dialect.name == "postgresql"
        self._insert: Any = postgresql.insert if self._partitioned else sqlite.insert
        dialect = engine.dialect
        self._records = RowWriter(self._insert(RECORDS), dialect)
        self._hourly, self._payer_days, self._daily, self._parts = (
            RowWriter(adding(self._insert(table), table, summed), dialect)
            for table, summed in (
                (HOURLY_SUMS, SUMMED),
                (PAYER_DAYS, SUMMED),
                (DAILY_SUMS, SUMMED),
                (DAILY_PARTS, ("units", "cost_nanousd")),
            )
        )
        self._months: set[int] = set()

    async def prepare(self) -> None:
        """Bring the schema to this version's."""
        await asyncio.to_thread(migrate, self._engine)

    async def position(self, organization: str) -> str | None:
        """Return how far an organization's ledger has been recorded; None: not at all."""
        wanted = select(POSITIONS.c.position).where(POSITIONS.c.organization == organization)
        return await self._run(lambda connection: connection.execute(wanted).scalar())

    async def keep(
        self, organization: str, records: Sequence[SettledText], position: str | None = None
    ) -> int:
        """Record what was settled, and how far that goes; return how many records were new.

        One transaction holds records, sums and position, and a record that is there already counts
        nothing: whatever is interrupted or repeated, each record counts once.
        """

        def work(connection: Connection) -> int:
            self._go_on(connection, organization, position)
            return self._keep(connection, organization, records)

        try:
            return await self._run(work)
        except HistoryUnavailable:
            # Partitions that the transaction has made are not there.
            self._months.clear()
            raise

    async def forget_before(self, admitted_us: int) -> None:
        """Remove the records of requests that were admitted earlier, in small transactions.

        Their sums stay. PostgreSQL drops the partitions of whole months.
        """
        if self._partitioned:
            await self._run(lambda connection: partitions.drop_before(connection, admitted_us))
            self._months.clear()
        removal = select_old(admitted_us, _REMOVED_AT_ONCE)
        while await self._run(lambda connection: connection.execute(removal).rowcount):
            pass

    async def usage(self, query: LedgerQuery, by: Sequence[Group]) -> RecordedUsage:
        """Return the totals of a query's records by groups. Raises BadRequest, as the port says."""
        statement, groups = select_usage(query, by, self._engine.dialect.name)
        rows, positions = await self._run(
            lambda connection: (connection.execute(statement).all(), _positions(connection)),
            snapshot=True,
        )
        return RecordedUsage([usage_row(row, groups) for row in rows], positions)

    async def parts(self, query: LedgerQuery) -> RecordedParts:
        """Return what the calls of whole days were charged for."""
        statement = select_parts(query)
        rows, positions = await self._run(
            lambda connection: (connection.execute(statement).all(), _positions(connection)),
            snapshot=True,
        )
        return RecordedParts([PartsRow(*row) for row in rows], positions)

    async def page(
        self, query: LedgerQuery, count: int, before: Mapping[str, int], place: HistoryPlace | None
    ) -> Sequence[Settled]:
        """Return at most `count` records, latest first."""
        statement = select_page(query, count, before, place, self._engine.dialect.name)
        rows = await self._run(lambda connection: connection.execute(statement).all())
        return [Settled(settled_us, record_text.decode(text)) for settled_us, text in rows]

    async def _run(self, work: Callable[[Connection], T], *, snapshot: bool = False) -> T:
        return await in_transaction(self._engine, work, snapshot=snapshot)

    def _keep(
        self, connection: Connection, organization: str, records: Sequence[SettledText]
    ) -> int:
        new = {told.id: (each, told) for each in records for told in (read(each.text),)}
        if not new:
            return 0
        if self._partitioned:
            times = (told.admitted_us for _, told in new.values())
            partitions.create_for(connection, times, self._months)
        for known in connection.execute(select_known(new, connection.dialect.name)):
            del new[known.id]
        if not new:
            return 0
        sums = [amounts_of(told) for _, told in new.values()]
        rows = [
            record_row(organization, *each, added)
            for each, added in zip(new.values(), sums, strict=True)
        ]
        self._records.run(connection, rows)
        alike = summed_up(zip((told for _, told in new.values()), sums, strict=True))
        hourly = hourly_rows(organization, alike)
        for statement, added in (
            (self._hourly, hourly),
            (self._payer_days, payer_day_rows(hourly)),
            (self._daily, daily_rows(organization, alike)),
            (self._parts, part_rows(organization, alike)),
        ):
            if added:
                statement.run(connection, added)
        return len(new)

    def _go_on(self, connection: Connection, organization: str, position: str | None) -> None:
        """Write how far an organization's ledger has been recorded; None: no further than before.

        It comes first: whoever else records this organization waits for its row until this
        transaction ends, and then sees its records.
        """
        write = self._insert(POSITIONS)
        gone = write.excluded if position is not None else POSITIONS.c
        connection.execute(
            write.on_conflict_do_update(
                index_elements=["organization"], set_={"position": gone.position}
            ),
            {"organization": organization, "position": position or _BEGINNING},
        )


def _positions(connection: Connection) -> dict[str, str]:
    wanted = select(POSITIONS.c.organization, POSITIONS.c.position)
    return {row.organization: row.position for row in connection.execute(wanted)}
