"""Apply inherited limits: an entity's from its budget, a member's from the team."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from tollgate.core.entities import NO_LIMITS, Budget, Budgeted, Member, Team

K = TypeVar("K", bound=Budgeted)


def with_budget(entity: K, budget: Budget | None) -> K:
    """Return the entity with the budget's limits, and its soft budget, where it has none of its
    own.
    """
    if budget is None:
        return entity
    own = {each.model for each in entity.model_limits}
    soft_nanousd = entity.soft_budget_nanousd
    return replace(
        entity,
        soft_budget_nanousd=budget.soft_budget_nanousd if soft_nanousd is None else soft_nanousd,
        limits=entity.limits.or_else(budget.limits),
        model_limits=entity.model_limits
        + tuple(each for each in budget.model_limits if each.model not in own),
    )


def find_member_of(team: Team | None, member: Member | None, user_id: str) -> Member | None:
    """Return the member with the limits that the team gives its members.

    A user without a membership counts as a member if the team limits all its members; periods then
    start at the team's creation.
    """
    if team is None or team.member_limits == NO_LIMITS:
        return member
    if member is None:
        member = Member(
            team.id, user_id, limits=replace(NO_LIMITS, budget_since_us=team.created_us)
        )
    return replace(member, limits=member.limits.or_else(team.member_limits))
