"""/tag/*"""

from __future__ import annotations

from fastapi import APIRouter

from tollgate.adapters.http_api.bodies import JsonRoute
from tollgate.adapters.http_api.dependencies import Administered
from tollgate.adapters.http_api.wire.scopes import tags as wire
from tollgate.core.entities import Tag

router = APIRouter(prefix="/tag", tags=["tags"], route_class=JsonRoute)


@router.post("/new")
async def new(body: wire.TagFields, management: Administered) -> wire.ChangedTag:
    """Register a tag, with a budget's limits or limits of its own."""
    await management.budgets.check(body.budget_id)
    live = await management.tags.create(Tag(body.name), body.change, body.spend or 0)
    return wire.ChangedTag(message=f"Tag {body.name} created successfully", tag=wire.row(live))


@router.post("/update")
async def update(body: wire.TagFields, management: Administered) -> wire.ChangedTag:
    """Change a tag: omitted fields stay, null clears."""
    await management.budgets.check(body.budget_id)
    live = await management.tags.update(body.name, body.change, body.spend)
    return wire.ChangedTag(message=f"Tag {body.name} updated successfully", tag=wire.row(live))


@router.post("/info")
async def info(body: wire.QueryTags, management: Administered) -> dict[str, wire.TagRow]:
    """Return those of the given tags that exist, by name."""
    lives = await management.tags.several(body.names)
    return {each.entity.id: wire.row(each) for each in lives}


@router.get("/list")
async def list_tags(management: Administered) -> list[wire.TagRow]:
    """List registered tags, newest first."""
    found = await management.tags.entities.all()
    return [wire.row(each) for each in await management.tags.live(found)]


@router.post("/delete")
async def delete(body: wire.DeleteTag, management: Administered) -> wire.DeletedTag:
    """Delete a tag. Its spend stays in the ledger."""
    await management.tags.delete(body.name)
    return wire.DeletedTag(message=f"Tag {body.name} deleted successfully")
