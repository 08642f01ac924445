"""Refused requests in the console."""

from __future__ import annotations

from msgspec import structs
from tests.unit.adapters.http_api.console.console_visit import Visit
from tests.unit.adapters.http_api.test_refusals import refused
from tests.unit.management_fixtures import Api, World

from tollgate.core.limits.accounts import UPSTREAM
from tollgate.management.virtual_keys import as_hash


async def test_refusals_are_listed_by_the_outcome_of_the_form(visit: Visit, world: World) -> None:
    """With whose limit refused, and until when."""
    await visit.sign_in()
    refused(world, 1, "key:h", "team:research")
    refused(world, 2, "key:h", "team:other")
    text = await visit.see("/ui/requests", status="refused", team_id="research")
    assert "key laptop: dollars" in text
    assert "2027-01-15 08:01:00" in text
    assert "other" not in text


async def test_no_refusal_is_told_as_an_empty_list(visit: Visit) -> None:
    """As for requests that were settled."""
    await visit.sign_in()
    assert "No request fits" in await visit.see("/ui/requests", status="refused")


async def test_pages_of_refusals_keep_their_filter(visit: Visit, world: World) -> None:
    """Every refusal once."""
    await visit.sign_in()
    for number in range(60):
        refused(world, number, "key:h")
    await visit.see("/ui/requests", status="refused")
    first = visit.page.text.count('href="/ui/requests/0')
    link = visit.page.text.partition('rel="next" href="')[2].partition('"')[0]
    await visit.see(link.replace("&amp;", "&"))
    assert (first, visit.page.text.count('href="/ui/requests/0')) == (50, 10)


async def test_one_refusal_shows_the_sum_that_crossed_the_limit(visit: Visit, world: World) -> None:
    """Whose limit it is, the arithmetic, and until when."""
    await visit.sign_in()
    record = refused(world, 1, "key:h", "user:bob")
    text = await visit.see(f"/ui/requests/{record.id}")
    for part in (
        "used $5.25 > $5.00: nothing is left",
        "User bob",
        "2027-01-15 08:01:00 UTC",
        "3:",
    ):
        assert part in text


async def test_a_keys_owner_sees_their_own_refusals_alone(
    visit: Visit, api: Api, world: World
) -> None:
    """By its id; another key's is refused."""
    key = (await api.made())["key"]
    await visit.sign_in(key)
    own, other = refused(world, 1, f"key:{as_hash(key)}"), refused(world, 2, "key:h")
    assert "used $5.25" in await visit.see(f"/ui/requests/{own.id}")
    assert "another key" in await visit.see(f"/ui/requests/{other.id}")
    assert visit.page.status_code == 403


async def test_amounts_of_what_a_provider_grants_are_for_administrators(
    visit: Visit, api: Api, world: World
) -> None:
    """Others learn whose limit it is, and until when."""
    key = (await api.made())["key"]
    await visit.sign_in(key)
    told = []
    for number, scope in enumerate(sorted(UPSTREAM)):
        record = refused(world, number, f"key:{as_hash(key)}")
        assert record.hit is not None
        hit = structs.replace(record.hit, scope=scope)
        world.refusals.records[-1] = structs.replace(record, hit=hit)
        text = await visit.see(f"/ui/requests/{record.id}")
        assert scope in text
        assert "2027-01-15 08:01:00 UTC" in text
        assert "$5" not in text
        told.append(record.id)
    await visit.sign_in()
    for each in told:
        assert "used $5.25" in await visit.see(f"/ui/requests/{each}")
