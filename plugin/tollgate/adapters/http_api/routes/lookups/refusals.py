"""/refusals: which requests were refused, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from tollgate.adapters.http_api.bodies import JsonRoute
from tollgate.adapters.http_api.dependencies import Administered
from tollgate.adapters.http_api.queries import NEXT_CURSOR, ListLimit, TimeRange, key_id_of
from tollgate.adapters.http_api.wire.lookups import refusals as wire
from tollgate.core.limits.accounts import ScopeKind
from tollgate.management import Management
from tollgate.ports import LedgerQuery
from tollgate.reporting.refused import Refusals

router = APIRouter(tags=["spend and models"], route_class=JsonRoute)


def refusals_of(request: Request) -> Refusals:
    """Return the recorded refusals."""
    found: Refusals = request.app.state.refusals
    return found


Refused = Annotated[Refusals, Depends(refusals_of)]


@dataclass(frozen=True, slots=True)
class RefusalFilters:
    """Filters for refusals; all given ones must match."""

    when: Annotated[TimeRange, Depends()]
    key: Annotated[str | None, Query(max_length=300)] = None
    user_id: str | None = None
    team_id: str | None = None
    customer_id: str | None = None
    model: str | None = None
    organization_id: str | None = None

    async def query(self, management: Management, now_us: int) -> LedgerQuery:
        """Return the filters as a query. A key is named by its alias, its secret or its hash."""
        named = (
            (ScopeKind.KEY, self.key and await key_id_of(management, self.key)),
            (ScopeKind.USER, self.user_id),
            (ScopeKind.TEAM, self.team_id),
            (ScopeKind.CUSTOMER, self.customer_id),
        )
        since_us, until_us = self.when.bounds_us(now_us)
        return LedgerQuery(
            organization=self.organization_id,
            since_us=since_us,
            until_us=until_us,
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
