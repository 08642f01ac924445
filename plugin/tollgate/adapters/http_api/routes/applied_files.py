"""/global/apply"""

from __future__ import annotations

from fastapi import APIRouter

from tollgate.adapters.http_api.bodies import JsonRoute
from tollgate.adapters.http_api.dependencies import Administered
from tollgate.adapters.http_api.wire import applied_files as wire
from tollgate.core.errors import BadRequest
from tollgate.management.applying.applying import ApplyExtent
from tollgate.management.applying.declaration import PlannedAction

router = APIRouter(prefix="/global", tags=["files"], route_class=JsonRoute)


@router.post("/apply")
async def apply_file(body: wire.ApplyFile, management: Administered) -> wire.Applied:
    """Create, change and delete entities so that they are as a file declares them.

    A file with a fault changes nothing. Otherwise each step stands alone: what fails is told, and
    is done when the file is applied again.
    """
    if body.is_too_long:
        raise BadRequest("a file declares at most 5000 entities; use several, each with its name")
    faults: list[str] = []
    declarations = list(body.declarations(faults))
    steps = await management.applying.plan(
        body.name, declarations, ApplyExtent(body.prune, body.take_over), wire.differ
    )
    faults += wire.faults_of(steps)
    if faults:
        raise BadRequest("\n".join(faults))
    if body.dry_run:
        changes = [wire.planned(each) for each in steps if each.action is not PlannedAction.NONE]
    else:
        changes = [wire.done(each) for each in await management.applying.perform(body.name, steps)]
    return wire.Applied(name=body.name, unchanged=len(steps) - len(changes), changes=tuple(changes))
