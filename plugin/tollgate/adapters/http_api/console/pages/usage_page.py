"""*Usage*: one chart of what was used, by day and group; its filters stand in the address."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response

from tollgate.adapters.http_api.console.charts import Column, Piece, stacked
from tollgate.adapters.http_api.console.page_rendering import HEADERS, count, dollars, page
from tollgate.adapters.http_api.console.page_rendering import query as query_of
from tollgate.adapters.http_api.console.team_rights import Leading, within_teams
from tollgate.adapters.http_api.console.visitors import Administrating
from tollgate.adapters.http_api.csv_files import csv_file, csv_lines
from tollgate.adapters.http_api.dependencies import Managed
from tollgate.adapters.http_api.queries import Day, LogFilters
from tollgate.adapters.http_api.routes.lookups.exports import ExportDays, ExportFormat, export
from tollgate.adapters.http_api.routes.lookups.refusals import Refused
from tollgate.adapters.http_api.routes.reports import Reported, Summing
from tollgate.core.calls.ledger_sums import LedgerSums
from tollgate.core.errors import BadRequest
from tollgate.core.money.dollars import dollars_of
from tollgate.management import Management
from tollgate.ports.history_ports import Group
from tollgate.reporting.exports import Cell
from tollgate.reporting.refused import GroupedCounts
from tollgate.reporting.usage_sums import GroupedSums

Measure = Literal[
    "spend",
    "requests",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "failures",
    "refusals",
]
_SHOWN_GROUPS, _LISTED_GROUPS = 7, 50
_DAYS, _MOST_DAYS = 14, 400
_OTHERS = "others"
_GROUPS = tuple(each for each in Group if each not in (Group.DAY, Group.HOUR))
_CSV_COLUMNS = (
    "requests",
    "failures",
    "input_tokens",
    "output_tokens",
    "spend_usd",
    "unsure_usd",
)
# Which filter of the ledger leads to the records behind a group.
FILTERS = {
    Group.KEY: "api_key",
    Group.TEAM: "team_id",
    Group.USER: "user_id",
    Group.CUSTOMER: "customer_id",
    Group.MODEL: "model",
    Group.ORGANIZATION: "organization_id",
    Group.STATUS: "status",
    Group.MEMBER: "member_id",
    Group.DEPLOYMENT: "model_id",
}

router = APIRouter(prefix="/usage")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a chart is asked to show. Without dates: the last two weeks."""

    by: Group = Group.MODEL
    measure: Measure = "spend"


@router.get("")
async def usage(
    request: Request,
    visitor: Leading,
    management: Managed,
    reports: Reported,
    refused: Refused,
    usage_sums: Summing,
    asked: Annotated[Asked, Depends()],
    filters: Annotated[LogFilters, Depends()],
) -> Response:
    """Show sums by day and group."""
    filters = _dated(within_teams(visitor, filters), reports.today)
    query = await filters.query(management)
    sums = GroupedSums()
    if asked.measure == "refusals":
        counts = await refused.counts(query, asked.by)
    else:
        sums = await usage_sums.grouped(query, asked.by)
        counts = counted(sums, asked.measure)
    ranked = sorted(counts.groups, key=lambda each: -counts.groups[each])
    shown, listed = ranked[:_SHOWN_GROUPS], ranked[:_LISTED_GROUPS]
    names = await _names(management, asked.by, listed)
    days = list(_columns(counts, shown, names, filters, asked))
    values = {
        "visitor": visitor,
        "asked": asked,
        "filters": filters,
        "group_options": [(each.value, each.value) for each in _GROUPS],
        "links": {each: link(asked, filters, each) for each in listed},
        "listed": listed,
        "others": len(ranked) - len(listed),
        "others_sums": sum_of(
            [sums.groups[each] for each in ranked[_LISTED_GROUPS:] if sums.groups]
        ),
        "others_count": sum(counts.groups[each] for each in ranked[_LISTED_GROUPS:]),
        "others_link": others_link(asked, filters, listed),
        "sums": sums,
        "counts": counts,
        "shown": shown,
        "hidden": len(ranked) > len(shown),
        "names": names,
        "days": days,
        "chart": stacked(days, whole=asked.measure != "spend"),
        "printed": lambda value: printed(value, asked.measure),
        "complete_from_us": reports.complete_from_us,
    }
    return page(request, "usage.html", values)


@router.get(".csv")
async def as_csv(
    visitor: Leading,
    management: Managed,
    reports: Reported,
    refused: Refused,
    usage_sums: Summing,
    asked: Annotated[Asked, Depends()],
    filters: Annotated[LogFilters, Depends()],
) -> Response:
    """Return the same sums as CSV: one row for each day and group."""
    filters = _dated(within_teams(visitor, filters), reports.today)
    query = await filters.query(management)
    columns: tuple[str, ...]
    cells: dict[tuple[date, str], tuple[Cell, ...]]
    if asked.measure == "refusals":
        columns = ("refused",)
        counts = (await refused.counts(query, asked.by)).cells
        cells = {place: (each,) for place, each in counts.items()}
    else:
        columns = _CSV_COLUMNS
        sums = (await usage_sums.grouped(query, asked.by)).cells
        cells = {place: _csv_cells(each) for place, each in sums.items()}
    names = await _names(management, asked.by, {group for _, group in cells})
    rows: list[tuple[Cell, ...]] = [("day", asked.by.value, "name", *columns)]
    for (day, group), each in sorted(cells.items()):
        rows.append((day.isoformat(), group, names.get(group, ""), *each))
    return csv_file([csv_lines(rows)], f"usage-by-{asked.by.value}.csv", HEADERS)


@router.get("/export")
async def as_export(
    _: Administrating,
    management: Managed,
    reports: Reported,
    usage_sums: Summing,
    format: ExportFormat = ExportFormat.FOCUS,  # noqa: A002 - the parameter's name
    start_date: Day = None,
    end_date: Day = None,
) -> Response:
    """Return an export of the days that the page shows."""
    name = f"tollgate-{start_date}-{end_date}"
    days = ExportDays(start_date, end_date)
    return await export(management, reports, usage_sums, format, days, name)


def counted(sums: GroupedSums, measure: Measure) -> GroupedCounts:
    """Return what a measure counts of the sums."""
    return GroupedCounts(
        {place: measured(each, measure) for place, each in sums.cells.items()},
        {group: measured(each, measure) for group, each in sums.groups.items()},
        measured(sums.total, measure),
    )


def link(asked: Asked, filters: LogFilters, group: str, day: date | None = None) -> str:
    """Return the address of the requests behind a group, on one day or on all that the filters
    name.
    """
    if not group:
        return _link(asked, filters, day, without=[*(filters.without or ()), asked.by.value])
    if asked.by is Group.TAG:
        return _link(asked, filters, day, tag=list(dict.fromkeys([*(filters.tag or ()), group])))
    if asked.by is Group.STATUS and asked.measure == "refusals":
        return _link(asked, filters, day, status=f"refused-{group}")
    return _link(asked, filters, day, **{FILTERS[asked.by]: group})


def others_link(
    asked: Asked, filters: LogFilters, known: Sequence[str], day: date | None = None
) -> str:
    """Return the address of the requests behind all groups but some."""
    outside = [f"{asked.by.value}:{each}" for each in known]
    return _link(asked, filters, day, outside=[*(filters.outside or ()), *outside])


def _link(asked: Asked, filters: LogFilters, day: date | None, **narrowed: object) -> str:
    given = filters.given
    if asked.measure == "refusals":
        given["status"] = "refused"
    elif asked.measure == "failures":
        given.setdefault("status", "failure")
    if day is not None:
        given |= {"start_date": day, "end_date": day}
    return f"/ui/requests{query_of(**{**given, **narrowed})}"


def sum_of(several: Sequence[LedgerSums]) -> LedgerSums:
    """Return the total of some sums."""
    total = LedgerSums()
    for each in several:
        total.add_sums(each)
    return total


def measured(sums: LedgerSums, measure: Measure) -> int:
    """Return one of the sums."""
    value: int = sums.nanousd if measure == "spend" else getattr(sums, measure)
    return value


def printed(value: float, measure: Measure) -> str:
    """Print a value of a measure."""
    if measure == "spend":
        return dollars(int(value))
    return count(value)


def _csv_cells(sums: LedgerSums) -> tuple[Cell, ...]:
    counts = (sums.requests, sums.failures, sums.input_tokens, sums.output_tokens)
    amounts = (sums.nanousd, sums.unsure_nanousd)
    return (*counts, *(f"{dollars_of(each):.9f}" for each in amounts))


def _dated(filters: LogFilters, today: date) -> LogFilters:
    """Return the filters with both dates. Raises BadRequest."""
    last = filters.last_day or today
    first = filters.first_day or last - timedelta(days=_DAYS - 1)
    if not 0 <= (last - first).days < _MOST_DAYS:
        raise BadRequest(f"choose between 1 and {_MOST_DAYS} days, the first before the last")
    return replace(filters, start_date=first.isoformat(), end_date=last.isoformat())


async def _names(management: Management, by: Group, groups: Iterable[str]) -> dict[str, str]:
    """Return how groups are called, where that is not their id."""
    names = {"": "(none)"}
    if by is Group.KEY:
        names |= await management.keys.names([each for each in groups if each])
    return names


def _columns(
    counts: GroupedCounts,
    shown: list[str],
    names: dict[str, str],
    filters: LogFilters,
    asked: Asked,
) -> Iterator[Column]:
    """Return a column for each day: a piece for each group that is shown, and one
    for all others.
    """
    first, last = filters.first_day, filters.last_day
    assert first is not None
    assert last is not None
    hidden = [each for each in counts.groups if each not in shown]
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        pieces = []
        for group in shown:
            value = counts.cells.get((day, group), 0)
            told = f"{day} {names.get(group, group)}: {printed(value, asked.measure)}"
            pieces.append(Piece(value, told, link(asked, filters, group, day)))
        rest = sum(counts.cells.get((day, group), 0) for group in hidden)
        told = f"{day} {_OTHERS}: {printed(rest, asked.measure)}"
        pieces.append(Piece(rest, told, others_link(asked, filters, shown, day)))
        yield Column(f"{day:%b %d}", tuple(pieces))
