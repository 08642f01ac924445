"""/global/import"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import ValidationError

from tollgate.adapters.http_api.bodies import JsonRoute
from tollgate.adapters.http_api.dependencies import Administered
from tollgate.adapters.http_api.error_replies import fault
from tollgate.adapters.http_api.wire import imports as wire
from tollgate.core.errors import BadRequest
from tollgate.management import Management
from tollgate.management.imports import Imported, Outcome

router = APIRouter(prefix="/global", tags=["import"], route_class=JsonRoute)


@router.post("/import")
async def import_entities(body: wire.Import, management: Administered) -> wire.ImportAnswer:
    """Import entities from elsewhere: keys by their hash, limits, spend.

    Existing entities are left alone.
    """
    if body.is_too_long:
        raise BadRequest("an import takes at most 1000 entities at once; send it in parts")
    return wire.ImportAnswer(
        results=tuple(
            [await _taken(management, kind, row, dry_run=body.dry_run) for kind, row in body.rows()]
        )
    )


async def _taken(
    management: Management, kind: str, row: dict[str, Any], *, dry_run: bool
) -> wire.ImportResult:
    model, names = wire.KINDS[kind]
    try:
        carried = model.model_validate(row).carried(management.budgets.clock.now_us())
    except ValidationError as error:
        faults = "; ".join(fault(each, each["loc"]) for each in error.errors())
        imported = Imported(Outcome.FAILED, faults)
    else:
        imported = await management.imports.take(carried, dry_run=dry_run)
    identity = "/".join(str(row.get(name)) for name in names)
    return wire.ImportResult(
        kind=kind, id=identity, outcome=imported.outcome, message=imported.message
    )
