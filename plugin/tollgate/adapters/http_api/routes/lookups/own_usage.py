"""/v1/usage: what is left of every limit that a key's calls meet, for whoever has the key."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request

from tollgate.adapters.http_api.bodies import JsonRoute
from tollgate.adapters.http_api.dependencies import Somebody
from tollgate.adapters.http_api.events_a_minute import EventsAMinute
from tollgate.adapters.http_api.wire.lookups import own_usage as wire
from tollgate.core.errors import BadRequest
from tollgate.management.administrators import Administrator
from tollgate.reporting.levels import Levels

READS_A_MINUTE = 60

router = APIRouter(tags=["spend and models"], route_class=JsonRoute)


def levels_of(request: Request) -> Levels:
    """Return what reads where limits stand."""
    levels: Levels = request.app.state.levels
    return levels


Levelled = Annotated[Levels, Depends(levels_of)]


@router.get("/v1/usage")
async def own_usage(request: Request, caller: Somebody, levels: Levelled) -> wire.OwnUsage:
    """Every limit of every scope that calls of the key meet: the key's own, its user's, team's,
    member's, organization's and the proxy's; with what is used, held and left, and when it resets.

    A key may ask sixty times a minute.
    """
    key = caller.key
    if key is None:
        raise BadRequest("The master key has no limits of its own; ask with another key.")
    reads: EventsAMinute = request.app.state.usage_reads
    if wait_s := reads.wait_s(key.id):
        told = f"A key may read /v1/usage {READS_A_MINUTE} times a minute."
        raise HTTPException(429, told, {"retry-after": str(wait_s)})
    reads.count(key.id)
    found = await levels.of_key(key)
    return wire.own_usage(key, found, levels.now_us, everything=isinstance(caller, Administrator))
