"""The tables of the history. `migrations/` makes them; a test compares the two.

Money is integer nano-dollars. A sum of one hour stays below 2^63 of them, some nine thousand
million dollars. '' is no key, team, user or customer.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text

METADATA = MetaData()

SUMMED = (
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
"""Columns of sums, in the order of the fields of LedgerSums."""


def _summed() -> list[Column[int]]:
    return [Column(name, BigInteger, nullable=False) for name in SUMMED]


def _texts(*names: str, primary_key: bool = False) -> list[Column[str]]:
    return [Column(name, Text, primary_key=primary_key, nullable=False) for name in names]


RECORDS = Table(
    "ledger_records",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("admitted_us", BigInteger, primary_key=True),
    Column("settled_us", BigInteger, nullable=False),
    *_texts("organization", "key", "team", "user", "customer", "member", "scopes"),
    *_texts("model", "deployment"),
    Column("status", Integer, nullable=False),
    *_summed(),
    Column("record", Text, nullable=False),
    Index("ix_ledger_records_admitted_us", "admitted_us"),
    Index("ix_ledger_records_settled_us", "settled_us", "id"),
    Index("ix_ledger_records_key", "key", "settled_us"),
    postgresql_partition_by="RANGE (admitted_us)",
)
"""One row a settled request; `record` is the ledger's own text, `scopes` its payers as JSON.

PostgreSQL keeps the rows of each month in a partition.
"""

HOURLY_SUMS = Table(
    "hourly_sums",
    METADATA,
    Column("hour", Integer, primary_key=True),
    *_texts("kind", "scope", "organization", "model", primary_key=True),
    *_summed(),
)
"""Sums by the hour of admission (whole hours since the epoch), for each payer and model.

`kind` and `scope` name the payer; the kind `all` holds each request once. Of a kind that a request
has at most one payer of, the scope '' holds those without.
"""

PAYER_DAYS = Table(
    "daily_payer_sums",
    METADATA,
    Column("kind", Text, primary_key=True),
    Column("day", Integer, primary_key=True),
    *_texts("scope", "organization", "model", primary_key=True),
    *_summed(),
)
"""HOURLY_SUMS by day, so that a report of months reads a twenty-fourth of the rows."""

DAILY_SUMS = Table(
    "daily_sums",
    METADATA,
    Column("day", Integer, primary_key=True),
    *_texts("organization", "key", "team", "user", "model", "deployment", primary_key=True),
    *_summed(),
)
"""Sums by the UTC day of admission (days since the epoch) of those who called together."""

DAILY_PARTS = Table(
    "daily_parts",
    METADATA,
    Column("day", Integer, primary_key=True),
    *_texts("organization", "key", "team", "user", "model", "deployment", primary_key=True),
    Column("part", Text, primary_key=True),
    Column("units", BigInteger, nullable=False),
    Column("cost_nanousd", BigInteger, nullable=False),
)
"""What the calls of DAILY_SUMS were charged for, by the kinds of their bills."""

POSITIONS = Table(
    "ledger_positions",
    METADATA,
    Column("organization", Text, primary_key=True),
    Column("position", Text, nullable=False),
)
"""How far the ledger of each organization has been recorded."""

REFUSALS = Table(
    "refusals",
    METADATA,
    *_texts("organization", primary_key=True),
    Column("written_ms", BigInteger, primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    *_texts("id"),
    Column("refused_us", BigInteger, nullable=False),
    Column("status", Integer, nullable=False),
    *_texts("reason", "model", "key", "team", "user", "customer", "member", "scopes"),
    Column("times", BigInteger, nullable=False),
    *_texts("record"),
    Index("ix_refusals_written", "written_ms", "sequence", "organization"),
    Index("ix_refusals_refused_us", "refused_us"),
    Index("ix_refusals_id", "id"),
)
"""One row a recorded refusal, which stands for `times` requests; `record` is the store's text."""

ALERTS = Table(
    "alerts",
    METADATA,
    *_texts("id", primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    *_texts("event", "scope", "scope_id", "alert"),
    Index("ix_alerts_at_us", "at_us"),
)
"""One row an alert; `alert` is the store's text."""

STREAM_POSITIONS = Table(
    "stream_positions",
    METADATA,
    *_texts("stream", "organization", primary_key=True),
    Column("written_ms", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
)
"""How far the streams of refusals and alerts have been taken in; alerts have no organization."""
