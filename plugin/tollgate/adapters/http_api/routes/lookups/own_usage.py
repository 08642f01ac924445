"""/v1/usage: what is left of every limit that a key's calls meet, for whoever has the key."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Request

from tollgate.adapters.http_api.bodies import JsonRoute
from tollgate.adapters.http_api.dependencies import Managed, Somebody
from tollgate.adapters.http_api.events_a_minute import EventsAMinute
from tollgate.adapters.http_api.wire.lookups import own_usage as wire
from tollgate.core.errors import BadRequest
from tollgate.management.administrators import Administrator, Denied
from tollgate.management.virtual_keys import as_hash
from tollgate.reporting.levels import Levels

READS_A_MINUTE = 60

router = APIRouter(tags=["spend and models"], route_class=JsonRoute)


def levels_of(request: Request) -> Levels:
    """Return what reads where limits stand."""
    levels: Levels = request.app.state.levels
    return levels


Levelled = Annotated[Levels, Depends(levels_of)]


@router.get("/v1/usage")
async def own_usage(
    request: Request,
    caller: Somebody,
    levels: Levelled,
    management: Managed,
    key: Annotated[str | None, Query(description="another key, for administrators")] = None,
) -> wire.OwnUsage:
    """Every limit of every scope that calls of the key meet: the key's own, its user's, team's,
    member's, organization's and the proxy's; with what is used, held and left, and when it resets.

    A key may ask sixty times a minute. Administrators may ask about any key, by its secret or hash.
    """
    administers = isinstance(caller, Administrator)
    own = caller.key
    if key is not None and (own is None or as_hash(key) != own.hash):
        if not administers:
            raise Denied("Only administrators may ask about other keys.", status=403)
        other = (await management.keys.live_by_name(key)).entity
        return wire.own_usage(other, await levels.of_key(other), levels.now_us, everything=True)
    if own is None:
        raise BadRequest("The master key has no limits of its own; ask with another key.")
    reads: EventsAMinute = request.app.state.usage_reads
    if wait_s := reads.wait_s(own.id):
        told = f"A key may read /v1/usage {READS_A_MINUTE} times a minute."
        raise HTTPException(429, told, {"retry-after": str(wait_s)})
    reads.count(own.id)
    found = await levels.of_key(own)
    return wire.own_usage(own, found, levels.now_us, everything=administers)
