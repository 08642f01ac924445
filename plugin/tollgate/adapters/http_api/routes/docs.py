"""/docs: the API's reference, from /openapi.json.

The page is whole in itself, so it works where nothing but the gateway is reached.
"""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

_PAGE = files("tollgate.adapters.http_api").joinpath("docs.html").read_text(encoding="utf-8")

router = APIRouter()


@router.get("/docs", include_in_schema=False)
async def docs() -> HTMLResponse:
    """Every path, what it takes and what it answers."""
    return HTMLResponse(_PAGE)
