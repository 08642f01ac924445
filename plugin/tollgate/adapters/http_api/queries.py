"""Check query parameters, and define types that several paths share."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import ceil, floor
from typing import Annotated, Literal, get_args

from fastapi import Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from tollgate.core.errors import BadRequest, NotFound
from tollgate.core.limits.accounts import ScopeKind
from tollgate.core.limits.duration import parse_duration
from tollgate.management import Management
from tollgate.management.virtual_keys import as_hash
from tollgate.ports import LedgerQuery
from tollgate.reporting.reports import MOST_RECORDS

MAX_PAGE = 1_000_000_000
"""The last page that can be requested: page times size stays within what every store can count."""

PageNumber = Annotated[
    int, Query(ge=1, le=MAX_PAGE, description="Which page, from 1.", examples=[1])
]

ListLimit = Annotated[
    int, Query(ge=1, le=MOST_RECORDS, description="How many at most.", examples=[100])
]
NEXT_CURSOR, TOTAL_COUNT = "x-tollgate-next-cursor", "x-tollgate-total-count"
COMPLETE_FROM = "x-tollgate-complete-from"
_REFUSED = "refused"
_DAY_US = 86_400_000_000
# Days that an administrator can ask about: expressible as a date, and countable in every store.
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

_Moment = Annotated[str | None, Query(max_length=40)]


@dataclass(frozen=True, slots=True)
class TimeRange:
    """When something was: from one time to another, both included; None: no bound.

    A time is an age as `90m` or `7d`, or a day or time of ISO 8601; without a zone it is UTC. A day
    as `until` is included.
    """

    since: _Moment = None
    until: _Moment = None

    def bounds_us(self, now_us: int) -> tuple[int | None, int | None]:
        """Return both times. Raises BadRequest."""
        until_us = _moment_us("until", self.until, now_us)
        if self.until is not None and until_us is not None and _is_day(self.until):
            until_us += _DAY_US - 1
        return _moment_us("since", self.since, now_us), until_us


_DAY_OR_TIME = Query(
    max_length=40,
    description="A day, or a time of ISO 8601, both included; without a zone in UTC.",
    examples=["2026-11-27"],
)
DayOrTime = Annotated[str | None, _DAY_OR_TIME]
_Dollars = Annotated[float | None, Query(ge=0, le=1e9)]
_Ended = Literal["success", "failure"]
GroupKind = Literal[
    "key",
    "team",
    "user",
    "customer",
    "member",
    "tag",
    "organization",
    "model",
    "deployment",
    "status",
]


@dataclass(frozen=True, slots=True)
class LogFilters:
    """Filters for records of the ledger; all given ones must match.

    `model_id` is the deployment. LiteLLM's names: https://docs.litellm.ai/docs/proxy/cost_tracking
    """

    api_key: str | None = None
    key_alias: str | None = None
    user_id: str | None = None
    team_id: str | None = None
    end_user: str | None = None
    customer_id: str | None = None
    model: str | None = None
    model_id: str | None = None
    request_id: str | None = None
    status: (
        _Ended
        | Literal["refused"]
        | Annotated[int, Query(ge=100, le=599)]
        | Annotated[str, Query(pattern=r"^refused-[1-5][0-9]{2}$")]
        | None
    ) = None
    status_filter: _Ended | None = None
    min_spend: _Dollars = None
    max_spend: _Dollars = None
    start_date: DayOrTime = None
    end_date: DayOrTime = None
    organization_id: str | None = None
    member_id: str | None = None
    tag: Annotated[list[str] | None, Query(description="All of these.", examples=[["nightly"]])] = (
        None
    )
    without: Annotated[list[GroupKind] | None, Query()] = None
    outside: Annotated[
        list[Annotated[str, Query(pattern=f"^({'|'.join(get_args(GroupKind))}):")]] | None, Query()
    ] = None

    @property
    def refused(self) -> bool:
        """Whether refused requests are asked for: all, or those of a status (`refused-429`)."""
        return isinstance(self.status, str) and self.status.startswith(_REFUSED)

    @property
    def given(self) -> dict[str, object]:
        """Return the filters that ask for something, by their names in a query."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def first_day(self) -> date | None:
        """Return the day of `start_date`. Raises BadRequest."""
        moment = _bound("start_date", self.start_date)
        return None if moment is None else moment.date()

    @property
    def last_day(self) -> date | None:
        """Return the day of `end_date`. Raises BadRequest."""
        moment = _bound("end_date", self.end_date)
        return None if moment is None else moment.date()

    async def query(self, management: Management) -> LedgerQuery:
        """Return the filters as a query of the ledger. A key is named by its alias, its
        secret or its hash. Raises BadRequest.
        """
        self._check()
        named = [
            (ScopeKind.KEY, self.api_key and await key_id_of(management, self.api_key)),
            (ScopeKind.KEY, self.key_alias and await key_id_of(management, self.key_alias)),
            (ScopeKind.USER, self.user_id),
            (ScopeKind.TEAM, self.team_id),
            (ScopeKind.MEMBER, self.member_id),
            (ScopeKind.CUSTOMER, self.end_user),
            (ScopeKind.CUSTOMER, self.customer_id),
            *((ScopeKind.TAG, each) for each in self.tag or ()),
        ]
        ended = str(self.status_filter or self.status).removeprefix(f"{_REFUSED}-")
        return LedgerQuery(
            organization=self.organization_id,
            since_us=_bound_us("start_date", self.start_date),
            until_us=_bound_us("end_date", self.end_date, last=True),
            payers=tuple(f"{kind.value}:{value}" for kind, value in named if value is not None),
            model=self.model,
            request_id=self.request_id,
            status=int(ended) if ended.isdigit() else None,
            failed=ended == "failure" if ended in ("success", "failure") else None,
            deployment=self.model_id,
            least_nanousd=None if self.min_spend is None else ceil(_nanousd(self.min_spend)),
            most_nanousd=None if self.max_spend is None else floor(_nanousd(self.max_spend)),
            without=tuple(self.without or ()),
            outside=tuple(self.outside or ()),
        )

    def _check(self) -> None:
        """Raise BadRequest for filters that have no meaning together."""
        if self.status is not None and self.status_filter is not None:
            raise BadRequest("status and status_filter are one filter", "status_filter")
        for name in ("model_id", "min_spend", "max_spend"):
            if self.refused and getattr(self, name) is not None:
                raise BadRequest("refused requests have no deployment and no spend", name)


def _nanousd(dollars: float) -> Decimal:
    return Decimal(str(dollars)) * 10**9


async def key_id_of(management: Management, name: str) -> str:
    """Return the id of the key with that alias, secret or hash."""
    for look_up in (management.keys.live_by_alias, management.keys.live_by_name):
        try:
            return (await look_up(name)).entity.id
        except NotFound:
            pass
    return as_hash(name)  # records of a deleted key stay, under its hash


def days_query(first: date | None, last: date | None) -> LedgerQuery:
    """Return the query for whole days of UTC, both included. Raises BadRequest."""
    if first is not None and last is not None and last < first:
        raise BadRequest("end_date must not be before start_date", "end_date")
    return LedgerQuery(
        since_us=None if first is None else _midnight_us(first),
        until_us=None if last is None else _midnight_us(last) + _DAY_US - 1,
    )


class ProvidersRoute(APIRoute):
    """A path of a provider's API, whose clients add query parameters that have no meaning here."""


def check_query(request: Request) -> None:
    """Refuse parameters that the path does not know, since ignoring a filter gives a wrong answer.

    Raises BadRequest naming them.
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
    """Return the query parameters of a route and of everything it depends on."""
    own = {each.alias for each in dependant.query_params}
    return own.union(*(_names(each) for each in dependant.dependencies))


def _midnight_us(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000


def _bound(name: str, text: str | None) -> datetime | None:
    """Return the begin of a day, or a time. Raises BadRequest."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.min
    if not _FIRST_DAY <= moment.date() <= _LAST_DAY:
        raise BadRequest(
            f"{name} must be a day or a time of ISO 8601 from {_FIRST_DAY} on, as 2026-11-27", name
        )
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _bound_us(name: str, text: str | None, *, last: bool = False) -> int | None:
    """Return the first or last microsecond of a day or second. Raises BadRequest."""
    moment = _bound(name, text)
    if moment is None or text is None:
        return None
    begin_us = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    if not last:
        return begin_us
    return begin_us + (_DAY_US if _is_day(text) else 1 if moment.microsecond else 1_000_000) - 1


def _moment_us(name: str, text: str | None, now_us: int) -> int | None:
    """Return the time of a text. Raises BadRequest."""
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


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
