"""*Models & prices*: what is served, where, and at which price."""

from __future__ import annotations

from decimal import Decimal

from fastapi import APIRouter, Request, Response

from tollgate.adapters.http_api.console.page_rendering import page
from tollgate.adapters.http_api.console.visitors import Administrating
from tollgate.adapters.http_api.routes.reports import Reported
from tollgate.core.money.pricing import FEMTO_PER_DOLLAR, Rates

_PER_MILLION = ("input", "output", "cache_read", "cache_write_5m", "reasoning")
_PER_UNIT = ("request", "search", "page", "audio_second", "image_call")

router = APIRouter(prefix="/models")


@router.get("")
async def models(request: Request, visitor: Administrating, reports: Reported) -> Response:
    """Show each deployment with its price, where that is from, and how old it is."""
    known = await reports.known_models(visitor.caller)
    values = {
        "visitor": visitor,
        "models": sorted(known, key=lambda each: each.deployment.model_name),
        "rates": printed_rates,
    }
    return page(request, "models.html", values)


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
    return [
        (name, f"${(Decimal(femtousd) / FEMTO_PER_DOLLAR).normalize():f}")
        for name, femtousd in found
    ]
