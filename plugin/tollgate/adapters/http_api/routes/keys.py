"""/key/*"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Request

from tollgate.adapters.http_api.bodies import JsonRoute
from tollgate.adapters.http_api.dependencies import Administered, Managed, Somebody
from tollgate.adapters.http_api.queries import PageNumber
from tollgate.adapters.http_api.wire import keys as wire
from tollgate.adapters.http_api.wire.parts.limits import printed_dollars
from tollgate.core.entities import Key
from tollgate.core.errors import BadRequest
from tollgate.core.money.dollars import dollars_of
from tollgate.management import Management
from tollgate.management.administrators import Administrator, Denied
from tollgate.management.virtual_keys import KeyQuery, as_hash

router = APIRouter(prefix="/key", tags=["keys"], route_class=JsonRoute)

PageSize = Annotated[int, Query(ge=1, le=1000)]


@router.post("/generate")
async def generate(
    body: wire.GenerateKey, management: Administered, request: Request
) -> wire.GeneratedKey:
    """Create a key. Only this answer contains its secret."""
    return await _generated(body, management, request)


@router.post("/service-account/generate")
async def generate_for_service_account(
    body: wire.GenerateServiceAccountKey, management: Administered, request: Request
) -> wire.GeneratedKey:
    """Create a key of a team that belongs to no user."""
    return await _generated(body, management, request)


async def _generated(
    body: wire.GenerateKey, management: Management, request: Request
) -> wire.GeneratedKey:
    await management.budgets.check(body.budget_id)
    await management.organizations.check(body.organization_id)
    made = await management.keys.create(
        body.change, secret=body.key, spend_nanousd=body.spend or 0, anonymous=body.is_anonymous
    )
    return wire.generated(made, with_id="x-api-key" in request.headers)


@router.get("/info")
async def info(caller: Somebody, management: Managed, key: str | None = None) -> wire.KeyInfo:
    """Return a key and its spend; without `key`, the caller's own.

    Only administrators may ask about other keys.
    """
    own = caller.key
    if key is None:
        if own is None:
            raise BadRequest("the master key is not a virtual key; name one with ?key=", "key")
        return wire.KeyInfo(
            key=own.hash, info=wire.row(await management.keys.live_by_name(own.hash))
        )
    if not isinstance(caller, Administrator) and (own is None or own.hash != as_hash(key)):
        role = caller.user.role.value if caller.user else "unknown"
        raise Denied(f"You are not allowed to access this key's info. Your role={role}", status=403)
    return wire.KeyInfo(key=key, info=wire.row(await management.keys.live_by_name(key)))


@router.post("/update")
async def update(body: wire.UpdateKey, management: Administered) -> wire.UpdatedKey:
    """Change a key: omitted fields stay, null clears."""
    await management.budgets.check(body.budget_id)
    await management.organizations.check(body.organization_id)
    name = body.key
    if name is None:
        name = (await management.keys.live_by_alias(body.key_alias or "")).entity.hash
    live = await management.keys.update(name, body.change, body.spend)
    return wire.UpdatedKey(key=name, **dict(wire.row(live)))


@router.post("/delete")
async def delete(body: wire.DeleteKeys, management: Administered) -> wire.DeletedKeys:
    """Delete keys, all or none. Their spend stays in the ledger."""
    names = body.keys or ()
    hashes = await management.keys.delete(names, body.key_aliases or ())
    named = {as_hash(name): name for name in names}
    return wire.DeletedKeys(deleted_keys=tuple(named.get(each, each) for each in hashes))


@router.post("/block")
async def block(body: wire.NamedKey, management: Administered) -> wire.KeyRow:
    """Block a key; takes effect everywhere within a second."""
    return wire.row(await management.keys.update(body.key, _blocked))


@router.post("/unblock")
async def unblock(body: wire.NamedKey, management: Administered) -> wire.KeyRow:
    """Unblock a key."""
    return wire.row(await management.keys.update(body.key, _unblocked))


def _blocked(key: Key, _: int) -> Key:
    return replace(key, blocked=True)


def _unblocked(key: Key, _: int) -> Key:
    return replace(key, blocked=False)


@router.get("/list")
async def list_keys(
    management: Administered,
    page: PageNumber = 1,
    size: PageSize = 10,
    user_id: str | None = None,
    team_id: str | None = None,
    organization_id: str | None = None,
    key_hash: str | None = None,
    key_alias: str | None = None,
    search: str | None = None,
    return_full_object: bool = False,
) -> wire.KeyList:
    """List keys by hash, newest first; with `return_full_object`, as whole rows."""
    query = KeyQuery(user_id, team_id, organization_id, key_alias, key_hash, search)
    found = await management.keys.page(query, (page - 1) * size, size)
    keys: tuple[str | wire.KeyRow, ...] = tuple(key.hash for key in found.entities)
    if return_full_object:
        keys = tuple(wire.row(live) for live in await management.keys.live(found.entities))
    return wire.KeyList(
        keys=keys, total_count=found.total, current_page=page, total_pages=-(-found.total // size)
    )


@router.post("/regenerate")
async def regenerate(body: wire.RegenerateKey, management: Administered) -> wire.GeneratedKey:
    """Give a key a new secret; spend and limits stay."""
    if body.key is None:
        raise BadRequest("No key passed in.", "key")
    await management.organizations.check(body.organization_id)
    made = await management.keys.regenerate(body.key, body.change, body.new_key, body.grace_period)
    return wire.generated(made)


@router.post("/{key}/regenerate")
async def regenerate_named(
    key: str, management: Administered, body: wire.RegenerateKey | None = None
) -> wire.GeneratedKey:
    """Give the key in the path a new secret."""
    body = body or wire.RegenerateKey()
    await management.organizations.check(body.organization_id)
    made = await management.keys.regenerate(key, body.change, body.new_key, body.grace_period)
    return wire.generated(made)


@router.post("/{key}/reset_spend")
async def reset_spend(key: str, body: wire.ResetSpend, management: Administered) -> wire.SpendReset:
    """Lower a key's spend in its current period."""
    live, previous = await management.keys.reset_spend(key, body.reset_to)
    return wire.SpendReset(
        key_hash=live.entity.hash,
        spend=dollars_of(live.spend.used_nanousd),
        previous_spend=dollars_of(previous),
        max_budget=printed_dollars(live.entity.limits.max_budget_nanousd),
        budget_reset_at=live.reset_us,
    )
