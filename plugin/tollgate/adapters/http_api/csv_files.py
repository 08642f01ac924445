"""Write CSV files (RFC 4180) whose texts no spreadsheet takes for formulas."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from decimal import Decimal

from fastapi import Response
from fastapi.responses import StreamingResponse

from tollgate.reporting.exports import Cell

# https://owasp.org/www-community/attacks/CSV_Injection
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def csv_lines(rows: Iterable[Sequence[Cell]]) -> str:
    """Return rows as lines of CSV; None is an empty field."""
    written = io.StringIO()
    csv.writer(written).writerows(map(_printed, row) for row in rows)
    return written.getvalue()


def csv_file(
    parts: Iterable[str] | AsyncIterable[str], file: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an answer that a browser saves as a file of that name. `parts`: its lines."""
    return StreamingResponse(
        parts,
        headers={**(headers or {}), **attachment(file)},
        media_type="text/csv; charset=utf-8",
    )


def attachment(file: str) -> dict[str, str]:
    """Return the header that names a file to save an answer as."""
    return {"content-disposition": f'attachment; filename="{file}"'}


def _printed(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, Decimal):
        return f"{cell:f}"
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULAS) else str(cell)
