"""Print answers completely, so that ids can be copied, and within the width of the terminal."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import typer

_GAP = "  "


def show(answer: Any, *, as_json: bool, columns: Sequence[str] = ()) -> None:
    """Print an answer: as JSON, a list as a table of the given columns, anything
    else line by line.
    """
    if as_json:
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    elif isinstance(answer, list) and columns and all(isinstance(row, dict) for row in answer):
        print_rows(columns, [[_shown(row.get(column)) for column in columns] for row in answer])
    elif isinstance(answer, dict):
        _print_fields([(name, _shown(value)) for name, value in answer.items()])
    else:
        typer.echo(_shown(answer))


def write_csv(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    """Print some columns of objects as RFC 4180 comma-separated values, with a header."""
    writer = csv.writer(sys.stdout)
    writer.writerow(columns)
    writer.writerows([row.get(column) for column in columns] for row in rows)


def print_rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; if it is wider than the terminal, print each row field by field.

    Nothing is cut or folded. Without a known width (a pipe) it stays a table.
    """
    lines = list(_aligned([header, *rows]))
    width = shutil.get_terminal_size((0, 0)).columns
    if width and max(map(_width, lines)) > width and rows:
        for number, row in enumerate(rows):
            if number:
                typer.echo("")
            _print_fields(list(zip(header, row, strict=True)))
        return
    typer.echo("\n".join(lines))


def _print_fields(pairs: Sequence[tuple[str, str]]) -> None:
    for line in _aligned(pairs):
        typer.echo(line)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the rows as lines; every column but the last is padded to its widest cell."""
    if not rows:
        return
    widths = [max(_width(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        ]
        yield _GAP.join(cells).rstrip()


def _width(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    from rich.cells import cell_len

    return cell_len(text)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # A line break would tear the table, and an escape sequence would reach the terminal.
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
