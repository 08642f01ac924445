"""Queries of the history: which table answers what, and in what order."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Delete,
    Select,
    String,
    Table,
    Text,
    and_,
    any_,
    cast,
    delete,
    func,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.sql.elements import ColumnElement

from tollgate.adapters.history.record_rows import EVERYTHING, PAYERS
from tollgate.adapters.history.tables import (
    DAILY_PARTS,
    DAILY_SUMS,
    HOURLY_SUMS,
    PAYER_DAYS,
    RECORDS,
    SUMMED,
)
from tollgate.core.calls.ledger_sums import LedgerSums
from tollgate.core.calls.record_groups import names_by_kind
from tollgate.core.errors import BadRequest
from tollgate.ports import LedgerQuery
from tollgate.ports.history_ports import DAY_US, HOUR_US, NO_PAYERS, Group, HistoryPlace, UsageRow

_FAILED_FROM = 400
_DAILY = frozenset(
    {
        Group.DAY,
        Group.ORGANIZATION,
        Group.MODEL,
        Group.DEPLOYMENT,
        Group.KEY,
        Group.TEAM,
        Group.USER,
    }
)
_HOURLY = frozenset({Group.DAY, Group.HOUR, Group.ORGANIZATION, Group.MODEL})
# PostgreSQL does not see that two expressions with parameters are equal, so these are texts.
_TIMES = {
    HOURLY_SUMS.name: {Group.DAY: "hour / 24", Group.HOUR: "hour"},
    PAYER_DAYS.name: {Group.DAY: "day"},
    DAILY_SUMS.name: {Group.DAY: "day"},
    RECORDS.name: {
        Group.DAY: f"admitted_us / {DAY_US}",
        Group.HOUR: f"admitted_us / {HOUR_US}",
    },
}


def select_usage(
    query: LedgerQuery, by: Sequence[Group], dialect: str
) -> tuple[Select[Any], tuple[Group, ...]]:
    """Return the statement for the totals of a query by groups, from the smallest table that has
    them: sums by payer, which know one at a time, of days or hours; daily sums; records.

    Raises BadRequest for groups and filters that no table has together.
    """
    groups = tuple(by)
    for find in (_from_payers, _from_days):
        found = find(query, groups)
        if found is not None:
            return found, groups
    return _from_records(query, groups, dialect), groups


def usage_row(row: Any, groups: Sequence[Group]) -> UsageRow:
    """Return a row of `select_usage`."""
    named = tuple(
        _printed(group, value) for group, value in zip(groups, row[: len(groups)], strict=True)
    )
    return UsageRow(named, LedgerSums(*(int(each or 0) for each in row[len(groups) :])))


def select_parts(query: LedgerQuery) -> Select[Any]:
    """Return the statement for what calls were charged for on the days of a query."""
    columns = DAILY_PARTS.c
    names = ("day", "organization", "key", "team", "user", "model", "deployment", "part")
    found = select(*(columns[each] for each in (*names, "units", "cost_nanousd")))
    if query.organization is not None:
        found = found.where(columns.organization == query.organization)
    if query.since_us is not None:
        found = found.where(columns.day >= query.since_us // DAY_US)
    if query.until_us is not None:
        found = found.where(columns.day <= query.until_us // DAY_US)
    return found.order_by(*(columns[each] for each in names))


def select_page(
    query: LedgerQuery,
    count: int,
    before: Mapping[str, int],
    place: HistoryPlace | None,
    dialect: str,
) -> Select[Any]:
    """Return the statement for records, latest first."""
    columns = RECORDS.c
    found = _filtered(select(columns.settled_us, columns.record), query, dialect)
    if before:
        found = found.where(
            or_(
                columns.organization.not_in(list(before)),
                *(
                    and_(columns.organization == name, columns.settled_us < bound)
                    for name, bound in before.items()
                ),
            )
        )
    if place is not None:
        here = tuple_(columns.settled_us, columns.id)
        found = found.where(here < tuple_(place.settled_us, place.id))
    return found.order_by(columns.settled_us.desc(), columns.id.desc()).limit(count)


def select_known(ids: Iterable[str], dialect: str) -> Select[Any]:
    """Select those of some ids that have a record.

    All ids are one parameter. With one for each, every number of ids would be a statement of its
    own: SQLite's driver keeps 128, and those of large parts took 20 MB.
    """
    condition: ColumnElement[bool]
    if dialect == "postgresql":
        condition = RECORDS.c.id == any_(literal(list(ids), ARRAY(Text)))
    else:
        listed = func.json_each(json.dumps(list(ids))).table_valued("value")
        condition = RECORDS.c.id.in_(select(listed.c.value))
    return select(RECORDS.c.id).where(condition)


def select_old(admitted_us: int, count: int) -> Delete:
    """Return the statement that removes some records that were admitted earlier."""
    old = select(RECORDS.c.id).where(RECORDS.c.admitted_us < admitted_us)
    chosen = old.order_by(RECORDS.c.admitted_us).limit(count)
    return delete(RECORDS).where(RECORDS.c.admitted_us < admitted_us, RECORDS.c.id.in_(chosen))


def _from_payers(query: LedgerQuery, groups: tuple[Group, ...]) -> Select[Any] | None:
    payers = [each.partition(":") for each in query.payers]
    kinds = {each for each in groups if each not in NO_PAYERS} | {each[0] for each in payers}
    if len(kinds) > 1 or len(payers) > 1 or not set(groups) - kinds <= _HOURLY:
        return None
    if _asks_for_records(query) or not _whole(query, HOUR_US):
        return None
    by_day = Group.HOUR not in groups and _whole(query, DAY_US)
    table, unit_us = (PAYER_DAYS, DAY_US) if by_day else (HOURLY_SUMS, HOUR_US)
    columns = table.c
    kind = next(iter(kinds), EVERYTHING)
    found = _summed(table, groups, dict.fromkeys(kinds, columns.scope))
    found = found.where(columns.kind == str(kind))
    if payers:
        found = found.where(columns.scope == payers[0][2])
    time = columns.day if by_day else columns.hour
    return _named(_within(found, time, query, unit_us), table, query)


def _from_days(query: LedgerQuery, groups: tuple[Group, ...]) -> Select[Any] | None:
    payers = [each.partition(":") for each in query.payers]
    if not {*groups, *(each[0] for each in payers)} <= _DAILY:
        return None
    if _asks_for_records(query) or not _whole(query, DAY_US):
        return None
    columns = DAILY_SUMS.c
    found = _summed(DAILY_SUMS, groups, {})
    for kind, _, name in payers:
        found = found.where(columns[kind] == name)
    return _named(_within(found, columns.day, query, DAY_US), DAILY_SUMS, query)


def _from_records(query: LedgerQuery, groups: tuple[Group, ...], dialect: str) -> Select[Any]:
    for group in groups:
        if group not in NO_PAYERS and group not in PAYERS:
            raise BadRequest(
                f"sums by {group.value} are of whole hours, with no filter but model and"
                f" organization, or one {group.value}",
                group.value,
            )
    return _filtered(_summed(RECORDS, groups, {}), query, dialect)


def _summed(
    table: Table, groups: Sequence[Group], payers: Mapping[Group | str, ColumnElement[Any]]
) -> Select[Any]:
    named: list[Any] = [
        literal_column(_TIMES[table.name][group])
        if group in _TIMES[table.name]
        else payers.get(group, table.c.get(group.value))
        for group in groups
    ]
    return select(*named, *(func.sum(table.c[each]) for each in SUMMED)).group_by(*named)


def _named(found: Select[Any], table: Table, query: LedgerQuery) -> Select[Any]:
    if query.organization is not None:
        found = found.where(table.c.organization == query.organization)
    if query.model is not None:
        found = found.where(table.c.model == query.model)
    return found


def _within(
    found: Select[Any], column: ColumnElement[Any], query: LedgerQuery, unit_us: int
) -> Select[Any]:
    if query.since_us is not None:
        found = found.where(column >= query.since_us // unit_us)
    if query.until_us is not None:
        found = found.where(column <= query.until_us // unit_us)
    return found


def _filtered(found: Select[Any], query: LedgerQuery, dialect: str) -> Select[Any]:
    columns = RECORDS.c
    found = _named(found, RECORDS, query)
    if query.since_us is not None:
        found = found.where(columns.admitted_us >= query.since_us)
    if query.until_us is not None:
        found = found.where(columns.admitted_us <= query.until_us)
    if query.request_id is not None:
        found = found.where(columns.id == query.request_id)
    if query.status is not None:
        found = found.where(columns.status == query.status)
    if query.deployment is not None:
        found = found.where(columns.deployment == query.deployment)
    if query.least_nanousd is not None:
        found = found.where(columns.cost_nanousd >= query.least_nanousd)
    if query.most_nanousd is not None:
        found = found.where(columns.cost_nanousd <= query.most_nanousd)
    if query.failed is not None:
        failed = columns.status >= _FAILED_FROM
        found = found.where(failed if query.failed else ~failed)
    return found.where(*paid_by(columns, query, dialect), *in_groups(columns, query, dialect))


def in_groups(columns: Any, query: LedgerQuery, dialect: str) -> Iterator[ColumnElement[bool]]:
    """Yield what rows of records or refusals fulfil that fit a query's `without` and `outside`."""
    for kind in query.without:
        if kind in columns:
            yield cast(columns[kind], String) == ""
        elif kind != Group.DEPLOYMENT:  # which refusals have none of
            yield ~_named_outside(columns, kind, (), dialect)
    for kind, names in names_by_kind(query.outside).items():
        if kind in columns:
            yield cast(columns[kind], String).not_in(names)
        elif kind == Group.DEPLOYMENT:
            yield literal("" not in names)
        else:
            yield _named_outside(columns, kind, names, dialect)


def _named_outside(
    columns: Any, kind: str, names: Collection[str], dialect: str
) -> ColumnElement[bool]:
    """Return whether a row's `scopes` have one of a kind whose name is none of some."""
    if dialect == "postgresql":
        scopes = func.jsonb_array_elements_text(cast(columns.scopes, JSONB)).table_valued("value")
    else:
        scopes = func.json_each(columns.scopes).table_valued("value")
    scope, prefix = scopes.c.value, f"{kind}:"
    found = select(scope).where(func.substr(scope, 1, len(prefix)) == prefix)
    return found.where(scope.not_in([f"{prefix}{each}" for each in names])).exists()


def paid_by(columns: Any, query: LedgerQuery, dialect: str) -> Iterator[ColumnElement[bool]]:
    """Yield what rows with columns of payers and `scopes` fulfil that a query's payers paid for."""
    # LIKE does not tell cases apart in SQLite.
    position: Callable[..., Any] = func.strpos if dialect == "postgresql" else func.instr
    for payer in query.payers:
        kind, _, name = payer.partition(":")
        if kind in PAYERS:
            yield columns[kind] == name
        else:
            needle = json.dumps(payer, ensure_ascii=False)
            yield position(columns.scopes, needle) > 0


def _asks_for_records(query: LedgerQuery) -> bool:
    """Return whether a filter is one that no sums have."""
    asked = (query.request_id, query.status, query.failed, query.deployment)
    amounts = (query.least_nanousd, query.most_nanousd)
    grouped = bool(query.without or query.outside)
    return grouped or any(each is not None for each in (*asked, *amounts))


def _whole(query: LedgerQuery, unit_us: int) -> bool:
    """Return whether a query's time consists of whole units."""
    begins = query.since_us is None or query.since_us % unit_us == 0
    return begins and (query.until_us is None or (query.until_us + 1) % unit_us == 0)


def _printed(group: Group, value: Any) -> str:
    if group is Group.DAY:
        return datetime.fromtimestamp(int(value) * 86_400, UTC).date().isoformat()
    return str(value)
