"""The port `History` over SQLAlchemy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Engine, Table, delete, func, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite

from tollgate.adapters.history.database import database_errors, migrate
from tollgate.adapters.history.tables import HOURLY_SUMS, POSITIONS, RECORDS
from tollgate.history_ports import SpendGroup, SpendQuery, SpendSum, StreamedRecords

T = TypeVar("T")
_HOUR_US = 3_600_000_000
_FAILED_FROM = 400
_EVERYTHING = "all"
_SUMMED = ("requests", "failures", "input_tokens", "output_tokens", "cost_nanousd")
_SUM_KEY = ("hour", "kind", "scope", "organization", "model")
_encode = msgspec.json.Encoder().encode


class SqlHistory:
    """The history in a database. Each call runs in a thread and in one transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._insert: Any = (
            postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
        )

    async def prepare(self) -> None:
        """Bring the schema to this version's."""
        await asyncio.to_thread(migrate, self._engine)

    async def position(self, organization: str) -> str | None:
        """Return how far an organization's ledger has been recorded; None: not at all."""
        wanted = select(POSITIONS.c.position).where(POSITIONS.c.organization == organization)
        return await self._run(lambda connection: connection.execute(wanted).scalar())

    async def keep(self, organization: str, streamed: StreamedRecords) -> int:
        """Record what was streamed, and how far that goes; return how many records were new.

        One transaction holds records, sums and position, and a record that is there already counts
        nothing: whatever is interrupted or repeated, each record counts once.
        """
        return await self._run(lambda connection: self._keep(connection, organization, streamed))

    async def forget_before(self, admitted_us: int) -> None:
        """Remove the records of requests that were admitted earlier. Their sums stay."""
        old = delete(RECORDS).where(RECORDS.c.admitted_us < admitted_us)
        await self._run(lambda connection: connection.execute(old))

    async def sums(self, query: SpendQuery) -> list[SpendSum]:
        """Return the sums of a time by group, those that spent most first; days in their order."""
        rows = await self._run(lambda connection: connection.execute(_select_sums(query)).all())
        return [SpendSum(str(row[0]), *map(int, row[1:])) for row in rows]

    async def _run(self, work: Callable[[Connection], T]) -> T:
        def in_transaction() -> T:
            with database_errors(), self._engine.begin() as connection:
                return work(connection)

        return await asyncio.to_thread(in_transaction)

    def _keep(self, connection: Connection, organization: str, streamed: StreamedRecords) -> int:
        rows = {
            each.record.id: {
                "id": each.record.id,
                "organization": organization,
                "admitted_us": each.record.admitted_us,
                "settled_us": each.settled_us,
                "model": each.record.model,
                "status": each.record.status,
                "cost_nanousd": each.record.cost_nanousd,
                "record": _encode(each.record).decode(),
            }
            for each in streamed.records
        }
        new: set[str] = set()
        if rows:
            insert = self._insert(RECORDS).on_conflict_do_nothing().returning(RECORDS.c.id)
            new = set(connection.execute(insert, list(rows.values())).scalars())
        if sums := _sums_of(organization, streamed, new):
            self._add(connection, HOURLY_SUMS, sums)
        position = {"organization": organization, "position": streamed.position}
        connection.execute(
            self._insert(POSITIONS).on_conflict_do_update(
                index_elements=["organization"], set_={"position": streamed.position}
            ),
            position,
        )
        return len(new)

    def _add(self, connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
        """Add sums to those that are there."""
        insert = self._insert(table)
        added = {name: table.c[name] + insert.excluded[name] for name in _SUMMED}
        connection.execute(
            insert.on_conflict_do_update(index_elements=list(_SUM_KEY), set_=added), list(rows)
        )


def _sums_of(organization: str, streamed: StreamedRecords, new: set[str]) -> list[dict[str, Any]]:
    """Return the hourly sums of the records that are new, in a fixed order.

    Two recorders that add to the same rows in different orders would wait for each other.
    """
    sums: dict[tuple[Any, ...], list[int]] = {}
    records = {each.record.id: each.record for each in streamed.records}
    for record in (records[each] for each in new):
        failed = int(record.status >= _FAILED_FROM)
        amounts = (1, failed, record.input_tokens, record.output_tokens, record.cost_nanousd)
        for payer in (f"{_EVERYTHING}:", *record.scopes):
            kind, _, scope = payer.partition(":")
            key = (record.admitted_us // _HOUR_US, kind, scope, organization, record.model)
            cell = sums.setdefault(key, [0] * len(amounts))
            for number, amount in enumerate(amounts):
                cell[number] += amount
    return [
        dict(zip((*_SUM_KEY, *_SUMMED), (*key, *sums[key]), strict=True)) for key in sorted(sums)
    ]


def _select_sums(query: SpendQuery) -> Any:
    columns = HOURLY_SUMS.c
    by_all = {
        SpendGroup.MODEL: columns.model,
        SpendGroup.ORGANIZATION: columns.organization,
        # The text of an expression: PostgreSQL does not see that two with parameters are equal.
        SpendGroup.DAY: literal_column("hour - hour % 24"),
    }
    group = by_all.get(query.group, columns.scope)
    kind = _EVERYTHING if query.group in by_all else query.group.value
    found = select(group, *(func.sum(columns[name]) for name in _SUMMED)).where(
        columns.kind == kind
    )
    if query.since_us is not None:
        found = found.where(columns.hour >= query.since_us // _HOUR_US)
    if query.until_us is not None:
        found = found.where(columns.hour <= query.until_us // _HOUR_US)
    by_day = query.group is SpendGroup.DAY
    order = group if by_day else func.sum(columns.cost_nanousd).desc()
    return found.group_by(group).order_by(order, group)
