"""The lists of models that each API's clients request, on that API's paths"""

from __future__ import annotations

from fastapi import APIRouter, Request

from tollgate.adapters.http_api.dependencies import Somebody
from tollgate.adapters.http_api.queries import ProvidersRoute
from tollgate.adapters.http_api.routes.reports import Reported
from tollgate.adapters.http_api.wire import models as wire
from tollgate.core.requests.endpoints import GOOGLE_MODELS, OLLAMA_MODELS, OPENAI_MODELS, Wire

router = APIRouter(tags=["spend and models"], route_class=ProvidersRoute)
_FIRST, *_OTHERS = OPENAI_MODELS


@router.get(_FIRST)
async def models(
    request: Request, caller: Somebody, reports: Reported
) -> wire.ModelCards | wire.AnthropicCards:
    """List the models that the caller may use."""
    listed = await reports.models(caller)
    if "anthropic-version" in request.headers:
        return wire.anthropic_cards(listed)
    return wire.ModelCards(data=tuple(map(wire.card, listed)))


@router.get(f"{_FIRST}/{{name:path}}")
async def model(
    name: str, request: Request, caller: Somebody, reports: Reported
) -> wire.AnthropicCard | wire.ModelCard:
    """Return one model. Its name may contain slashes, percent-encoded or not."""
    found = await reports.model(caller, name)
    if "anthropic-version" in request.headers:
        return wire.anthropic_card(found)
    return wire.card(found)


async def google_models(caller: Somebody, reports: Reported) -> wire.GoogleModels:
    """List the models that the caller may use on Gemini's paths."""
    listed = await reports.models(caller, Wire.GEMINI)
    return wire.GoogleModels(models=tuple(map(wire.google_model, listed)))


async def google_model(name: str, caller: Somebody, reports: Reported) -> wire.GoogleModel:
    """Return one model."""
    return wire.google_model(await reports.model(caller, name, Wire.GEMINI))


async def ollama_models(caller: Somebody, reports: Reported) -> wire.OllamaModels:
    """List the models that the caller may use on Ollama's paths."""
    listed = await reports.models(caller, Wire.OLLAMA)
    return wire.OllamaModels(models=tuple(map(wire.ollama_model, listed)))


for _path in _OTHERS:
    router.get(_path, include_in_schema=False)(models)
    router.get(f"{_path}/{{name:path}}", include_in_schema=False)(model)
for _path in GOOGLE_MODELS:
    router.get(_path, include_in_schema=False)(google_models)
    router.get(f"{_path}/{{name:path}}", include_in_schema=False)(google_model)
for _path in OLLAMA_MODELS:
    router.get(_path, include_in_schema=False)(ollama_models)
