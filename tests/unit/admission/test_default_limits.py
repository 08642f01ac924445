"""Default limits: of each entity of a kind that has none of that meter and window."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from tests.desk import Desk, admission, chat, refusal
from tests.make import limit_set

from tollgate.core.entities import (
    Key,
    LimitSet,
    Member,
    Organization,
    OrganizationMember,
    Team,
    User,
)
from tollgate.settings import TollgateSettings

ONE = limit_set(rpm=1)
NOUNS = {
    "key": "key",
    "user": "user u",
    "team": "team t",
    "member": "member t/u",
    "organization": "organization o",
    "organization_member": "organization member u in o",
}


def desk_of(**defaults: LimitSet) -> Desk:
    desk = Desk()
    desk.terms = desk.with_policy(defaults=defaults)
    desk.people.teams["t"] = Team("t", organization="o")
    desk.people.organizations["o"] = Organization("o")
    member = OrganizationMember("o", "u")
    desk.people.organization_members[member.id] = member
    desk.key(team_id="t", user_id="u")
    return desk


@pytest.mark.parametrize("kind", NOUNS)
@pytest.mark.parametrize("registered", [True, False])
async def test_whoever_has_no_limit_has_the_default(kind: str, registered: bool) -> None:
    """Also a user and a member whom only a key names."""
    desk = desk_of(**{kind: ONE})
    if registered:
        desk.people.users["u"] = User("u")
        desk.people.members["t/u"] = Member("t", "u")
    admission(await desk.ask())
    status, body, _ = refusal(await desk.ask())
    assert status == 429
    words = body["error"]["message"].replace("member u in t ", "member t/u ")
    assert NOUNS[kind] in words, body


@pytest.mark.parametrize("kind", NOUNS)
async def test_a_limit_of_ones_own_comes_before_the_default_of_its_window(kind: str) -> None:
    """Another meter's default still holds."""
    own: Any = limit_set(rpm=3)
    desk = desk_of(**{kind: limit_set(rpm=1, parallel=2)})
    desk.people.users["u"] = User("u", limits=own)
    desk.people.members["t/u"] = Member("t", "u", limits=own)
    desk.people.teams["t"] = Team("t", organization="o", limits=own)
    desk.people.organizations["o"] = Organization("o", limits=own)
    member = OrganizationMember("o", "u", limits=own)
    desk.people.organization_members[member.id] = member
    desk.key(team_id="t", user_id="u", limits=own)
    for _ in range(2):
        admission(await desk.ask())
    _, body, _ = refusal(await desk.ask())
    assert "parallel calls" in body["error"]["message"]


async def test_without_defaults_nobody_is_made_up() -> None:
    """Calls are charged to whom somebody registered."""
    call = admission(await desk_of().ask(chat())).reservation
    assert call is not None
    kinds = {each.scope.kind for each in call.accounts}
    assert kinds == {"proxy", "organization", "organization_member", "team", "key"}
    assert Key("h", "n").limits == LimitSet()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"proxy": []}, "tollgate.limits"),
        ({"session": []}, "dimension"),
        ({"nobody": []}, "must be one of"),
        ({"user": [{"meter": "usd", "amount": 1}] * 2}, "only one"),
        ({"user": [{"meter": "usd", "amount": -1}]}, "amount"),
    ],
)
def test_defaults_that_cannot_be_are_named(given: Any, named: str) -> None:
    """With what would be right."""
    with pytest.raises(ValidationError, match=named):
        TollgateSettings.model_validate({"default_limits": given})
