"""/audit: what was changed, when, and by whom."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from tollgate.adapters.http_api.bodies import JsonRoute
from tollgate.adapters.http_api.dependencies import Admin
from tollgate.adapters.http_api.queries import NEXT_CURSOR, ListLimit
from tollgate.adapters.http_api.wire import audits as wire
from tollgate.ports import AuditLog, AuditQuery

router = APIRouter(tags=["audit log"], route_class=JsonRoute)


def audit_log_of(request: Request) -> AuditLog:
    """Return what was changed."""
    log: AuditLog = request.app.state.audit_log
    return log


Audited = Annotated[AuditLog, Depends(audit_log_of)]


@router.get("/audit")
async def audit(
    _: Admin,
    log: Audited,
    response: Response,
    kind: wire.EntityKind | None = None,
    entity_id: Annotated[str | None, Query(max_length=700)] = None,
    limit: ListLimit = 100,
    cursor: str | None = None,
) -> list[wire.AuditRow]:
    """Changes of entities and of added models, the newest first.

    A list that is cut says where it goes on: x-tollgate-next-cursor is the `cursor` of the next
    part.
    """
    found = await log.page(AuditQuery(kind, entity_id), limit, cursor)
    if found.cursor is not None:
        response.headers[NEXT_CURSOR] = found.cursor
    return [wire.row(each) for each in found.entries]
