"""What of LiteLLM's rows is carried, and what is said to be lost."""

from __future__ import annotations

from typing import Any

import pytest

from tollgate.import_litellm.mapping import plan_of
from tollgate.import_litellm.source import Dump


@pytest.mark.parametrize(
    ("kind", "name"), [("keys", "token"), ("users", "user_id"), ("teams", "team_id")]
)
def test_the_spend_of_a_model_without_a_budget_is_told(kind: str, name: str) -> None:
    """It is part of the whole spend, and not told apart."""
    row = {
        name: "a",
        "spend": 3.0,
        "model_spend": {"gpt-4o": 2.0, "o3": 1.0, "o4": 0.0},
        "model_max_budget": {"gpt-4o": {"budget_limit": 5}},
    }
    plan = plan_of(Dump(**{kind: (row,)}))  # type: ignore[arg-type] # one of its lists
    (item,) = plan.items[kind]
    assert (item["spend"], item["model_spend"]) == (3.0, {"gpt-4o": 2.0})
    (lost,) = plan.lost
    assert (lost.field, lost.reason.startswith("o3: no budget of its own")) == ("model_spend", True)


MEMBER = {"user_id": "ann", "role": "user"}


@pytest.mark.parametrize(
    ("dump", "lost"),
    [
        (
            {"users": ({"user_id": "litellm-proxy-budget", "spend": 2.5},)},
            ("users", "spend", "2.5 of the budget of all traffic, which starts anew here"),
        ),
        (
            {"models": ({"model_name": "m", "model_info": {"db_model": True}},)},
            ("models", "litellm_params", "it is in LiteLLM's database"),
        ),
        (
            {"keys": ({"token": "a", "metadata": {"max_iterations": 5}},)},
            ("keys", "metadata.max_iterations", "kept as text, but not acted on"),
        ),
        (
            {
                "teams": (
                    {
                        "team_id": "t",
                        "members_with_roles": [MEMBER],
                        "team_memberships": [
                            {
                                "user_id": "ann",
                                "team_id": "t",
                                "total_spend": 3,
                                "litellm_budget_table": {"budget_id": "b", "soft_budget": 4},
                            }
                        ],
                    },
                )
            },
            ("members", "soft_budget", "not served by Tollgate"),
        ),
    ],
)
def test_nothing_is_left_behind_in_silence(
    dump: dict[str, Any], lost: tuple[str, str, str]
) -> None:
    """Each field has its line."""
    (found,) = plan_of(Dump(**dump)).lost
    assert (found.kind, found.field) == lost[:2]
    assert found.reason.startswith(lost[2])
