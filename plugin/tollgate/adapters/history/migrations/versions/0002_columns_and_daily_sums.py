"""Payers as columns of records, more kinds of sums, sums and parts by day, monthly partitions.

Everything is computed anew from the records that are there. Hours whose records are gone keep
their sums; what those did not count stays 0.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from tollgate.core.calls.ledger_sums import LedgerSums, charged_parts
from tollgate.core.calls.records import Record

revision = "0002"
down_revision = "0001"

_Place = tuple[Any, ...]
_AT_ONCE = 1_000
_HOUR_US, _DAY_US = 3_600_000_000, 86_400_000_000
_NEW_SUMS = ("cache_read_tokens", "cache_write_tokens", "unsure_nanousd", "unpriced")
_SUMS = (
    "requests",
    "failures",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cost_nanousd",
    "unsure_nanousd",
    "unpriced",
)
_DAY_KEY = ("organization", "key", "team", "user", "model", "deployment")


def upgrade() -> None:
    """Make the tables, and carry over what the former ones held."""
    with op.batch_alter_table("hourly_sums") as table:
        for name in _NEW_SUMS:
            table.add_column(sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
    op.drop_index("ix_ledger_records_admitted_us", "ledger_records")
    op.rename_table("ledger_records", "ledger_records_0001")
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        op.execute("ALTER INDEX ledger_records_pkey RENAME TO ledger_records_0001_pkey")
    records = op.create_table(
        "ledger_records",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("admitted_us", sa.BigInteger, primary_key=True),
        sa.Column("settled_us", sa.BigInteger, nullable=False),
        *_texts("organization", "key", "team", "user", "customer", "member", "scopes"),
        *_texts("model", "deployment"),
        sa.Column("status", sa.Integer, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _SUMS),
        sa.Column("record", sa.Text, nullable=False),
        postgresql_partition_by="RANGE (admitted_us)",
    )
    daily_sums = op.create_table(
        "daily_sums",
        sa.Column("day", sa.Integer, primary_key=True),
        *_texts(*_DAY_KEY, primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _SUMS),
    )
    daily_parts = op.create_table(
        "daily_parts",
        sa.Column("day", sa.Integer, primary_key=True),
        *_texts(*_DAY_KEY, "part", primary_key=True),
        sa.Column("units", sa.BigInteger, nullable=False),
        sa.Column("cost_nanousd", sa.BigInteger, nullable=False),
    )
    _carry_over(connection, records, daily_sums, daily_parts)
    op.drop_table("ledger_records_0001")
    for name, *columns in (
        ("admitted_us", "admitted_us"),
        ("settled_us", "settled_us", "id"),
        ("key", "key", "settled_us"),
    ):
        op.create_index(f"ix_ledger_records_{name}", "ledger_records", columns)


def _texts(*names: str, primary_key: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, primary_key=primary_key, nullable=False) for name in names]


def _row(record: Record, payers: dict[str, str]) -> dict[str, Any]:
    """Return the columns that come from a record."""
    counted = LedgerSums()
    counted.add(record)
    return {
        "id": record.id,
        "admitted_us": record.admitted_us,
        **payers,
        "scopes": json.dumps(record.scopes, ensure_ascii=False, separators=(",", ":")),
        "model": record.model,
        "deployment": record.deployment,
        "status": record.status,
        **dict(zip(_SUMS, counted.amounts(), strict=True)),
    }


def _carry_over(
    connection: sa.Connection, records: sa.Table, daily_sums: sa.Table, daily_parts: sa.Table
) -> None:
    """Write the new rows of all records; sums are gathered and written at the end."""
    days: dict[_Place, LedgerSums] = {}
    parts: dict[_Place, list[int]] = {}
    hours: dict[_Place, LedgerSums] = {}
    months: set[int] = set()
    last = ""
    while rows := connection.execute(
        sa.text(
            "SELECT id, organization, settled_us, record FROM ledger_records_0001"
            " WHERE id > :last ORDER BY id LIMIT :count"
        ),
        {"last": last, "count": _AT_ONCE},
    ).all():
        last = rows[-1][0]
        carried = []
        for _, organization, settled_us, text in rows:
            record = _read(text)
            payers = _payers(record)
            carried.append(
                {
                    **_row(record, payers),
                    "organization": organization,
                    "settled_us": settled_us,
                    "record": text,
                }
            )
            callers = (organization, payers["key"], payers["team"], payers["user"])
            place = (record.admitted_us // _DAY_US, *callers, record.model, record.deployment)
            days.setdefault(place, LedgerSums()).add(record)
            for part in charged_parts(record):
                sums = parts.setdefault((*place, part.kind), [0, 0])
                sums[0] += part.units
                sums[1] += part.nanousd
            hour = record.admitted_us // _HOUR_US
            for payer in ("all:", *record.scopes):
                kind, _, scope = payer.partition(":")
                cell = hours.setdefault(
                    (hour, kind, scope, organization, record.model), LedgerSums()
                )
                cell.add(record)
        _make_partitions(connection, (each["admitted_us"] for each in carried), months)
        connection.execute(records.insert(), carried)
    _write(connection, daily_sums, ("day", *_DAY_KEY, *_SUMS), days)
    if parts:
        names = ("day", *_DAY_KEY, "part", "units", "cost_nanousd")
        connection.execute(
            daily_parts.insert(),
            [dict(zip(names, (*place, *sums), strict=True)) for place, sums in parts.items()],
        )
    _complete_hours(connection, hours)
    _add_nobody(connection)


def _add_nobody(connection: sa.Connection) -> None:
    """Add what of each hour had no payer of a kind, as the scope ''."""
    key = "hour, organization, model"
    for kind in ("key", "team", "user", "customer", "member"):
        rest = ", ".join(f"a.{name} - COALESCE(p.{name}, 0)" for name in _SUMS)
        sums = ", ".join(f"SUM({name}) AS {name}" for name in _SUMS)
        connection.execute(
            sa.text(
                f"INSERT INTO hourly_sums (kind, scope, {key}, {', '.join(_SUMS)})"
                f" SELECT '{kind}', '', a.hour, a.organization, a.model, {rest}"
                " FROM hourly_sums a LEFT JOIN"
                f" (SELECT {key}, {sums} FROM hourly_sums WHERE kind = '{kind}' GROUP BY {key}) p"
                " ON p.hour = a.hour AND p.organization = a.organization AND p.model = a.model"
                " WHERE a.kind = 'all' AND a.requests > COALESCE(p.requests, 0)"
            )
        )


def _read(text: str) -> Record:
    import msgspec

    return msgspec.json.decode(text, type=Record)


def _payers(record: Record) -> dict[str, str]:
    found = dict.fromkeys(("key", "team", "user", "customer", "member"), "")
    for scope in record.scopes:
        kind, _, name = scope.partition(":")
        if kind in found:
            found[kind] = name
    return found


def _write(
    connection: sa.Connection,
    table: sa.Table,
    names: tuple[str, ...],
    sums: dict[_Place, LedgerSums],
) -> None:
    if sums:
        rows = [
            dict(zip(names, (*place, *each.amounts()), strict=True)) for place, each in sums.items()
        ]
        connection.execute(table.insert(), rows)


def _complete_hours(connection: sa.Connection, hours: dict[_Place, LedgerSums]) -> None:
    changed = ", ".join(f"{name} = :{name}" for name in _NEW_SUMS)
    update = sa.text(
        f"UPDATE hourly_sums SET {changed} WHERE hour = :hour AND kind = :kind AND scope = :scope"
        " AND organization = :organization AND model = :model"
    )
    rows = [
        {
            **dict(zip(("hour", "kind", "scope", "organization", "model"), place, strict=True)),
            **{
                name: value
                for name, value in zip(_SUMS, each.amounts(), strict=True)
                if name in _NEW_SUMS
            },
        }
        for place, each in hours.items()
    ]
    if rows:
        connection.execute(update, rows)


def _make_partitions(connection: sa.Connection, times: Iterable[int], known: set[int]) -> None:
    if connection.dialect.name != "postgresql":
        return
    for admitted_us in times:
        day = datetime.fromtimestamp(admitted_us // 1_000_000, UTC)
        month = day.year * 12 + day.month - 1
        if month in known:
            continue
        known.add(month)
        begin_us, end_us = (
            int(datetime(each // 12, each % 12 + 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
            for each in (month, month + 1)
        )
        connection.execute(
            sa.text(
                f"CREATE TABLE ledger_records_m{month // 12:04}{month % 12 + 1:02}"
                " PARTITION OF ledger_records"
                f" FOR VALUES FROM ({begin_us}) TO ({end_us})"
            )
        )
