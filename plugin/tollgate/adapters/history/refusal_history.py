"""The ports `RefusalHistory` and `AlertHistory` over SQLAlchemy.

Rows and the position that they go up to are written in one transaction, and a row that is there
already is left as it is: whatever is interrupted or repeated, each refusal and alert is kept once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    Connection,
    Engine,
    Table,
    delete,
    false,
    func,
    literal,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import ColumnElement

from tollgate.adapters.history.database import in_transaction
from tollgate.adapters.history.record_rows import payers_of
from tollgate.adapters.history.selecting import in_groups, paid_by
from tollgate.adapters.history.tables import ALERTS, REFUSALS, STREAM_POSITIONS
from tollgate.core.calls.records import scope_ids
from tollgate.core.calls.refusal_records import RefusalRecord
from tollgate.ports import LedgerQuery
from tollgate.ports.event_ports import (
    KeptCounts,
    PlacedAlert,
    PlacedRefusal,
    RefusalPlace,
    RefusedCount,
    StreamPlace,
)
from tollgate.ports.history_ports import DAY_US, Group

# Other writers wait for no longer than one transaction takes.
_REMOVED_AT_ONCE = 2_000
_REFUSALS, _ALERTS = "refusals", "alerts"

_decode = msgspec.json.Decoder(RefusalRecord).decode
_encode = msgspec.json.Encoder().encode


class SqlRefusals:
    """Refusals in a database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def last(self, organization: str) -> RefusalPlace | None:
        """Return the place up to which an organization's refusals are kept; None: nowhere."""
        found = await _position(self._engine, _REFUSALS, organization)
        return None if found is None else RefusalPlace(*found, organization)

    async def keep(self, refusals: Sequence[PlacedRefusal]) -> None:
        """Keep what follows the last place of one organization."""
        last = refusals[-1].place
        at = StreamPlace(last.milliseconds, last.sequence)
        rows = [_refusal_row(each) for each in refusals]
        await _keep(self._engine, REFUSALS, rows, (_REFUSALS, last.organization), at)

    async def newest(
        self, query: LedgerQuery, count: int, before: RefusalPlace | None
    ) -> list[PlacedRefusal]:
        """Return at most `count` records before a place, the last written first."""
        columns = REFUSALS.c
        place = (columns.written_ms, columns.sequence, columns.organization)
        found = select(*place, columns.record).where(*self._wanted(query))
        if before is not None:
            found = found.where(tuple_(*place) < tuple_(*before))
        found = found.order_by(*(each.desc() for each in place)).limit(count)
        rows = await in_transaction(self._engine, lambda asked: asked.execute(found).all())
        return [PlacedRefusal(RefusalPlace(*row[:3]), _decode(row[3])) for row in rows]

    async def counts(self, query: LedgerQuery, group: Group) -> KeptCounts:
        """Return how many of a query's requests were refused, by day and group."""
        columns = REFUSALS.c
        # Groups of tags are in no column of their own, and deployments in none at all.
        named = columns.scopes if group is Group.TAG else columns.get(group.value, literal(""))
        day: ColumnElement[int] = literal_column(f"refused_us / {DAY_US}")
        summed = select(day, named, func.sum(columns.times)).where(*self._wanted(query))
        at = STREAM_POSITIONS.c
        places = select(at.written_ms, at.sequence, at.organization).where(at.stream == _REFUSALS)

        def work(connection: Connection) -> KeptCounts:
            kept = {row[2]: RefusalPlace(*row) for row in connection.execute(places)}
            rows = connection.execute(summed.group_by(day, named))
            return KeptCounts([each for row in rows for each in _counts(row, group)], kept)

        return await in_transaction(self._engine, work, snapshot=True)

    def _wanted(self, query: LedgerQuery) -> Iterator[ColumnElement[bool]]:
        """Yield what rows of a query fulfil."""
        columns = REFUSALS.c
        yield from paid_by(columns, query, self._engine.dialect.name)
        yield from in_groups(columns, query, self._engine.dialect.name)
        if query.deployment is not None:
            yield false()  # a refused request has none
        if query.since_us is not None:
            yield columns.refused_us >= query.since_us
        if query.until_us is not None:
            yield columns.refused_us <= query.until_us
        for column, wanted in (
            (columns.organization, query.organization),
            (columns.model, query.model),
            (columns.id, query.request_id),
            (columns.status, query.status),
        ):
            if wanted is not None:
                yield column == wanted

    async def forget_before(self, refused_us: int) -> None:
        """Remove the records of requests that were refused earlier, in small transactions."""
        await _forget(self._engine, REFUSALS, REFUSALS.c.refused_us, refused_us)


class SqlAlerts:
    """Alerts in a database, for whoever reads it; Tollgate itself does not."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def last(self) -> StreamPlace | None:
        """Return the place up to which alerts are kept; None: nowhere."""
        return await _position(self._engine, _ALERTS, "")

    async def keep(self, alerts: Sequence[PlacedAlert]) -> None:
        """Keep what follows the last place."""
        rows = [_alert_row(each) for each in alerts]
        await _keep(self._engine, ALERTS, rows, (_ALERTS, ""), alerts[-1].place)

    async def forget_before(self, at_us: int) -> None:
        """Remove the alerts of an earlier time, in small transactions."""
        await _forget(self._engine, ALERTS, ALERTS.c.at_us, at_us)


def _counts(row: Any, group: Group) -> Iterator[RefusedCount]:
    day, name, times = row
    names = [str(name)]
    if group is Group.TAG:
        names = scope_ids(msgspec.json.decode(name, type=tuple[str, ...]), group)
    for each in names:
        yield RefusedCount(int(day), each, int(times))


async def _position(engine: Engine, stream: str, organization: str) -> StreamPlace | None:
    columns = STREAM_POSITIONS.c
    wanted = select(columns.written_ms, columns.sequence).where(
        columns.stream == stream, columns.organization == organization
    )
    row = await in_transaction(engine, lambda asked: asked.execute(wanted).one_or_none())
    return None if row is None else StreamPlace(*row)


async def _keep(
    engine: Engine,
    table: Table,
    rows: list[dict[str, Any]],
    stream: tuple[str, str],
    at: StreamPlace,
) -> None:
    insert: Any = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
    position = {"written_ms": at.milliseconds, "sequence": at.sequence}
    go_on = insert(STREAM_POSITIONS).on_conflict_do_update(
        index_elements=["stream", "organization"], set_=position
    )

    def work(connection: Connection) -> None:
        connection.execute(insert(table).on_conflict_do_nothing(), rows)
        connection.execute(go_on, {"stream": stream[0], "organization": stream[1], **position})

    await in_transaction(engine, work)


async def _forget(engine: Engine, table: Table, time: Any, before_us: int) -> None:
    key = tuple_(*table.primary_key)
    old = select(*table.primary_key).where(time < before_us).order_by(time).limit(_REMOVED_AT_ONCE)
    removal = delete(table).where(key.in_(old))
    while await in_transaction(engine, lambda asked: asked.execute(removal).rowcount):
        pass


def _refusal_row(refusal: PlacedRefusal) -> dict[str, Any]:
    place, record = refusal.place, refusal.record
    return {
        "organization": place.organization,
        "written_ms": place.milliseconds,
        "sequence": place.sequence,
        **{
            name: getattr(record, name)
            for name in ("id", "refused_us", "status", "reason", "model", "times")
        },
        **payers_of(record.scopes),
        "scopes": _encode(record.scopes).decode(),
        "record": _encode(record).decode(),
    }


def _alert_row(placed: PlacedAlert) -> dict[str, Any]:
    alert = placed.alert
    return {
        **{name: getattr(alert, name) for name in ("id", "at_us", "scope", "scope_id")},
        "event": alert.event.value,
        "alert": _encode(alert).decode(),
    }
