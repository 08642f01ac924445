"""/spend/export"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import chain, islice

from fastapi import APIRouter, Response

from tollgate.adapters.http_api.bodies import JsonRoute
from tollgate.adapters.http_api.csv_files import attachment, csv_file, csv_lines
from tollgate.adapters.http_api.dependencies import Administered
from tollgate.adapters.http_api.queries import Day, days_query
from tollgate.adapters.http_api.routes.reports import Reported, Summing
from tollgate.core.errors import BadRequest
from tollgate.management import Management
from tollgate.reporting.exports import (
    DAILY_COLUMNS,
    DAILY_GROUPS,
    FOCUS_COLUMNS,
    Cell,
    ExportNames,
    daily_cells,
    focus_cells,
)
from tollgate.reporting.reports import Reports
from tollgate.reporting.usage_sums import UsageSums

router = APIRouter(tags=["spend and models"], route_class=JsonRoute)

_ROWS_AT_ONCE = 1_000
_NUMBERS = frozenset(DAILY_COLUMNS[DAILY_COLUMNS.index("requests") : -1])


class ExportFormat(StrEnum):
    """Forms of an export."""

    CSV = "csv"
    PARQUET = "parquet"
    FOCUS = "focus"


@dataclass(frozen=True, slots=True)
class ExportDays:
    """The days of an export, both included; None: no bound."""

    first: date | None
    last: date | None


@router.get("/spend/export", response_class=Response)
async def spend_export(
    management: Administered,
    reports: Reported,
    usage_sums: Summing,
    format: ExportFormat = ExportFormat.CSV,  # noqa: A002 - the parameter's name
    start_date: Day = None,
    end_date: Day = None,
) -> Response:
    """Return what was used on whole days of UTC as a file: by day, key, team, user, model and
    deployment, as CSV or Parquet; or with the columns of FOCUS 1.2 as CSV, with a row for each kind
    of token.
    """
    name = f"tollgate-{start_date or 'begin'}-{end_date or reports.today}"
    return await export(
        management, reports, usage_sums, format, ExportDays(start_date, end_date), name
    )


async def export(
    management: Management,
    reports: Reports,
    usage_sums: UsageSums,
    form: ExportFormat,
    days: ExportDays,
    name: str,
) -> Response:
    """Return an export. Raises BadRequest for Parquet without its library."""
    query = days_query(days.first, days.last)
    if form is ExportFormat.FOCUS:
        parts = await usage_sums.parts(query)
        names = await _names(
            management, reports, [each.key for each in parts], [each.team for each in parts]
        )
        return _csv(FOCUS_COLUMNS, focus_cells(parts, names), f"{name}.focus.csv")
    rows = await usage_sums.usage(query, DAILY_GROUPS)
    names = await _names(
        management, reports, [each.groups[2] for each in rows], [each.groups[3] for each in rows]
    )
    cells = daily_cells(rows, names)
    if form is ExportFormat.PARQUET:
        return _parquet(list(cells), f"{name}.parquet")
    return _csv(DAILY_COLUMNS, cells, f"{name}.csv")


async def _names(
    management: Management, reports: Reports, keys: Sequence[str], teams: Sequence[str]
) -> ExportNames:
    return ExportNames(
        await management.keys.names([each for each in keys if each]),
        await management.teams.aliases(teams),
        reports.provider_of,
        reports.model_of,
    )


def _csv(columns: Sequence[str], rows: Iterable[tuple[Cell, ...]], file: str) -> Response:
    return csv_file(_csv_parts(columns, rows), file)


def _csv_parts(columns: Sequence[str], rows: Iterable[tuple[Cell, ...]]) -> Iterator[str]:
    waiting = chain([columns], rows)
    while lines := csv_lines(islice(waiting, _ROWS_AT_ONCE)):
        yield lines


def _parquet(rows: Sequence[tuple[Cell, ...]], file: str) -> Response:
    """Return rows as Parquet; dollars as decimals of nine digits."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise BadRequest(
            "Parquet needs the extra `parquet` where the admin server runs: pip install"
            " 'envoy-tollgate[parquet]'",
            "format",
        ) from error
    kinds = {name: pyarrow.int64() for name in _NUMBERS} | {"usd": pyarrow.decimal128(28, 9)}
    columns = [
        pyarrow.array([row[number] for row in rows], kinds.get(name, pyarrow.string()))
        for number, name in enumerate(DAILY_COLUMNS)
    ]
    written = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_arrays(columns, list(DAILY_COLUMNS)), written)
    kind = "application/vnd.apache.parquet"
    return Response(written.getvalue(), headers=attachment(file), media_type=kind)
