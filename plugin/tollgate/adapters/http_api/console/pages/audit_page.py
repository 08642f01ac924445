"""*Audit log*: what was changed, when, and by whom."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from tollgate.adapters.http_api.console.page_rendering import page
from tollgate.adapters.http_api.console.visitors import Administrating
from tollgate.adapters.http_api.routes.audits import Audited
from tollgate.adapters.http_api.wire.audits import EntityKind
from tollgate.ports import AuditQuery

_PAGE_SIZE = 50

router = APIRouter(prefix="/audit")


@router.get("")
async def audit(
    request: Request,
    visitor: Administrating,
    log: Audited,
    kind: EntityKind | None = None,
    entity_id: Annotated[str | None, Query(max_length=700)] = None,
    cursor: str | None = None,
) -> Response:
    """Show changes, the newest first."""
    found = await log.page(AuditQuery(kind, entity_id), _PAGE_SIZE, cursor)
    values = {
        "visitor": visitor,
        "entries": found.entries,
        "cursor": found.cursor,
        "kind": kind,
        "entity_id": entity_id,
    }
    return page(request, "audit.html", values)
