"""The monthly partitions of the records in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import Connection, text

_PREFIX = "ledger_records_m"
_CHILDREN = text(
    "SELECT child.relname FROM pg_inherits"
    " JOIN pg_class child ON child.oid = inhrelid"
    " JOIN pg_class parent ON parent.oid = inhparent"
    " WHERE parent.relname = 'ledger_records'"
)


# Any number that nobody else locks by.
_LOCK = text("SELECT pg_advisory_xact_lock(7105200213)")


def create_for(connection: Connection, admitted_us: Iterable[int], known: set[int]) -> None:
    """Make the partitions that these times of admission need.

    `known`: months that have theirs, which is added to; they have them only once the transaction
    is committed.
    """
    missing = sorted({_month_of(each) for each in admitted_us} - known)
    if missing:
        # IF NOT EXISTS does not wait for another transaction that creates the same table.
        connection.execute(_LOCK)
    for month in missing:
        begin_us, end_us = _begin_us(month), _begin_us(month + 1)
        connection.execute(
            text(
                f"CREATE TABLE IF NOT EXISTS {_name(month)} PARTITION OF ledger_records"
                f" FOR VALUES FROM ({begin_us}) TO ({end_us})"
            )
        )
        known.add(month)


def drop_before(connection: Connection, admitted_us: int) -> None:
    """Drop the partitions whose whole month is earlier."""
    oldest = _name(_month_of(admitted_us))
    for name in connection.execute(_CHILDREN).scalars().all():
        if name.startswith(_PREFIX) and name < oldest:
            connection.execute(text(f"DROP TABLE {name}"))


def _month_of(instant_us: int) -> int:
    """Return the months from year 0 to the UTC month of a time."""
    day = datetime.fromtimestamp(instant_us // 1_000_000, UTC)
    return day.year * 12 + day.month - 1


def _begin_us(month: int) -> int:
    begin = datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return int(begin.timestamp()) * 1_000_000


def _name(month: int) -> str:
    """Return a partition's name; names of later months sort behind."""
    return f"{_PREFIX}{month // 12:04}{month % 12 + 1:02}"
