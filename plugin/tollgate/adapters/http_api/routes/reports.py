"""/spend/*, /global/spend, /model/info and /v1/models"""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError

from tollgate.adapters.http_api.bodies import JsonRoute
from tollgate.adapters.http_api.callers import Admin, Managed, Somebody
from tollgate.adapters.http_api.wire import keys as key_wire
from tollgate.adapters.http_api.wire import reports as wire
from tollgate.adapters.http_api.wire import users as user_wire
from tollgate.adapters.http_api.wire.limits import printed_dollars
from tollgate.core.entities import DEFAULT_ORGANIZATION
from tollgate.core.errors import BadRequest, NotFound
from tollgate.core.money import dollars_of
from tollgate.management.keys import KeyQuery
from tollgate.management.reports import LogQuery, Reports, by_day

router = APIRouter(tags=["spend and models"], route_class=JsonRoute)

_MOST_ROWS = 10_000


def reports_of(request: Request) -> Reports:
    """What this API reports from."""
    reports: Reports = request.app.state.reports
    return reports


Reported = Annotated[Reports, Depends(reports_of)]


@router.get("/spend/keys")
async def spend_keys(_: Admin, management: Managed) -> list[key_wire.KeyRow]:
    """Keys, those that spent most first."""
    page = await management.keys.page(KeyQuery(), 0, _MOST_ROWS)
    lives = await management.keys.live(page.entities)
    return [key_wire.row(live) for live in sorted(lives, key=lambda each: -each.spend.used_nanousd)]


@router.get("/spend/users")
async def spend_users(_: Admin, management: Managed, user_id: str | None = None) -> list[user_wire.UserRow]:
    """Users, those that spent most first; or one of them."""
    if user_id is None:
        lives = await management.users.live((await management.users.page(0, _MOST_ROWS)).entities)
    else:
        lives = [await management.users.find(user_id)]
    ordered = sorted(lives, key=lambda each: -each.spend.used_nanousd)
    return [user_wire.row(live, await management.users.team_ids(live.entity.id)) for live in ordered]


@router.get("/spend/logs")
async def spend_logs(
    _: Admin,
    management: Managed,
    reports: Reported,
    api_key: str | None = None,
    user_id: str | None = None,
    request_id: str | None = None,
    start_date: date | None = None,
    end_date: date | None = None,
    summarize: bool = True,
    organization_id: str = DEFAULT_ORGANIZATION,
) -> list[wire.SpendLog] | list[wire.SpendDay]:
    """The ledger, newest first; with both dates and `summarize`, its sums by day."""
    key_id = None
    if api_key is not None:
        try:
            key_id = (await management.keys.find(api_key)).entity.id
        except NotFound:
            key_id = api_key  # a deleted key's records stay, under its hash
    query = LogQuery(key_id, user_id, request_id, start_date, end_date, organization_id)
    records = await reports.records(query)
    if summarize and start_date is not None and end_date is not None:
        return [wire.day(each) for each in by_day(records)]
    return [wire.log(each) for each in records]


@router.post("/spend/calculate")
async def calculate(body: wire.Calculate, _: Somebody, reports: Reported) -> wire.Cost:
    """What a reply cost, or what sending some messages would, at the prices of this proxy."""
    try:
        usage = body.usage()
    except ValidationError as error:
        raise BadRequest(
            "completion_response.usage must hold whole numbers of tokens", "completion_response"
        ) from error
    return wire.Cost(cost=dollars_of(reports.cost(body.named_model(), usage)))


@router.get("/global/spend")
async def global_spend(_: Admin, reports: Reported) -> wire.GlobalSpend:
    """What the whole proxy has spent in its current period."""
    spend = await reports.proxy_spend()
    return wire.GlobalSpend(
        spend=dollars_of(spend.used_nanousd), max_budget=printed_dollars(reports.proxy.max_budget_nanousd)
    )


@router.get("/v1/models")
@router.get("/models", include_in_schema=False)
async def models(caller: Somebody, reports: Reported) -> wire.ModelCards:
    """The models that the caller may use."""
    return wire.ModelCards(data=tuple(wire.card(model, first) for model, first in await reports.models(caller)))


@router.get("/model/info")
@router.get("/v1/model/info", include_in_schema=False)
async def model_info(_: Admin, reports: Reported) -> wire.ModelInfos:
    """All deployments, with their access groups and prices."""
    return wire.ModelInfos(data=tuple(wire.info(*each) for each in reports.deployments()))
