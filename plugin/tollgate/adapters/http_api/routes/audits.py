"""/audit: what was changed, when, and by whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from tollgate.adapters.http_api.bodies import JsonRoute
from tollgate.adapters.http_api.dependencies import Admin
from tollgate.adapters.http_api.queries import NEXT_CURSOR, ListLimit, TimeRange
from tollgate.adapters.http_api.routes.reports import Reported
from tollgate.adapters.http_api.wire import audits as wire
from tollgate.ports.audit_ports import AuditLog, AuditQuery

router = APIRouter(tags=["audit log"], route_class=JsonRoute)


def audit_log_of(request: Request) -> AuditLog:
    """Return what was changed."""
    log: AuditLog = request.app.state.audit_log
    return log


Audited = Annotated[AuditLog, Depends(audit_log_of)]


@dataclass(frozen=True, slots=True)
class AuditFilters:
    """Filters for changes; all given ones must match."""

    when: Annotated[TimeRange, Depends()]
    kind: wire.EntityKind | None = None
    entity_id: Annotated[str | None, Query(max_length=700)] = None

    def query(self, now_us: int) -> AuditQuery:
        """Return the filters as a query. Raises BadRequest."""
        return AuditQuery(self.kind, self.entity_id, *self.when.bounds_us(now_us))


@router.get("/audit")
async def audit(
    _: Admin,
    log: Audited,
    reports: Reported,
    response: Response,
    filters: Annotated[AuditFilters, Depends()],
    limit: ListLimit = 100,
    cursor: str | None = None,
) -> list[wire.AuditRow]:
    """Changes of entities and of added models, the newest first.

    A list that is cut says where it goes on: x-tollgate-next-cursor is the `cursor` of the next
    part.
    """
    found = await log.page(filters.query(reports.now_us), limit, cursor)
    if found.cursor is not None:
        response.headers[NEXT_CURSOR] = found.cursor
    return [wire.row(each) for each in found.entries]
