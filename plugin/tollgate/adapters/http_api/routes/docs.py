"""/docs: the API's reference, built from /openapi.json.

The page is self-contained, so it works where only the gateway can be reached.
"""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

_PAGE = files("tollgate.adapters.http_api").joinpath("docs.html").read_text(encoding="utf-8")

router = APIRouter()


@router.get("/docs", include_in_schema=False)
async def docs() -> HTMLResponse:
    """Show every path, what it takes and what it returns."""
    return HTMLResponse(_PAGE)
