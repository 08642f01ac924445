"""LiteLLM's reports of spend: /global/spend/*, /spend/tags, /spend/logs/v2, daily activity."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from tollgate.adapters.http_api.bodies import JsonRoute
from tollgate.adapters.http_api.dependencies import Admin, Administered, Managed, Somebody
from tollgate.adapters.http_api.queries import Day, LogFilters, PageNumber, days_query, key_id_of
from tollgate.adapters.http_api.routes.reports import Reported, Summing
from tollgate.adapters.http_api.wire import reports as report_wire
from tollgate.adapters.http_api.wire.lookups import spend_reports as wire
from tollgate.core.errors import BadRequest
from tollgate.core.money.dollars import dollars_of
from tollgate.management import Management
from tollgate.management.administrators import Caller, Holder
from tollgate.ports import LedgerQuery
from tollgate.ports.history_ports import Group, UsageRow
from tollgate.reporting.reports import MOST_RECORDS, Reports
from tollgate.reporting.usage_sums import UsageSums

router = APIRouter(tags=["spend and models"], route_class=JsonRoute)

_USUAL_DAYS = 30
_FIRST = Query(ge=1, le=1_000, description="How many, the greatest first.", examples=[10])
Greatest = Annotated[int, _FIRST]
PageSize = Annotated[int, Query(ge=1, le=1_000, description="How many of one page.", examples=[50])]
_ACTIVITY = (Group.DAY, Group.KEY, Group.MODEL, Group.DEPLOYMENT, Group.TEAM)


class ReportedBy(StrEnum):
    """What /global/spend/report groups by."""

    TEAM = "team"
    CUSTOMER = "customer"
    API_KEY = "api_key"


@dataclass(frozen=True, slots=True)
class _ReportFilters:
    """Filters of a report; all given ones must match."""

    start_date: Day = None
    end_date: Day = None
    api_key: str | None = None
    internal_user_id: str | None = None
    team_id: str | None = None
    customer_id: str | None = None

    async def query(self, management: Management, today: date) -> LedgerQuery:
        """Return them as a query. Raises BadRequest."""
        named = {
            "key": self.api_key and await key_id_of(management, self.api_key),
            "user": self.internal_user_id,
            "team": self.team_id,
            "customer": self.customer_id,
        }
        payers = tuple(f"{kind}:{name}" for kind, name in named.items() if name is not None)
        days = days_query(*_dates(self.start_date, self.end_date, today))
        return replace(days, payers=payers)


@dataclass(frozen=True, slots=True)
class _ActivityFilters:
    """Filters of daily activity; all given ones must match."""

    start_date: Day = None
    end_date: Day = None
    model: str | None = None
    api_key: str | None = None

    async def query(self, management: Management, today: date) -> LedgerQuery:
        """Return them as a query. Raises BadRequest."""
        payers: tuple[str, ...] = ()
        if self.api_key is not None:
            payers = (f"key:{await key_id_of(management, self.api_key)}",)
        days = days_query(*_dates(self.start_date, self.end_date, today))
        return replace(days, payers=payers, model=self.model)


@router.get("/global/spend/report")
async def spend_report(
    management: Administered,
    reports: Reported,
    usage_sums: Summing,
    filters: Annotated[_ReportFilters, Depends()],
    group_by: ReportedBy = ReportedBy.TEAM,
) -> list[wire.TeamsOfDay] | list[wire.CustomersOfDay] | list[wire.KeyTotal]:
    """What teams or customers spent on each day of UTC, by model (and key); or what keys used in
    all of them. Without dates: the last 30 days.
    """
    query = await filters.query(management, reports.today)
    if group_by is ReportedBy.CUSTOMER:
        rows = await usage_sums.usage(query, (Group.DAY, Group.CUSTOMER, Group.MODEL))
        return wire.customers_by_day(rows)
    if group_by is ReportedBy.API_KEY:
        return wire.keys_in_all(await usage_sums.usage(query, (Group.KEY, Group.MODEL)))
    rows = await usage_sums.usage(query, (Group.DAY, Group.TEAM, Group.MODEL, Group.KEY))
    return wire.teams_by_day(
        rows, await management.teams.aliases([each.groups[1] for each in rows])
    )


@router.get("/global/spend/keys")
async def spend_of_keys(
    management: Administered, reports: Reported, usage_sums: Summing, limit: Greatest = 10
) -> list[dict[str, Any]]:
    """The keys that spent most in the last 30 days, in dollars."""
    rows = await _greatest(usage_sums, reports, Group.KEY, limit)
    names = await management.keys.names([each.groups[0] for each in rows])
    return [
        {"api_key": key, "key_alias": names.get(key), "key_name": names.get(key), **_spend(row)}
        for row in rows
        for key in row.groups
    ]


@router.get("/global/spend/models")
async def spend_of_models(
    _: Admin, reports: Reported, usage_sums: Summing, limit: Greatest = 10
) -> list[dict[str, Any]]:
    """The models on which most was spent in the last 30 days, in dollars."""
    rows = await _greatest(usage_sums, reports, Group.MODEL, limit)
    return [{"model": row.groups[0], **_spend(row)} for row in rows]


@router.get("/global/spend/provider")
async def spend_of_providers(
    _: Admin,
    reports: Reported,
    usage_sums: Summing,
    start_date: Day = None,
    end_date: Day = None,
) -> list[dict[str, Any]]:
    """What was spent at each provider, in dollars. Without dates: in the last 30 days."""
    query = days_query(*_dates(start_date, end_date, reports.today))
    sums: dict[str, int] = {}
    for row in await usage_sums.usage(query, (Group.DEPLOYMENT,)):
        provider = reports.provider_of(row.groups[0])
        sums[provider] = sums.get(provider, 0) + row.sums.nanousd
    ranked = sorted(sums.items(), key=lambda each: (-each[1], each[0]))
    return [{"provider": name, "spend": dollars_of(nanousd)} for name, nanousd in ranked]


@router.get("/global/spend/teams")
async def spend_of_teams(
    management: Administered, reports: Reported, usage_sums: Summing
) -> dict[str, Any]:
    """What each team spent in the last 30 days, in dollars, and on each day."""
    query = days_query(*_dates(None, None, reports.today))
    rows = [
        each for each in await usage_sums.usage(query, (Group.DAY, Group.TEAM)) if each.groups[1]
    ]
    names = await management.teams.aliases([each.groups[1] for each in rows])
    days: dict[str, dict[str, int]] = {}
    totals: dict[str, int] = {}
    for row in rows:
        day, team = row.groups
        name = names.get(team, team)
        # Several teams may have one alias.
        of_day = days.setdefault(day, {})
        of_day[name] = of_day.get(name, 0) + row.sums.nanousd
        totals[name] = totals.get(name, 0) + row.sums.nanousd
    ranked = sorted(totals, key=lambda each: (-totals[each], each))
    return {
        "daily_spend": [
            {"date": day, **{name: dollars_of(spent) for name, spent in days[day].items()}}
            for day in sorted(days)
        ],
        "teams": ranked,
        "total_spend_per_team": [
            {"team_id": each, "total_spend": dollars_of(totals[each])} for each in ranked
        ],
    }


@router.get("/global/spend/tags")
async def spend_of_tags(
    _: Admin,
    reports: Reported,
    usage_sums: Summing,
    start_date: Day = None,
    end_date: Day = None,
) -> dict[str, Any]:
    """What was spent under each tag, in dollars. A call counts under each of its tags."""
    rows = await _tags(usage_sums, reports, start_date, end_date)
    return {
        "spend_per_tag": [
            {
                "name": row.groups[0],
                "spend": dollars_of(row.sums.nanousd),
                "log_count": row.sums.requests,
            }
            for row in rows
        ]
    }


@router.get("/spend/tags")
async def spend_by_tag(
    _: Admin,
    reports: Reported,
    usage_sums: Summing,
    start_date: Day = None,
    end_date: Day = None,
) -> list[dict[str, Any]]:
    """The same as a list."""
    return [
        {
            "individual_request_tag": row.groups[0],
            "log_count": row.sums.requests,
            **_spend(row),
        }
        for row in await _tags(usage_sums, reports, start_date, end_date)
    ]


@router.get("/global/spend/logs")
async def spend_a_day(
    management: Administered, reports: Reported, usage_sums: Summing, api_key: str | None = None
) -> list[dict[str, Any]]:
    """What was spent on each of the last 30 days, in dollars: in all, or by one key."""
    query = days_query(*_dates(None, None, reports.today))
    if api_key is not None:
        query = replace(query, payers=(f"key:{await key_id_of(management, api_key)}",))
    rows = await usage_sums.usage(query, (Group.DAY,))
    return [
        {"date": row.groups[0], "spend": dollars_of(row.sums.nanousd)}
        for row in sorted(rows, key=lambda each: each.groups)
    ]


@router.get("/spend/logs/v2")
@router.get("/spend/logs/ui", include_in_schema=False)
async def spend_logs_by_page(
    management: Administered,
    reports: Reported,
    usage_sums: Summing,
    filters: Annotated[LogFilters, Depends()],
    page: PageNumber = 1,
    page_size: PageSize = 50,
) -> dict[str, Any]:
    """List records of the ledger by pages, latest first, and their number.

    Only the first 10,000 records have pages; /spend/logs continues with a cursor.
    """
    if page * page_size > MOST_RECORDS:
        raise BadRequest(
            f"the first {MOST_RECORDS} records have pages; read on with the cursor of /spend/logs",
            "page",
        )
    if filters.refused:
        raise BadRequest("refused requests are listed by /spend/logs and /refusals", "status")
    query = await filters.query(management)
    found = await reports.records(query, page * page_size)
    total = sum(each.sums.requests for each in await usage_sums.usage(query, ()))
    shown = found.records[(page - 1) * page_size :]
    return {
        "data": [report_wire.log(each).model_dump(mode="json") for each in shown],
        "total": total,
        "page": page,
        "page_size": page_size,
        "total_pages": -(-total // page_size),
    }


@router.get("/user/daily/activity")
async def user_activity(
    caller: Somebody,
    management: Managed,
    reports: Reported,
    usage_sums: Summing,
    filters: Annotated[_ActivityFilters, Depends()],
    user_id: str | None = None,
    page: PageNumber = 1,
    page_size: PageSize = 10,
) -> dict[str, Any]:
    """What was used on each day, newest first, by model, provider, key and team.

    An ordinary key sees its user's calls, or its own without a user. `page_size` counts days.
    """
    query = await filters.query(management, reports.today)
    if user_id is not None:
        query = replace(query, payers=(*query.payers, f"user:{user_id}"))
    return await _activity(
        _seen_by(caller, query), management, reports, usage_sums, page, page_size
    )


@router.get("/team/daily/activity")
async def team_activity(
    management: Administered,
    reports: Reported,
    usage_sums: Summing,
    filters: Annotated[_ActivityFilters, Depends()],
    team_ids: Annotated[
        str | None, Query(description="One team's id.", examples=["team-1"])
    ] = None,
    page: PageNumber = 1,
    page_size: PageSize = 10,
) -> dict[str, Any]:
    """The same of one team, or of all."""
    query = await filters.query(management, reports.today)
    if team_ids is not None:
        if "," in team_ids:
            raise BadRequest("team_ids takes one team", "team_ids")
        query = replace(query, payers=(*query.payers, f"team:{team_ids}"))
    return await _activity(query, management, reports, usage_sums, page, page_size)


async def _activity(
    query: LedgerQuery,
    management: Management,
    reports: Reports,
    usage_sums: UsageSums,
    page: int,
    page_size: int,
) -> dict[str, Any]:
    rows = await usage_sums.usage(query, _ACTIVITY)
    names = await management.keys.names([each.groups[1] for each in rows if each.groups[1]])
    return wire.activity(rows, page, page_size, names, reports.provider_of)


def _seen_by(caller: Caller, query: LedgerQuery) -> LedgerQuery:
    """Return the query, of what the caller may see."""
    if not isinstance(caller, Holder):
        return query
    own = f"key:{caller.key.hash}" if caller.user is None else f"user:{caller.user.id}"
    return replace(query, payers=(*query.payers, own))


async def _greatest(
    usage_sums: UsageSums, reports: Reports, group: Group, limit: int
) -> list[UsageRow]:
    query = days_query(*_dates(None, None, reports.today))
    rows = [each for each in await usage_sums.usage(query, (group,)) if each.groups[0]]
    return sorted(rows, key=lambda each: (-each.sums.nanousd, each.groups))[:limit]


async def _tags(
    usage_sums: UsageSums, reports: Reports, first: date | None, last: date | None
) -> list[UsageRow]:
    query = days_query(*_dates(first, last, reports.today))
    rows = await usage_sums.usage(query, (Group.TAG,))
    return sorted(rows, key=lambda each: (-each.sums.nanousd, each.groups))


def _dates(first: date | None, last: date | None, today: date) -> tuple[date, date]:
    """Return both dates; those that are not given make it 30 days up to today."""
    last = last or max(today, first or today)
    return first or last - timedelta(days=_USUAL_DAYS - 1), last


def _spend(row: UsageRow) -> dict[str, float]:
    return {"total_spend": dollars_of(row.sums.nanousd)}
