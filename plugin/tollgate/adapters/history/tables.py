"""The tables of the history. `migrations/` makes them; a test compares the two.

Money is integer nano-dollars. A sum of one hour stays below 2^63 of them, some nine thousand
million dollars.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text

METADATA = MetaData()

RECORDS = Table(
    "ledger_records",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("organization", Text, nullable=False),
    Column("admitted_us", BigInteger, nullable=False, index=True),
    Column("settled_us", BigInteger, nullable=False),
    Column("model", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("cost_nanousd", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
)
"""One row a settled request; `record` is the ledger's own text."""

HOURLY_SUMS = Table(
    "hourly_sums",
    METADATA,
    Column("hour", Integer, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("organization", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("failures", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost_nanousd", BigInteger, nullable=False),
)
"""Sums by the hour of admission (whole hours since the epoch), for each payer and model.

`kind` and `scope` name the payer; the kind `all` holds each request once.
"""

POSITIONS = Table(
    "ledger_positions",
    METADATA,
    Column("organization", Text, primary_key=True),
    Column("position", Text, nullable=False),
)
"""How far the ledger of each organization has been recorded."""
