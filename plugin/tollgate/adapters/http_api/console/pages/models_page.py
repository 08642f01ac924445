"""*Models & prices*: what is served, where, and at which price; models are added and removed."""

from __future__ import annotations

from decimal import Decimal
from urllib.parse import urlencode
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from tollgate.adapters.http_api.console.forms import id_of
from tollgate.adapters.http_api.console.page_rendering import HEADERS, page
from tollgate.adapters.http_api.console.visitors import Administrating, Managing, Posted
from tollgate.adapters.http_api.routes.reports import Reported
from tollgate.core.money.pricing import FEMTO_PER_DOLLAR, Rates
from tollgate.management.models.added_models import EntryChange

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

router = APIRouter(prefix="/models")


@router.get("")
async def models(
    request: Request, visitor: Administrating, reports: Reported, done: str | None = None
) -> Response:
    """Show each deployment with its price, where that is from, and how old it is."""
    known = await reports.known_models(visitor.caller)
    values = {
        "visitor": visitor,
        "models": sorted(known, key=lambda each: each.deployment.model_name),
        "rates": printed_rates,
        "done": done,
    }
    return page(request, "models.html", values)


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
    return [
        (name, f"${(Decimal(femtousd) / FEMTO_PER_DOLLAR).normalize():f}")
        for name, femtousd in found
    ]
