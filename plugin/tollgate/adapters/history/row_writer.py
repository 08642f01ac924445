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
        compiled = insert.compile(dialect=dialect, column_keys=insert.table.columns.keys())
        self._statement = str(compiled)
        self._places: Sequence[str] | None = compiled.positiontup

    def run(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        """Write rows, at least one."""
        given: Any = rows
        if self._places is not None:
            given = [tuple([row[name] for name in self._places]) for row in rows]
        connection.exec_driver_sql(self._statement, given)


def adding(insert: Any, table: Table, summed: Sequence[str]) -> Any:
    """Return an insert that adds its sums to those that are there."""
    added = {name: table.c[name] + insert.excluded[name] for name in summed}
    keys = [each.name for each in table.primary_key]
    return insert.on_conflict_do_update(index_elements=keys, set_=added)
