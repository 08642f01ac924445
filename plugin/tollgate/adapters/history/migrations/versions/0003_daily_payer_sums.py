"""The hourly sums by day, summed from those that are there."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

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


def upgrade() -> None:
    """Make the table, and fill it."""
    op.create_table(
        "daily_payer_sums",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True),
        sa.Column("scope", sa.Text, primary_key=True),
        sa.Column("organization", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _SUMS),
    )
    sums = ", ".join(f"SUM({name})" for name in _SUMS)
    op.execute(
        f"INSERT INTO daily_payer_sums (kind, day, scope, organization, model, {', '.join(_SUMS)})"
        f" SELECT kind, hour / 24, scope, organization, model, {sums} FROM hourly_sums"
        " GROUP BY kind, hour / 24, scope, organization, model"
    )
