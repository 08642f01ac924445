"""What admission remembers of a caller and a model ends with whatever it was found by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.desk import MASTER, Desk, People, admission, chat, hashed, refusal

from tollgate.core.calls.decision import Admission
from tollgate.core.entities import Customer, Key, Team, User
from tollgate.core.models.deployment import Deployment


@pytest.fixture
def desk() -> Desk:
    """Callers are remembered: the directory is certain to hear of every change."""
    desk = Desk(People(generation=1))
    desk.people.teams["t"] = Team("t")
    desk.people.users["u"] = User("u")
    desk.people.customers["c"] = Customer("c")
    desk.key(team_id="t", user_id="u")
    return desk


def change(desk: Desk, kind: str, **fields: Any) -> None:
    """Change the key, or one of the entities around it, as an administrator does."""
    if kind == "key":
        desk.key(team_id="t", user_id="u", **fields)
        return
    entities = getattr(desk.people, f"{kind}s")
    (name,) = entities
    entities[name] = replace(entities[name], **fields)
    assert desk.people.generation is not None
    desk.people.generation += 1


@pytest.mark.parametrize("kind", ["key", "team", "user", "customer"])
async def test_a_model_that_somebody_loses_is_refused_at_the_next_call(
    desk: Desk, kind: str
) -> None:
    """And served again once they have it back, however often it was asked for before."""
    asked = chat(user="c")
    for models, status in (((), 200), (("fast",), 403), (("gpt-4o", "fast"), 200)):
        change(desk, kind, models=models)
        for _ in range(2):
            decision = await desk.ask(asked)
            found = 200 if isinstance(decision, Admission) else refusal(decision)[0]
            assert found == status, models


@pytest.mark.parametrize("kind", ["key", "team"])
async def test_an_alias_that_changes_means_another_model_at_the_next_call(
    desk: Desk, kind: str
) -> None:
    asked = chat(model="mine")
    for model in ("gpt-4o", "fast", "gpt-4o"):
        change(desk, kind, model_aliases=(("mine", model),))
        for _ in range(2):
            assert admission(await desk.ask(asked)).deployment == model
    change(desk, kind, model_aliases=())
    assert refusal(await desk.ask(asked))[0] == 404


async def test_what_one_caller_may_use_says_nothing_of_another(desk: Desk) -> None:
    """The master key may use every model, whoever asked for it before."""
    desk.key(models=("fast",))
    for _ in range(2):
        assert admission(await desk.ask(secret=MASTER)).deployment == "gpt-4o"
        assert refusal(await desk.ask())[0] == 403


async def test_two_secrets_of_one_key_have_each_what_its_own_document_says(desk: Desk) -> None:
    """While a secret that was replaced still works, both are counted as one key."""
    former = replace(Key(hashed("sk-former"), "sk-...mer"), models=("fast",))
    desk.people.keys[former.hash] = former
    desk.key(first_hash=former.hash)
    for _ in range(2):
        assert refusal(await desk.ask(secret="sk-former"))[0] == 403
        held = admission(await desk.ask()).reservation
        assert held is not None
        assert former.hash in {each.scope.id for each in held.accounts}


async def test_each_name_of_a_wildcard_is_served_as_itself_however_often(desk: Desk) -> None:
    desk.deployments = (Deployment("any", "any/*", "openai", "*", "http://mock-llm/v1"),)
    for name in ("a", "b", "a", "b"):
        found = admission(await desk.ask(chat(model=f"any/{name}")))
        assert found.reservation is not None
        assert (found.deployment, found.reservation.model) == ("any", f"any/{name}")
        assert [each.insert for each in found.edits] == [f'"{name}"']


async def test_a_model_is_served_on_the_paths_of_each_of_its_deployments(desk: Desk) -> None:
    """One of them found for a path is not taken for another path."""
    desk.deployments = (
        Deployment("ours", "m", "openai", "m", "http://mock-llm/v1"),
        Deployment("theirs", "m", "anthropic", "m", "http://mock-llm"),
    )
    for path, deployment in (("/v1/chat/completions", "ours"), ("/v1/messages", "theirs")) * 2:
        asked = chat(model="m", max_tokens=9)
        assert admission(await desk.ask(asked, path=path)).deployment == deployment
