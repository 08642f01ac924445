"""Query parameters: those that a path knows, and the types that several paths share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Literal

from fastapi import Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from tollgate.core.errors import BadRequest, NotFound
from tollgate.core.limits.accounts import ScopeKind
from tollgate.management import Management
from tollgate.management.virtual_keys import as_hash
from tollgate.ports import LedgerQuery
from tollgate.reporting.reports import MOST_RECORDS

MAX_PAGE = 1_000_000_000
"""The last page that may be asked for: page times size stays a number that every store can count
to.
"""

PageNumber = Annotated[
    int, Query(ge=1, le=MAX_PAGE, description="Which page, from 1.", examples=[1])
]

ListLimit = Annotated[
    int, Query(ge=1, le=MOST_RECORDS, description="How many at most.", examples=[100])
]
NEXT_CURSOR, TOTAL_COUNT = "x-tollgate-next-cursor", "x-tollgate-total-count"
COMPLETE_FROM = "x-tollgate-complete-from"
_DAY_US = 86_400_000_000
# What an administrator may ask about: the days that a date can name and every store can count to.
_FIRST_DAY, _LAST_DAY = date(1970, 1, 1), date(9000, 1, 1)

Day = Annotated[
    date | None,
    Query(
        ge=_FIRST_DAY,
        le=_LAST_DAY,
        description="A day of UTC, YYYY-MM-DD, included.",
        examples=["2026-11-27"],
    ),
]


@dataclass(frozen=True, slots=True)
class LogFilters:
    """Which records of the ledger. All that are given must hold."""

    api_key: str | None = None
    user_id: str | None = None
    team_id: str | None = None
    end_user: str | None = None
    customer_id: str | None = None
    model: str | None = None
    request_id: str | None = None
    status: Literal["success", "failure"] | Annotated[int, Query(ge=100, le=599)] | None = None
    start_date: Day = None
    end_date: Day = None
    organization_id: str | None = None

    async def query(self, management: Management) -> LedgerQuery:
        """Put the filters into the words of the ledger.

        A key is named by its secret or its hash.
        """
        payers = {
            ScopeKind.KEY: self.api_key and await self._key_id(management, self.api_key),
            ScopeKind.USER: self.user_id,
            ScopeKind.TEAM: self.team_id,
            ScopeKind.CUSTOMER: self.end_user,
        }
        named = [(kind, value) for kind, value in payers.items() if value is not None]
        if self.customer_id is not None:
            named.append((ScopeKind.CUSTOMER, self.customer_id))
        return LedgerQuery(
            organization=self.organization_id,
            since_us=None if self.start_date is None else _midnight_us(self.start_date),
            until_us=None if self.end_date is None else _midnight_us(self.end_date) + _DAY_US - 1,
            payers=tuple(f"{kind.value}:{value}" for kind, value in named),
            model=self.model,
            request_id=self.request_id,
            status=self.status if isinstance(self.status, int) else None,
            failed=self.status == "failure" if isinstance(self.status, str) else None,
        )

    async def _key_id(self, management: Management, name: str) -> str:
        try:
            return (await management.keys.live_by_name(name)).entity.id
        except NotFound:
            return as_hash(name)  # a deleted key's records stay, under its hash


class ProvidersRoute(APIRoute):
    """A path of a provider's API: its clients add parameters of their own, which say nothing here."""


def check_query(request: Request) -> None:
    """Refuse parameters that the path does not know: a filter that is ignored gives a wrong answer.

    Raises BadRequest that names them.
    """
    given = request.query_params.keys()
    if not given:
        return
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or isinstance(route, ProvidersRoute):
        return
    known = _names(route.dependant)
    unknown = sorted(set(given) - known)
    if unknown:
        shown = ", ".join(repr(each[:60]) for each in unknown[:10])
        takes = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
        raise BadRequest(f"{shown} is no query parameter of {route.path}; {takes}", unknown[0][:60])


def _names(dependant: Dependant) -> set[str]:
    """Names of the query parameters of a route and of all that it depends on."""
    own = {each.alias for each in dependant.query_params}
    return own.union(*(_names(each) for each in dependant.dependencies))


def _midnight_us(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000
