"""Refused calls and alerts, and how far the store's streams of them have been taken in."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the tables; they begin with what the store still has."""
    op.create_table(
        "refusals",
        *_texts("organization", primary_key=True),
        sa.Column("written_ms", sa.BigInteger, primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True),
        *_texts("id"),
        sa.Column("refused_us", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        *_texts("reason", "model", "key", "team", "user", "customer", "member", "scopes"),
        sa.Column("times", sa.BigInteger, nullable=False),
        *_texts("record"),
    )
    op.create_index("ix_refusals_written", "refusals", ["written_ms", "sequence", "organization"])
    op.create_index("ix_refusals_refused_us", "refusals", ["refused_us"])
    op.create_index("ix_refusals_id", "refusals", ["id"])
    op.create_table(
        "alerts",
        *_texts("id", primary_key=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        *_texts("event", "scope", "scope_id", "alert"),
    )
    op.create_index("ix_alerts_at_us", "alerts", ["at_us"])
    op.create_table(
        "stream_positions",
        *_texts("stream", "organization", primary_key=True),
        sa.Column("written_ms", sa.BigInteger, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
    )


def _texts(*names: str, primary_key: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, primary_key=primary_key, nullable=False) for name in names]
