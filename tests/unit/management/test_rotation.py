"""A key gets a new secret, and the old one works beside it for a while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.unit.management_fixtures import Api, World

from tollgate.core.entities import Key
from tollgate.core.errors import NotFound
from tollgate.management.administrators import Denied, Holder
from tollgate.management.virtual_keys import KeyQuery, as_hash

HOUR_US = 3_600_000_000


def of(**fields: object) -> Callable[[Key, int], Key]:
    """A change that sets some fields."""
    return lambda key, _: replace(key, **fields)  # type: ignore[arg-type]


async def works(world: World, secret: str) -> bool:
    """Whether a secret opens anything."""
    try:
        return isinstance(await world.management.callers.authenticate(secret), Holder)
    except Denied:
        return False


async def test_both_secrets_work_until_the_grace_is_over(world: World) -> None:
    """They count against the same limits: both are the same key."""
    keys = world.management.keys
    made = await keys.create(of(alias="ci", user_id="bob"))
    again = await keys.regenerate(made.secret, of(), grace="2h")
    assert await works(world, made.secret)
    assert await works(world, again.secret)
    former = await world.management.callers.authenticate(made.secret)
    assert former.key is not None
    assert former.key.id == again.live.entity.id
    world.clock.us += 2 * HOUR_US
    assert not await works(world, made.secret)
    assert await works(world, again.secret)


async def test_a_former_secret_never_outlives_its_key(world: World) -> None:
    """A key that expires earlier ends both."""
    keys = world.management.keys
    made = await keys.create(of(expires_us=world.clock.us + HOUR_US))
    await keys.regenerate(made.secret, of(), grace="1d")
    world.clock.us += HOUR_US
    assert not await works(world, made.secret)


async def test_what_is_done_to_a_key_holds_for_its_former_secret(world: World) -> None:
    """Whoever has that secret is blocked and let go with it, and has the same models."""
    keys = world.management.keys
    made = await keys.create(of())
    again = await keys.regenerate(made.secret, of(), grace="1d")
    await keys.update(again.secret, of(blocked=True, models=("gpt-4o",)))
    assert not await works(world, made.secret)
    await keys.update(again.secret, of(blocked=False))
    former = await world.management.callers.authenticate(made.secret)
    assert former.key is not None
    assert former.key.models == ("gpt-4o",)


async def test_a_former_secret_names_its_key(world: World) -> None:
    """A change that names it changes both, and its holder sees the key."""
    keys = world.management.keys
    made = await keys.create(of(alias="ci"))
    again = await keys.regenerate(made.secret, of(), grace="1d")
    live = await keys.update(made.secret, of(blocked=True))
    assert live.entity.hash == as_hash(again.secret)
    assert (await keys.live_by_name(made.secret)).entity.alias == "ci"
    assert not await works(world, again.secret)


@pytest.mark.parametrize("grace", [None, "1d"])
async def test_one_former_secret_works_at_most(world: World, grace: str | None) -> None:
    """The one before it stops when the next comes, with a grace or without."""
    keys = world.management.keys
    first = await keys.create(of())
    second = await keys.regenerate(first.secret, of(), grace="1d")
    third = await keys.regenerate(second.secret, of(), grace=grace)
    found = [await works(world, each.secret) for each in (first, second, third)]
    assert found == [False, grace is not None, True]


async def test_a_deleted_key_takes_its_former_secret_with_it(world: World) -> None:
    """Nothing of it works any more."""
    keys = world.management.keys
    made = await keys.create(of())
    again = await keys.regenerate(made.secret, of(), grace="1d")
    await keys.delete([again.secret])
    assert not await works(world, made.secret)
    assert (await keys.page(KeyQuery(), 0, 10)).total == 0


async def test_an_expired_secret_goes_with_the_next_change(world: World) -> None:
    """Nothing is kept of it."""
    keys = world.management.keys
    made = await keys.create(of(user_id="bob"))
    again = await keys.regenerate(made.secret, of(), grace="1h")
    world.clock.us += HOUR_US
    await keys.update(again.secret, of(alias="later"))
    assert await world.registry.get(Key, [as_hash(made.secret)]) == [None]


async def test_a_ranking_counts_what_both_secrets_spent_once(world: World) -> None:
    """A former secret is no key of its own in lists."""
    keys = world.management.keys
    made = await keys.create(of(alias="ci"))
    await keys.regenerate(made.secret, of(), grace="1d")
    assert [each.entity.alias for each in (await keys.by_spend(0, 10)).lives] == ["ci"]
    found = await keys.page(KeyQuery(search="c"), 0, 10)
    assert [each.alias for each in found.entities] == ["ci"]


@pytest.mark.parametrize("grace", [None, "1d"])
async def test_reports_call_a_regenerated_key_by_its_alias(world: World, grace: str | None) -> None:
    """The ledger knows it by the hash of its first secret."""
    keys = world.management.keys
    made = await keys.create(of(alias="ci"))
    await keys.regenerate(made.secret, of(), grace=grace)
    key_id = as_hash(made.secret)
    assert await keys.names([key_id, "nobody", key_id]) == {key_id: "ci"}


@pytest.mark.parametrize("path", ["/key/regenerate", "/key/{key}/regenerate"])
async def test_the_api_takes_a_grace_period(api: Api, world: World, path: str) -> None:
    """By LiteLLM's name for it, on both paths."""
    made = (await api.made())["key"]
    body = {"grace_period": "24h"} | ({"key": made} if path == "/key/regenerate" else {})
    answer = await api.post(path.format(key=made), body)
    assert answer.status_code == 200
    assert await works(world, made)
    assert await works(world, answer.json()["key"])


@pytest.mark.parametrize("grace", ["soon", "-1h", 3])
async def test_a_grace_period_that_is_none_is_named(api: Api, grace: object) -> None:
    """And the secret stays what it was."""
    made = (await api.made())["key"]
    answer = await api.post("/key/regenerate", {"key": made, "grace_period": grace})
    assert answer.status_code == 400
    assert "grace_period" in answer.text
    assert (await api.get("/key/info", key=made)).status_code == 200


async def test_a_key_is_found_by_its_id_once_its_first_secret_is_gone(world: World) -> None:
    """Records name it so. The secret itself opens nothing any more."""
    keys = world.management.keys
    made = await keys.create(of())
    identity = made.live.entity.id
    again = await keys.regenerate(made.secret, of())
    assert (await keys.live_by_name(identity)).entity.hash == again.live.entity.hash
    with pytest.raises(NotFound):
        await keys.live_by_name(made.secret)
