"""Organizations at admission: whom their limits meet, and where the counters of who moves are."""

from __future__ import annotations

from typing import Any

import pytest
from tests.desk import Desk, admission, chat, refusal
from tests.make import limit_set

from tollgate.core.calls.reservation import Settlement
from tollgate.core.calls.usage import Usage
from tollgate.core.entities import (
    Customer,
    LimitSet,
    ModelLimits,
    Organization,
    OrganizationMember,
    Team,
    User,
)
from tollgate.core.limits.accounts import Scope, ScopeKind

ONE = limit_set(rpm=1)


def acme(desk: Desk, **fields: Any) -> None:
    desk.people.organizations["acme"] = Organization("acme", **fields)


@pytest.mark.parametrize("by", ["key", "team"])
async def test_an_organizations_limit_meets_its_keys_and_its_teams_keys(by: str) -> None:
    """A key belongs to its team's organization, whatever its own says."""
    desk = Desk()
    acme(desk, limits=ONE)
    if by == "key":
        desk.key(organization="acme")
    else:
        desk.people.teams["t"] = Team("t", organization="acme")
        desk.key(team_id="t")
    admission(await desk.ask())
    status, body, _ = refusal(await desk.ask())
    assert (status, "organization acme" in body["error"]["message"]) == (429, True)


async def test_an_organization_narrows_limits_and_models() -> None:
    """Its limits for a model meet that model alone, and its list of models holds for its keys."""
    desk = Desk()
    acme(desk, models=("gpt-4o", "claude"), model_limits=(ModelLimits("gpt-4o", ONE),))
    desk.key(organization="acme")
    admission(await desk.ask())
    assert refusal(await desk.ask())[0] == 429
    assert refusal(await desk.ask(chat(model="fast")))[0] == 403


async def test_an_organizations_member_is_limited_there_alone() -> None:
    """With keys of the same user in the organization and outside."""
    desk = Desk()
    acme(desk)
    member = OrganizationMember("acme", "u", limits=ONE)
    desk.people.organization_members[member.id] = member
    desk.key(organization="acme", user_id="u")
    admission(await desk.ask())
    _, body, _ = refusal(await desk.ask())
    assert "organization member u in acme" in body["error"]["message"]
    desk.key(user_id="u")
    admission(await desk.ask())


async def test_a_blocked_organization_is_refused() -> None:
    """As a blocked team is."""
    desk = Desk()
    acme(desk, blocked=True)
    desk.key(organization="acme")
    assert refusal(await desk.ask())[0] == 401


@pytest.mark.parametrize("whose", ["proxy", "user", "customer"])
async def test_what_spans_organizations_is_counted_once_for_all(whose: str) -> None:
    """Calls in two organizations share the limits of the proxy, a user and a customer."""
    desk = Desk()
    if whose == "user":
        desk.people.users["u"] = User("u", limits=ONE)
    elif whose == "customer":
        desk.people.customers["c"] = Customer("c", limits=ONE)
    else:
        desk.terms = desk.with_policy(proxy=ONE)
    decisions = []
    for organization in ("acme", "globex"):
        desk.key(user_id="u", organization=organization)
        decisions.append(await desk.ask(chat(user="c")))
    admission(decisions[0])
    assert refusal(decisions[1])[0] == 429


@pytest.mark.parametrize("moved", ["key", "team"])
async def test_who_moves_to_another_organization_keeps_what_was_counted(moved: str) -> None:
    """Spend and calls in flight count on; the new organization is charged from the next call on."""
    desk = Desk()
    limits = LimitSet(max_budget_nanousd=10**9)
    team_id = "t" if moved == "team" else None

    def settle_in(organization: str, home: str | None) -> None:
        if team_id:
            desk.people.teams["t"] = Team("t", organization=organization, home=home, limits=limits)
        desk.key(team_id=team_id, organization=organization, home=home, limits=limits)

    settle_in("acme", None)
    before = admission(await desk.ask()).reservation
    settle_in("globex", "acme")
    after = admission(await desk.ask()).reservation
    assert before is not None
    assert after is not None
    for each in (before, after):
        usage = Usage(input_tokens=1)
        await desk.counters.settle(each, Settlement(usage, 100, 200, "test"))
    scopes = {
        "key": Scope(ScopeKind.KEY, next(iter(desk.people.keys.values())).id),
        "team": Scope(ScopeKind.TEAM, "t"),
    }
    spent = {each.scope.kind: each.scope.id for each in after.accounts}
    assert spent["organization"] == "globex"
    assert await desk.spent("acme", scopes[moved]) == 200
    for name in ("acme", "globex"):
        assert await desk.spent(name, Scope(ScopeKind.ORGANIZATION, name)) == 100
