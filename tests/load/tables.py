"""Tables, printed by rich and written as Markdown, and the file of results, of which each benchmark
owns one section.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text
from tests.load.stats import Spread


@dataclass(frozen=True, slots=True)
class Table:
    """`rows` hold a text for each of `columns`; the first column is words, the others figures."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def print_table(console: Console, table: Table) -> None:
    """Show it."""
    shown = RichTable(
        title=table.title, title_justify="left", caption=table.note or None, caption_justify="left"
    )
    for number, column in enumerate(table.columns):
        shown.add_column(column, justify="right" if number else "left")
    for row in table.rows:
        # Text, because rich would read brackets as markup.
        shown.add_row(*map(Text, row))
    console.print(shown)


def markdown(table: Table) -> str:
    """The same for a file."""
    head = [" | ".join(table.columns), " | ".join(["---", *["---:"] * (len(table.columns) - 1)])]
    lines = [f"| {line} |" for line in (*head, *(" | ".join(_escaped(row)) for row in table.rows))]
    note = ["", table.note] if table.note else []
    return "\n".join([f"### {table.title}", "", *lines, *note, ""])


def _escaped(row: Sequence[str]) -> list[str]:
    return [cell.replace("|", "\\|") for cell in row]


def figure(value: float) -> str:
    """Three digits, or all that are whole."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def shown(spread: Spread, scale: float = 1.0, form: Callable[[float], str] = figure) -> str:
    """The median, and the least and the most of the rounds; each divided by `scale`."""
    least, most = form(spread.least / scale), form(spread.most / scale)
    middle = form(spread.median / scale)
    return middle if least == most else f"{middle} ({least} to {most})"


def times(ratio: float) -> str:
    """How many times as much."""
    return f"{figure(ratio)}x"


def replace_section(file: Path, name: str, text: str) -> None:
    """Write one section of the file, and leave the others as they are."""
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    file.write_text(with_section(before, name, text), encoding="utf-8")


def with_section(document: str, name: str, text: str) -> str:
    """A document with one section replaced, or added at its end."""
    section = f"<!-- begin {name} -->\n{text.strip()}\n<!-- end {name} -->"
    mark = re.compile(
        rf"<!-- begin {re.escape(name)} -->.*?<!-- end {re.escape(name)} -->", re.DOTALL
    )
    if mark.search(document):
        return mark.sub(lambda _: section, document)
    return "\n\n".join(part for part in (document.strip(), section) if part) + "\n"
