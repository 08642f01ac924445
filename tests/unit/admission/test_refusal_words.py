"""What a refusal tells people: whose limit it was, by its alias, until when, and what helps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.desk import Desk, chat, refusal
from tests.make import limit_set

from tollgate.core.answers.wording import Preset
from tollgate.core.entities import Customer, LimitSet, Organization, Team, User
from tollgate.core.limits.accounts import Enforcement, Meter
from tollgate.core.limits.limit import Bucket, Forever, Limit, Recurring

STRICT = Enforcement(strict=True)


async def message(desk: Desk, asked: Any = None) -> str:
    """What the refusal of a call says."""
    _, body, _ = refusal(await desk.ask(asked))
    return str(body["error"]["message"])


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        (
            Limit(Meter.TOKENS, 20, Forever(), STRICT),
            "on tokens: Limit 20, Used 0, In flight 0, Requested 40, never reset.",
        ),
        (
            Limit(Meter.TOKENS, 20, Bucket(60), STRICT),
            "on tokens per min (TPM): Limit 20, Used 0, Requested 40.",
        ),
        (Limit(Meter.USD, 20, Recurring("1d"), STRICT), "spend for token: 0.0, and this call may"),
    ],
)
async def test_a_call_that_a_strict_limit_cannot_take_is_told_so(limit: Limit, told: str) -> None:
    """Nothing is used up: a smaller call would pass."""
    desk = Desk()
    desk.key(limits=limit_set(limit))
    said = await message(desk, chat(max_tokens=5))
    assert told in said
    assert "used up" not in said
    if limit.meter is not Meter.USD:
        assert said.endswith("A shorter prompt or a lower output limit helps.")


async def test_a_long_wait_is_a_number_of_seconds() -> None:
    """However long, and not as a power of ten."""
    desk = Desk()
    desk.key(limits=limit_set(Limit(Meter.REQUESTS, 1, Bucket(30 * 86_400))))
    await desk.ask()
    assert "try again in 2592000s." in await message(desk)


SPENT = limit_set(max_budget_nanousd=0)


@pytest.mark.parametrize("preset", [Preset.PAGE, Preset.OPENAI])
@pytest.mark.parametrize("limits", [SPENT, limit_set(rpm=0), limit_set(parallel=0)])
async def test_a_refusal_that_waiting_does_not_help_says_what_does(
    preset: Preset, limits: LimitSet
) -> None:
    """For every scope alike."""
    for noun in ("key", "team", "user"):
        desk = Desk()
        desk.terms = replace(desk.terms, errors=preset)
        desk.people.teams["t"] = Team(
            "t", alias="Research", limits=limits if noun == "team" else SPENT
        )
        desk.people.users["u"] = User("u", alias="Ann", limits=limits)
        owner = {"team": {"team_id": "t"}, "user": {"user_id": "u"}, "key": {"limits": limits}}
        desk.key(alias="laptop", **owner[noun])
        said = await message(desk)
        assert {"key": "laptop", "team": "Research", "user": "Ann"}[noun] in said
        assert said.endswith("an administrator can raise one.")


async def test_a_blocked_scope_is_told_with_its_alias() -> None:
    """In LiteLLM's words, where it has one."""
    for noun, entity in (
        ("Team", Team("x", alias="Research", blocked=True)),
        ("User", User("x", alias="Ann", blocked=True)),
        ("Customer", Customer("x", alias="Carl", blocked=True)),
        ("Organization", Organization("x", alias="Acme", blocked=True)),
        ("Team", Team("x", blocked=True)),
    ):
        desk = Desk()
        kind = noun.lower()
        getattr(desk.people, f"{kind}s")["x"] = entity
        owner = {"organization": "x"} if kind == "organization" else {f"{kind}_id": "x"}
        desk.key(**({} if kind == "customer" else owner))
        said = await message(desk, chat(user="x"))
        called = f" ({entity.alias})" if entity.alias else ""
        assert f"{noun}=x{called} is blocked" in said


async def test_a_list_of_models_is_told_by_the_alias_of_its_owner() -> None:
    """The key's own, and the team's."""
    desk = Desk()
    desk.key(alias="laptop", models=("fast",))
    assert (await message(desk)).startswith("The key laptop is not allowed to use the model")
    desk.people.teams["t"] = Team("t", alias="Research", models=("fast",))
    desk.key(alias="laptop", team_id="t")
    assert (await message(desk)).startswith("The team Research is not allowed to use the model")
