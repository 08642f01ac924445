"""The sample answers of the page, field for field: their order, and each null."""

from __future__ import annotations

from typing import Any

Answer = list[tuple[str, Any]]


def team_answer(team_id: str) -> Answer:
    """Of /team/new."""
    return [
        ("team_alias", "my-new-team_4"),
        ("team_id", team_id),
        ("admins", []),
        ("members", []),
        (
            "members_with_roles",
            [{"role": "admin", "user_id": "5c4a0aa3-a1e1-43dc-bd87-3c2da8382a3a"}],
        ),
        ("metadata", {}),
        ("tpm_limit", None),
        ("rpm_limit", 99),
        ("max_budget", None),
        ("models", []),
        ("spend", 0.0),
        ("max_parallel_requests", None),
        ("budget_duration", None),
        ("budget_reset_at", None),
    ]


def key_answer(key: str, user_id: str, team_id: str) -> Answer:
    """Of /key/generate."""
    return [
        ("key", key),
        ("models", []),
        ("spend", 0.0),
        ("max_budget", None),
        ("user_id", user_id),
        ("team_id", team_id),
        ("max_parallel_requests", None),
        ("metadata", {}),
        ("tpm_limit", None),
        ("rpm_limit", None),
        ("budget_duration", None),
        ("allowed_cache_controls", []),
        ("soft_budget", None),
        ("key_alias", None),
        ("duration", None),
        ("aliases", {}),
        ("config", {}),
        ("permissions", {}),
        ("model_max_budget", {}),
        ("key_name", None),
        ("expires", None),
        ("token_id", None),
    ]
