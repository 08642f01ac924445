"""Refused requests over HTTP."""

from __future__ import annotations

from tollgate.adapters.http_api.wire.parts.base import ResponseBody
from tollgate.adapters.http_api.wire.parts.types import PrintedTime
from tollgate.core.answers.arithmetic import why_it_did_not_fit
from tollgate.core.calls.refusal_records import LimitHit, RefusalRecord
from tollgate.core.limits.accounts import Meter, ScopeKind
from tollgate.core.money.dollars import dollars_of
from tollgate.reporting.refused import find_scope


class RefusingLimit(ResponseBody):
    """The limit that refused, and where it stood then."""

    scope: str
    scope_id: str
    scope_name: str
    model: str | None
    meter: str
    window: str | None
    amount: float
    used: float
    held: float
    asked: float
    until: PrintedTime | None
    only_held: bool
    share: str | None
    arithmetic: str


class RefusalEstimate(ResponseBody):
    """What the request may have used."""

    input_tokens: int
    output_tokens: int
    spend: float


class RefusedRequest(ResponseBody):
    """A refused request, or several of one key that were refused alike within a second."""

    request_id: str
    refused: bool
    time: PrintedTime
    status: int
    reason: str
    message: str
    times: int
    key_name: str
    api_key: str | None
    user_id: str | None
    team_id: str | None
    customer_id: str | None
    organization_id: str
    model: str | None
    limit: RefusingLimit | None
    estimate: RefusalEstimate | None


def refused_request(record: RefusalRecord) -> RefusedRequest:
    """Return a refusal as it is told."""
    estimate = None
    if record.input_tokens or record.output_tokens:
        estimate = RefusalEstimate(
            input_tokens=record.input_tokens,
            output_tokens=record.output_tokens,
            spend=dollars_of(record.cost_nanousd),
        )
    return RefusedRequest(
        request_id=record.id,
        refused=True,
        time=record.refused_us,
        status=record.status,
        reason=record.reason,
        message=record.message,
        times=record.times,
        key_name=record.key_name,
        api_key=find_scope(record, ScopeKind.KEY),
        user_id=find_scope(record, ScopeKind.USER),
        team_id=find_scope(record, ScopeKind.TEAM),
        customer_id=find_scope(record, ScopeKind.CUSTOMER),
        organization_id=record.organization,
        model=record.model or None,
        limit=None if record.hit is None else _limit(record.hit),
        estimate=estimate,
    )


def _limit(hit: LimitHit) -> RefusingLimit:
    amounts = (hit.amount, hit.used, hit.held, hit.asked)
    amount, used, held, asked = (
        map(dollars_of, amounts) if hit.meter == Meter.USD else map(float, amounts)
    )
    return RefusingLimit(
        scope=hit.scope,
        scope_id=hit.scope_id,
        scope_name=hit.scope_name,
        model=hit.only_for,
        meter=hit.meter,
        window=hit.window or None,
        amount=amount,
        used=used,
        held=held,
        asked=asked,
        until=hit.until_us,
        only_held=hit.only_held,
        share=hit.share or None,
        arithmetic=why_it_did_not_fit(hit),
    )
