"""Write many rows with one prepared statement.

SQLAlchemy renders a statement and converts the parameters of each row on every execution, which
took half of the recorder's CPU. Here the statement is rendered once, and the driver gets the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Dialect, Table


class RowWriter:
    """An insert of whole rows, rendered for one kind of database."""

    def __init__(self, insert: Any, dialect: Dialect) -> None:
        columns = insert.table.columns.keys()
        compiled = insert.compile(dialect=dialect, column_keys=columns)
        assert compiled.positiontup == columns
        self._statement = str(compiled)

    def run(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Write rows, at least one: their values in the order of the table's columns."""
        given: Any = rows
        connection.exec_driver_sql(self._statement, given)


def adding(insert: Any, table: Table, summed: Sequence[str]) -> Any:
    """Return an insert that adds its sums to those that are there."""
    added = {name: table.c[name] + insert.excluded[name] for name in summed}
    keys = [each.name for each in table.primary_key]
    return insert.on_conflict_do_update(index_elements=keys, set_=added)
