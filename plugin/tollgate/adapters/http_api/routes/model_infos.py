"""/model/*, /model_group/info: prices and purpose of models, and models that are added to them"""

from __future__ import annotations

from collections import defaultdict

from fastapi import APIRouter

from tollgate.adapters.http_api.bodies import JsonRoute
from tollgate.adapters.http_api.dependencies import Administered, Somebody
from tollgate.adapters.http_api.routes.reports import Reported
from tollgate.adapters.http_api.wire import model_infos as wire
from tollgate.core.errors import NotFound, UnknownModel
from tollgate.management.administrators import Administrator
from tollgate.reporting.reports import KnownModel

router = APIRouter(tags=["spend and models"], route_class=JsonRoute)


@router.get("/model/info")
@router.get("/v1/model/info", include_in_schema=False)
async def model_info(
    caller: Somebody, reports: Reported, litellm_model_id: str | None = None
) -> wire.ModelInfos:
    """Return the deployments of models that the caller may use, or the one with that id."""
    administers = isinstance(caller, Administrator)
    known = await reports.known_models(caller)
    if litellm_model_id is not None:
        known = [each for each in known if each.deployment.id == litellm_model_id]
        if not known:
            # LiteLLM's Terraform provider looks for these words, and then asks again.
            raise NotFound(f"model not found: no model of yours has the id {litellm_model_id!r}")
    return wire.ModelInfos(data=tuple(wire.info(each, with_address=administers) for each in known))


@router.get("/model_group/info")
async def model_group_info(
    caller: Somebody, reports: Reported, model_group: str | None = None
) -> wire.ModelGroups:
    """Return the models that the caller may use by public name, or the one with that name."""
    groups: defaultdict[str, list[KnownModel]] = defaultdict(list)
    for each in await reports.known_models(caller):
        if model_group in (None, each.deployment.model_name):
            groups[each.deployment.model_name].append(each)
    if model_group is not None and not groups:
        raise UnknownModel(model_group)
    return wire.ModelGroups(data=tuple(map(wire.group, groups.values())))


@router.post("/model/new")
async def new(body: wire.NewModel, management: Administered) -> wire.AddedModelRow:
    """Add a deployment beside those of the configuration file.

    The answer comes once it is served, or with the faults for which it is refused.

    The provider's credentials are never shown again.
    """
    return wire.added_row(await management.added_models.create(body.id, body.change))


@router.post("/model/update")
async def update(body: wire.UpdateModel, management: Administered) -> wire.AddedModelRow:
    """Change a deployment that was added, by its `model_info.id`."""
    return wire.added_row(await management.added_models.update(body.id, body.change))


@router.post("/model/delete")
async def delete(body: wire.DeleteModel, management: Administered) -> wire.DeletedModel:
    """Remove a deployment that was added; calls in flight run to their end."""
    model = await management.added_models.delete(body.id)
    return wire.DeletedModel(message=f"Model: {model.id} deleted successfully")
