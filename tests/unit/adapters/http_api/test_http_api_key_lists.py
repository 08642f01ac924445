"""Keys over HTTP: listed, found, deleted, with a new secret."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.management_fixtures import Api, World, error_of

from tollgate.core.callers.authentication import hash_of
from tollgate.core.limits.accounts import Scope, ScopeKind


async def test_deleted_keys_are_told_as_they_were_named(api: Api) -> None:
    """By secret, hash and alias; then they are gone."""
    one, two, three = await api.made(), await api.made(), await api.made(key_alias="third")
    body = {"keys": [one["key"], hash_of(two["key"]), one["key"]], "key_aliases": ["third"]}
    answer = await api.post("/key/delete", body)
    assert answer.json() == {
        "deleted_keys": [one["key"], hash_of(two["key"]), hash_of(three["key"])]
    }
    assert (await api.get("/key/info", key=one["key"])).status_code == 404


@pytest.mark.parametrize(
    "body", [{}, {"keys": []}, {"keys": ["sk-none"]}, {"key_aliases": ["none"]}]
)
async def test_deleting_nothing_is_told(api: Api, body: dict[str, Any]) -> None:
    """404 when there is no such key; nothing else is deleted either."""
    assert (await api.post("/key/delete", body)).status_code == 404


async def test_a_regenerated_key_keeps_all_but_the_secret(api: Api, world: World) -> None:
    """Limits, alias and what was spent go with it; the old secret is unknown."""
    made = await api.made(key_alias="prod", max_budget=1, rpm_limit=2)
    await world.spend(Scope(ScopeKind.KEY, hash_of(made["key"])), 500_000_000)
    answer = (await api.post("/key/regenerate", {"key": made["key"], "rpm_limit": 3})).json()
    assert answer["key"] != made["key"]
    assert (answer["key_alias"], answer["max_budget"], answer["rpm_limit"], answer["spend"]) == (
        "prod",
        1.0,
        3,
        0.5,
    )
    assert (await api.get("/key/info", key=made["key"])).status_code == 404
    again = (await api.post(f"/key/{hash_of(answer['key'])}/regenerate", None)).json()
    assert again["spend"] == 0.5


async def test_keys_are_listed_newest_first_in_pages(api: Api, world: World) -> None:
    """Hashes, or whole rows."""
    made = []
    for _ in range(3):
        world.clock.us += 1
        made.append(await api.made())
    first = (await api.get("/key/list", size=2)).json()
    assert first == {
        "keys": [hash_of(made[2]["key"]), hash_of(made[1]["key"])],
        "total_count": 3,
        "current_page": 1,
        "total_pages": 2,
    }
    second = (await api.get("/key/list", size=2, page=2, return_full_object=True)).json()
    assert [row["token"] for row in second["keys"]] == [hash_of(made[0]["key"])]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"user_id": "u"}, 2),
        ({"team_id": "t"}, 1),
        ({"user_id": "u", "team_id": "t"}, 1),
        ({"key_alias": "prod"}, 1),
        ({"search": "PRO"}, 1),
        ({"organization_id": "acme"}, 1),
        ({"user_id": "nobody"}, 0),
    ],
)
async def test_keys_are_listed_by_what_they_are(
    api: Api, query: dict[str, str], count: int
) -> None:
    """Each filter narrows the list."""
    await api.made(user_id="u", team_id="t")
    await api.made(user_id="u", key_alias="prod")
    await api.post("/organization/new", {"organization_id": "acme"})
    await api.made(organization_id="acme")
    assert (await api.get("/key/list", **query)).json()["total_count"] == count


async def test_a_page_that_is_none_is_refused(api: Api) -> None:
    """Pages count from one."""
    answer = await api.get("/key/list", page=0)
    assert (answer.status_code, error_of(answer)["param"]) == (400, "page")
