"""`tollgate.dimensions`: what is declared, and what is refused with what would be right."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tollgate.core.callers.dimensions import SESSION, TAG
from tollgate.core.entities import NO_LIMITS
from tollgate.settings import TollgateSettings
from tollgate.settings.entries.dimension_settings import bounded_customers, dimensions_of

DAY_US = 86_400_000_000
DAILY = {"meter": "usd", "amount": 1, "per": "1d"}


def declared(**given: Any) -> Any:
    return dimensions_of(TollgateSettings.model_validate({"dimensions": given}).dimensions)


def test_built_in_dimensions_are_switched_on_with_their_sources() -> None:
    """Tags first, then sessions, then those of one's own, however they are written."""
    own = {"from": [{"header": "X-Project"}, {"body": "metadata.project"}]}
    project, tag, session = (
        next(each for each in declared(project=own, session=True, tag=True) if each.name == name)
        for name in ("project", "tag", "session")
    )
    names = [each.name for each in declared(project=own, session=True, tag=True)]
    assert names == ["tag", "session", "project"]
    assert (tag.headers, session.places) == (TAG.headers, SESSION.places)
    assert (project.headers, project.places) == (("x-project",), ("metadata.project",))
    assert (tag.remember_us, session.remember_us) == (30 * DAY_US, DAY_US)


def test_limits_are_for_all_models_or_for_some_and_are_never_forgotten_within_their_window() -> (
    None
):
    """An idle value is kept as long as its longest window."""
    limits = [
        {"meter": "usd", "amount": 5, "per": "60d"},
        {"meter": "requests", "amount": 9, "per": "1m", "model": "claude-*"},
    ]
    (tag,) = declared(tag={"limits": limits})
    assert [each.amount for each in tag.limits.limits] == [5_000_000_000]
    assert [each.model for each in tag.model_limits] == ["claude-*"]
    assert tag.remember_us == 60 * DAY_US


def test_values_are_bounded_unless_said_otherwise() -> None:
    """Customers too, of whom there may be more."""
    bounded = TollgateSettings.model_validate(
        {"dimensions": {"tag": {"most": 7, "beyond": "refuse"}, "session": True}}
    ).dimensions
    tag, session = dimensions_of(bounded)
    assert (tag.most_values, tag.refuses_more) == (7, True)
    assert (session.most_values, session.refuses_more) == (100_000, False)
    customers = bounded_customers(bounded, NO_LIMITS)
    assert (customers.most_values, customers.remember_us) == (1_000_000, 30 * DAY_US)
    fewer = TollgateSettings.model_validate({"dimensions": {"customer": {"most": 5}}}).dimensions
    assert dimensions_of(fewer) == ()
    assert bounded_customers(fewer, NO_LIMITS).most_values == 5


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"project": True}, "from"),
        ({"project": {"from": []}}, "from"),
        ({"tag": {"most": 0}}, "most"),
        ({"tag": {"beyond": "allow"}}, "beyond"),
        ({"customer": {"most": 5, "remember": "1d"}}, "only `most`, `beyond` and further headers"),
        ({"customer": {"from": [{"body": "x"}]}}, "only `most`, `beyond` and further headers"),
        (
            {"customer": {"from": [{"header": "x"}]}, "p": {"from": [{"header": "x"}]}},
            "customer already",
        ),
        ({"team": {"from": [{"header": "x"}]}}, "scope already"),
        ({"Pro ject": {"from": [{"header": "x"}]}}, "no name of a dimension"),
        ({"p": {"from": [{"header": "x", "body": "y"}]}}, "each source"),
        ({"p": {"from": [{}]}}, "each source"),
        ({"p": {"from": [{"header": "x y"}]}}, "no name of a header"),
        ({"p": {"from": [{"body": "a.b.c"}]}}, "no place in a body"),
        ({"p": {"from": [{"body": "user"}]}}, "customer already"),
        ({"tag": True, "p": {"from": [{"header": "x-litellm-tags"}]}}, "tag already"),
        ({"tag": {"remember": "1x"}}, "remember"),
        ({"tag": {"remember": "1h", "limits": [DAILY]}}, "remember"),
        ({"tag": {"limits": [{"meter": "usd", "amount": 1}] * 2}}, "only one"),
        ({"tag": {"limits": [{"meter": "usd", "amount": -1}]}}, "amount"),
        ({"tag": False}, "tag"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named(given: dict[str, Any], named: str) -> None:
    """With what would be right."""
    with pytest.raises(ValidationError, match=named):
        declared(**given)
