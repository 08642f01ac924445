"""/spend/replay: what a proposed limit would have done."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import ValidationError

from tollgate.adapters.http_api.bodies import JsonRoute
from tollgate.adapters.http_api.dependencies import Administered
from tollgate.adapters.http_api.routes.lookups.refusals import RefusalFilters, Refused
from tollgate.adapters.http_api.routes.reports import Reported
from tollgate.adapters.http_api.wire.lookups import replays as wire
from tollgate.adapters.http_api.wire.parts.general_limits import LimitEntry
from tollgate.core.errors import BadRequest
from tollgate.core.limits.accounts import ScopeKind

router = APIRouter(tags=["spend and models"], route_class=JsonRoute)

_WEEK_US = 7 * 86_400 * 1_000_000
_MOST_SCOPES = 1_000
_Entry = Annotated[
    str,
    Query(
        max_length=2_000,
        description="The limit, as an entry of `limits`, in JSON.",
        examples=['{"meter": "usd", "amount": 5, "per": "1d"}'],
    ),
]


@router.get("/spend/replay")
async def replay(
    management: Administered,
    refused: Refused,
    reports: Reported,
    filters: Annotated[RefusalFilters, Depends()],
    limit: _Entry,
    each: ScopeKind = ScopeKind.KEY,
) -> wire.ReplayAnswer:
    """Run the ledger against a limit that each scope of a kind might get: how many calls it would
    have refused, and of whom.

    A call is taken to have held what it used; without `since` a week is replayed.
    """
    entry = _entry(limit)
    query = await filters.query(management, refused.now_us)
    since_us = query.since_us
    if since_us is None:
        since_us = refused.now_us - _WEEK_US
    query = replace(query, model=entry.model or query.model)
    found = await reports.replay(query, entry.limit, each.value, since_us)
    keys = [name.partition(":")[2] for name, _ in found.scopes[:_MOST_SCOPES]]
    names = await management.keys.names(keys) if each is ScopeKind.KEY else {}
    return wire.answer(found, names, _MOST_SCOPES)


def _entry(text: str) -> LimitEntry:
    try:
        return LimitEntry.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(("limit", *map(str, first["loc"])))
        raise BadRequest(f"{place}: {first['msg']}", "limit") from error
