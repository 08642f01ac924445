"""*Models & prices*: what is served, where, and at which price; models are added and removed."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated
from urllib.parse import urlencode
from uuid import uuid4

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from tollgate.adapters.http_api.console.forms import id_of, judged
from tollgate.adapters.http_api.console.limit_rows import limit_entries
from tollgate.adapters.http_api.console.page_rendering import HEADERS, page
from tollgate.adapters.http_api.console.visitors import Administrating, Managing, Posted
from tollgate.adapters.http_api.dependencies import Managed
from tollgate.adapters.http_api.routes.lookups.refusals import Refused
from tollgate.adapters.http_api.routes.reports import Reported, Summing
from tollgate.adapters.http_api.wire.parts.general_limits import LimitEntry
from tollgate.core.calls.ledger_sums import LedgerSums
from tollgate.core.limits.accounts import Meter, ScopeKind
from tollgate.core.limits.replay import Verdict
from tollgate.core.money.pricing import FEMTO_PER_DOLLAR, Price, Rates
from tollgate.management import Management
from tollgate.management.models.added_models import EntryChange
from tollgate.ports import LedgerQuery
from tollgate.ports.history_ports import DAY_US, Group
from tollgate.reporting.reports import Reports
from tollgate.reporting.usage_sums import UsageSums

_PER_MILLION = ("input", "output", "cache_read", "cache_write_5m", "reasoning")
_PER_UNIT = ("request", "search", "page", "audio_second", "image_call")

# Fields of the form that are parameters of a deployment.
_PARAMS = (
    "model",
    "api_base",
    "api_key",
    "input_cost_per_token",
    "output_cost_per_token",
)

_MOST_REPLAYED = 25
_EACH = (
    ScopeKind.KEY,
    ScopeKind.USER,
    ScopeKind.TEAM,
    ScopeKind.ORGANIZATION,
    ScopeKind.CUSTOMER,
    ScopeKind.PROXY,
)

router = APIRouter(prefix="/models")


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A limit that each scope of a kind might have had, for so many days until now."""

    meter: str = Meter.USD.value
    amount: str | None = None
    per: str | None = None
    model: str | None = None
    each: ScopeKind = ScopeKind.KEY
    days: Annotated[int, Query(ge=1, le=31)] = 7


@router.get("")
async def models(
    request: Request,
    visitor: Administrating,
    management: Managed,
    reports: Reported,
    refused: Refused,
    usage_sums: Summing,
    what_if: Annotated[WhatIf, Depends()],
    done: str | None = None,
) -> Response:
    """Show each deployment with its price, where that is from, and how old it is; and what a limit
    would have done to the calls of the last days, if one is asked about.
    """
    known = await reports.known_models(visitor.caller)
    values = {
        "visitor": visitor,
        "models": sorted(known, key=lambda each: each.deployment.model_name),
        "rates": printed_rates,
        "pictures": printed_pictures,
        "done": done,
        "last_day": await _last_day(usage_sums, refused.now_us),
        "what_if": what_if,
        "each_options": [(kind.value, kind.value.replace("_", " ")) for kind in _EACH],
        "replayed": await _replayed(what_if, management, reports, refused.now_us),
    }
    return page(request, "models.html", values)


async def _last_day(usage_sums: UsageSums, now_us: int) -> dict[str, LedgerSums]:
    """Return what the last 24 hours were at each deployment."""
    query = LedgerQuery(since_us=now_us - DAY_US)
    rows = await usage_sums.usage(query, (Group.DEPLOYMENT,))
    return {row.groups[0]: row.sums for row in rows}


async def _replayed(
    what_if: WhatIf, management: Management, reports: Reports, now_us: int
) -> tuple[Verdict, list[tuple[str, Verdict]]] | None:
    """Return what a limit would have done in all, and to whom; None: none is asked about.

    Raises BadRequest.
    """
    if what_if.amount is None:
        return None
    row = {
        "limits-0-meter": what_if.meter,
        "limits-0-amount": what_if.amount,
        "limits-0-per": what_if.per or "",
        "limits-0-model": what_if.model or "",
    }
    entries = limit_entries(row)
    entry = judged(LimitEntry, entries[0]) if entries else None
    if entry is None:
        return None
    since_us = now_us - what_if.days * DAY_US
    query = LedgerQuery(model=entry.model)
    found = await reports.replay(query, entry.limit, what_if.each.value, since_us)
    scopes = [(name.partition(":")[2], each) for name, each in found.scopes[:_MOST_REPLAYED]]
    names: dict[str, str] = {}
    if what_if.each is ScopeKind.KEY:
        names = await management.keys.names([identity for identity, _ in scopes])
    return found.total, [(names.get(identity, identity), each) for identity, each in scopes]


@router.post("/new")
async def add(form: Posted, management: Managing) -> Response:
    """Add a model beside those of the configuration file."""
    params = {name: form[name].strip() for name in _PARAMS if form.get(name, "").strip()}
    name = id_of(form, "model_name")
    model = await management.added_models.create(str(uuid4()), EntryChange(name, params))
    return _to(f"{model.model_name} is added. It is served within seconds.")


@router.post("/change")
async def change(form: Posted, management: Managing) -> Response:
    """Change what is filled in of a model that was added."""
    params = {name: form[name].strip() for name in _PARAMS if form.get(name, "").strip()}
    await management.added_models.update(id_of(form), EntryChange(None, params))
    return _to("Saved. It holds everywhere within seconds.")


@router.post("/delete")
async def remove(form: Posted, management: Managing) -> Response:
    """Remove a model that was added."""
    model = await management.added_models.delete(id_of(form))
    return _to(f"{model.model_name} is removed. Calls in flight run to their end.")


def _to(done: str) -> Response:
    return RedirectResponse(f"/ui/models?{urlencode({'done': done})}", 303, HEADERS)


def printed_rates(rates: Rates) -> list[tuple[str, str]]:
    """Return what a price charges, in dollars: tokens by the million, other units each."""
    found = [
        (f"{name.replace('_', ' ')} / M tokens", femtousd * 1_000_000)
        for name in _PER_MILLION
        if (femtousd := getattr(rates, name))
    ]
    found += [
        (name.replace("_", " "), femtousd)
        for name in _PER_UNIT
        if (femtousd := getattr(rates, name))
    ]
    if rates.character:
        found.append(("M characters", rates.character * 1_000_000))
    return [(name, _dollars(femtousd)) for name, femtousd in found]


def printed_pictures(price: Price) -> list[tuple[str, str]]:
    """Return what a price charges for pictures, in dollars: each, or by the million pixels."""
    return [
        (f"M pixels {each.kind}".strip(), _dollars(each.femtousd * 1_000_000))
        if each.kind.by_pixel
        else (f"picture {each.kind}".strip(), _dollars(each.femtousd))
        for each in price.pictures
    ]


def _dollars(femtousd: int) -> str:
    return f"${(Decimal(femtousd) / FEMTO_PER_DOLLAR).normalize():,f}"
