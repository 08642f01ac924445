"""/spend/* and /global/spend"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ValidationError

from tollgate.adapters.http_api.bodies import JsonRoute
from tollgate.adapters.http_api.dependencies import Admin, Administered, Somebody
from tollgate.adapters.http_api.queries import (
    COMPLETE_FROM,
    NEXT_CURSOR,
    TOTAL_COUNT,
    Day,
    ListLimit,
    LogFilters,
    PageNumber,
    days_query,
)
from tollgate.adapters.http_api.routes.lookups.refusals import Refused
from tollgate.adapters.http_api.wire import keys as key_wire
from tollgate.adapters.http_api.wire import reports as wire
from tollgate.adapters.http_api.wire import users as user_wire
from tollgate.adapters.http_api.wire.parts.limits import printed_dollars
from tollgate.adapters.http_api.wire.parts.types import printed_time
from tollgate.core.errors import BadRequest
from tollgate.core.money.dollars import dollars_of
from tollgate.management.spending.ranking import Ranking
from tollgate.ports.history_ports import Group
from tollgate.reporting.reports import MOST_RECORDS, Reports
from tollgate.reporting.usage_sums import UsageSums

router = APIRouter(tags=["spend and models"], route_class=JsonRoute)


def reports_of(request: Request) -> Reports:
    """Return the reports that this API serves."""
    reports: Reports = request.app.state.reports
    return reports


Reported = Annotated[Reports, Depends(reports_of)]


def usage_sums_of(request: Request) -> UsageSums:
    """Return the sums that this API serves."""
    usage_sums: UsageSums = request.app.state.usage_sums
    return usage_sums


Summing = Annotated[UsageSums, Depends(usage_sums_of)]


@router.get("/spend/keys")
async def spend_keys(
    management: Administered,
    response: Response,
    page: PageNumber = 1,
    limit: ListLimit = MOST_RECORDS,
) -> list[key_wire.KeyRow]:
    """List keys by spend, highest first.

    The header x-tollgate-total-count contains their number.
    """
    ranking = await management.keys.by_spend((page - 1) * limit, limit)
    response.headers[TOTAL_COUNT] = str(ranking.total)
    return [key_wire.row(live) for live in ranking.lives]


@router.get("/spend/users")
async def spend_users(
    management: Administered,
    response: Response,
    user_id: str | None = None,
    page: PageNumber = 1,
    limit: ListLimit = MOST_RECORDS,
) -> list[user_wire.UserRow]:
    """List users by spend, highest first, or return one of them.

    The header x-tollgate-total-count contains their number.
    """
    if user_id is None:
        ranking = await management.users.by_spend((page - 1) * limit, limit)
    else:
        ranking = Ranking([await management.users.live_by_id(user_id)], 1)
    response.headers[TOTAL_COUNT] = str(ranking.total)
    return [
        user_wire.row(live, await management.users.team_ids(live.entity.id))
        for live in ranking.lives
    ]


@router.get("/spend/logs")
async def spend_logs(
    management: Administered,
    reports: Reported,
    usage_sums: Summing,
    refused: Refused,
    response: Response,
    filters: Annotated[LogFilters, Depends()],
    summarize: bool = True,
    limit: ListLimit | None = None,
    cursor: str | None = None,
) -> list[wire.SpendLog] | list[wire.SpendDay]:
    """List records of the ledger, latest first; with both dates and `summarize`, sums by day. With
    `status=refused`, requests that were refused; /refusals tells more of them.

    If the list is cut, x-tollgate-next-cursor is the `cursor` of the next part. Records from before
    x-tollgate-complete-from may have been removed already.
    """
    query = await filters.query(management)
    if query.since_us is not None and query.since_us < reports.complete_from_us:
        response.headers[COMPLETE_FROM] = printed_time(reports.complete_from_us)
    by_day = summarize and filters.start_date is not None and filters.end_date is not None
    if by_day and not filters.refused:
        if limit is not None or cursor is not None:
            raise BadRequest(
                "sums are of all records; limit and cursor need summarize=false", "limit"
            )
        return [wire.day(each) for each in await usage_sums.days(query)]
    if filters.refused:
        refusals = await refused.page(query, limit or MOST_RECORDS, cursor)
        if refusals.cursor is not None:
            response.headers[NEXT_CURSOR] = refusals.cursor
        return [wire.refused_log(each) for each in refusals.records]
    found = await reports.records(query, limit or MOST_RECORDS, cursor)
    if found.cursor is not None:
        response.headers[NEXT_CURSOR] = found.cursor
    return [wire.log(each) for each in found.records]


@router.post("/spend/calculate")
async def calculate(body: wire.Calculate, _: Somebody, reports: Reported) -> wire.Cost:
    """Return what a reply cost, or what sending some messages would cost, at this
    proxy's prices.
    """
    try:
        usage = body.usage()
    except ValidationError as error:
        raise BadRequest(
            "completion_response.usage must hold whole numbers of tokens", "completion_response"
        ) from error
    return wire.Cost(cost=dollars_of(reports.cost(body.named_model(), usage)))


@router.get("/global/spend")
async def global_spend(_: Admin, reports: Reported) -> wire.GlobalSpend:
    """Return what the whole proxy has spent in its current period."""
    spend = await reports.proxy_spend()
    return wire.GlobalSpend(
        spend=dollars_of(spend.used_nanousd),
        max_budget=printed_dollars(reports.proxy.max_budget_nanousd),
    )


@router.get("/spend/sums")
async def spend_sums(
    _: Admin,
    usage_sums: Summing,
    group_by: Group,
    start_date: Day = None,
    end_date: Day = None,
) -> list[wire.SpendSumRow]:
    """What each key, team, user, customer, member, organization, model or day used: the greatest
    spend first, days in their order. Requests count on the day of UTC on which they were admitted.
    """
    rows = await usage_sums.usage(days_query(start_date, end_date), (group_by,))
    return wire.spend_sums(group_by, rows)
