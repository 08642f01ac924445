"""The rules of what is made, from the configuration."""

from __future__ import annotations

import json

from tollgate.management.spending.creation import Creation, NewKeys, NewTeams, NewUsers
from tollgate.settings import Settings


def creation_of(settings: Settings) -> Creation:
    """Return what new entities have, and the most that keys may have."""
    page = settings.litellm
    key, most = page.default_key_generate_params, page.upperbound_key_generate_params
    user, team = page.default_internal_user_params, page.default_team_params
    memberships = tuple((each.team_id, each.user_role, each.budget_nanousd) for each in user.teams)
    return Creation(
        NewKeys(
            key.limits,
            key.models,
            json.dumps(key.metadata),
            key.user_id,
            key.team_id,
            key.duration,
            most.limits,
            most.duration,
        ),
        NewUsers(user.limits, page.internal_user_limits, user.models, user.user_role, memberships),
        NewTeams(team.limits, team.models),
        page.max_end_user_budget_id,
    )
