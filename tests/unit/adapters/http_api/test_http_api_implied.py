"""Teams and users that nobody made, and that something else names."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.management_fixtures import Api


async def teams(api: Api) -> list[str]:
    return [each["team_id"] for each in (await api.get("/team/list")).json()]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/key/generate", {"team_id": "paymants"}),
        ("/user/new", {"user_id": "u", "team_id": "paymants"}),
        ("/user/new", {"user_id": "u", "teams": ["paymants"]}),
        (
            "/user/new",
            {"user_id": "u", "teams": [{"team_id": "paymants", "max_budget_in_team": 1}]},
        ),
        ("/global/import", {"keys": [{"token": "a" * 64, "team_id": "paymants"}]}),
    ],
)
async def test_a_team_that_is_named_first_is_there_and_can_be_limited(
    api: Api, path: str, body: dict[str, Any]
) -> None:
    """So a slip shows, and what it spends can be bounded."""
    assert (await api.post(path, body)).status_code == 200
    assert await teams(api) == ["paymants"]
    answer = await api.post("/team/update", {"team_id": "paymants", "max_budget": 2})
    assert (answer.status_code, answer.json()["data"]["max_budget"]) == (200, 2.0)


async def test_a_key_that_moves_to_a_new_name_takes_the_team_along(api: Api) -> None:
    """/key/update and /key/regenerate as well."""
    made = await api.made()
    await api.post("/key/update", {"key": made["key"], "team_id": "a"})
    await api.post("/key/regenerate", {"key": made["key"], "team_id": "b"})
    assert sorted(await teams(api)) == ["a", "b"]


async def test_a_key_that_is_refused_makes_no_team(api: Api) -> None:
    """What is refused changes nothing."""
    await api.made(key_alias="taken")
    assert (
        await api.post("/key/generate", {"key_alias": "taken", "team_id": "t"})
    ).status_code == 400
    assert await teams(api) == []


async def test_whoever_makes_such_a_team_takes_it_over(api: Api) -> None:
    """With its members; once made, the id is taken."""
    await api.post("/user/new", {"user_id": "u", "teams": ["t"]})
    body = {
        "team_id": "t",
        "rpm_limit": 5,
        "members_with_roles": [{"role": "admin", "user_id": "u"}],
    }
    answer = await api.post("/team/new", body)
    assert (answer.status_code, answer.json()["rpm_limit"]) == (200, 5)
    assert answer.json()["members_with_roles"] == [{"role": "admin", "user_id": "u"}]
    assert (await api.post("/team/new", body)).status_code == 400
