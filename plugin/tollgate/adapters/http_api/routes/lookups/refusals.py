"""/refusals: which requests were refused, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from tollgate.adapters.http_api.bodies import JsonRoute
from tollgate.adapters.http_api.dependencies import Administered
from tollgate.adapters.http_api.queries import NEXT_CURSOR, ListLimit, key_id_of
from tollgate.adapters.http_api.wire.lookups import refusals as wire
from tollgate.core.errors import BadRequest
from tollgate.core.limits.accounts import ScopeKind
from tollgate.core.limits.duration import parse_duration
from tollgate.management import Management
from tollgate.ports import LedgerQuery
from tollgate.reporting.refused import Refusals

router = APIRouter(tags=["spend and models"], route_class=JsonRoute)

_Moment = Annotated[str | None, Query(max_length=40)]


def refusals_of(request: Request) -> Refusals:
    """Return the recorded refusals."""
    found: Refusals = request.app.state.refusals
    return found


Refused = Annotated[Refusals, Depends(refusals_of)]


@dataclass(frozen=True, slots=True)
class RefusalFilters:
    """Filters for refusals; all given ones must match."""

    key: Annotated[str | None, Query(max_length=300)] = None
    user_id: str | None = None
    team_id: str | None = None
    customer_id: str | None = None
    model: str | None = None
    since: _Moment = None
    until: _Moment = None
    organization_id: str | None = None

    async def query(self, management: Management, now_us: int) -> LedgerQuery:
        """Return the filters as a query. A key is named by its alias, its secret or its hash."""
        named = (
            (ScopeKind.KEY, self.key and await key_id_of(management, self.key)),
            (ScopeKind.USER, self.user_id),
            (ScopeKind.TEAM, self.team_id),
            (ScopeKind.CUSTOMER, self.customer_id),
        )
        return LedgerQuery(
            organization=self.organization_id,
            since_us=_moment_us("since", self.since, now_us),
            until_us=_moment_us("until", self.until, now_us),
            payers=tuple(f"{kind.value}:{value}" for kind, value in named if value is not None),
            model=self.model,
        )


@router.get("/refusals")
async def refusals(
    management: Administered,
    refused: Refused,
    response: Response,
    filters: Annotated[RefusalFilters, Depends()],
    limit: ListLimit = 100,
    cursor: str | None = None,
) -> list[wire.RefusedRequest]:
    """List refused requests with the limit that refused each, the latest first.

    A list that is cut says where it goes on: x-tollgate-next-cursor is the `cursor` of the next
    part.
    """
    query = await filters.query(management, refused.now_us)
    found = await refused.page(query, limit, cursor)
    if found.cursor is not None:
        response.headers[NEXT_CURSOR] = found.cursor
    return [wire.refused_request(each) for each in found.records]


def _moment_us(name: str, text: str | None, now_us: int) -> int | None:
    """Return the time of a text: an age as `90m` or `7d`, or a day or time of ISO 8601.

    Times without a zone are UTC. Raises BadRequest.
    """
    if text is None:
        return None
    try:
        return now_us - parse_duration(text).length_us
    except BadRequest:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest(
            f"{name} must be an age, as 90m or 7d, or a time, as 2026-11-27T15:30", name
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1_000_000)
