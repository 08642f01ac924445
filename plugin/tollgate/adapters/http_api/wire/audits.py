"""The audit log over HTTP."""

from __future__ import annotations

from typing import Any, Literal

from tollgate.adapters.http_api.wire.parts.base import ResponseBody
from tollgate.adapters.http_api.wire.parts.types import PrintedTime
from tollgate.ports.audit_ports import AuditedAt

EntityKind = Literal[
    "key",
    "user",
    "team",
    "member",
    "customer",
    "budget",
    "organization",
    "organization_member",
    "tag",
    "added_model",
]


class AuditRow(ResponseBody):
    """One change. `before` and `after` hold the fields that differ, as they are stored."""

    time: PrintedTime
    by: str
    action: str
    kind: str
    entity_id: str
    name: str
    before: dict[str, Any]
    after: dict[str, Any]


def row(audited: AuditedAt) -> AuditRow:
    """Return an entry as it is told."""
    change = audited.entry.change
    return AuditRow(
        time=audited.at_us,
        by=audited.entry.by,
        action=change.action,
        kind=change.kind,
        entity_id=change.id,
        name=change.name,
        before=change.before,
        after=change.after,
    )
