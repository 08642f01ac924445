"""What a proposed limit would have done to the calls of the ledger."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import structs
from tests.make import DOLLAR, account_of, reservation, settlement
from tests.unit.management_fixtures import Api, World, error_of
from typer.testing import CliRunner

from tollgate.commands.gateway import Gateway
from tollgate.commands.main import app
from tollgate.core.callers.authentication import hash_of
from tollgate.core.limits.accounts import Scope, ScopeKind

SECRET = "sk-0123456789abcdef"


async def called(world: World, *calls: tuple[str, str, int]) -> None:
    """Settle calls of keys with models, each of which cost so many dollars."""
    for number, (key, model, dollars) in enumerate(calls):
        asked = reservation(f"r{number}", account_of(Scope(ScopeKind.KEY, key)))
        asked = structs.replace(asked, model=model, admitted_us=world.clock.us)
        await world.counters.reserve(asked)
        await world.counters.settle(asked, settlement(10, dollars * DOLLAR))
        world.clock.us += 1_000_000


async def replayed(api: Api, entry: dict[str, Any], **query: Any) -> Any:
    answer = await api.get("/spend/replay", limit=json.dumps(entry), **query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_replay_says_whom_a_limit_would_have_refused(api: Api, world: World) -> None:
    """Those with most refusals first, a key by its name."""
    await api.made(key=SECRET, key_alias="laptop")
    mine = hash_of(SECRET)
    await called(world, *[(mine, "m", 3)] * 4, ("other", "m", 5), ("other", "m", 1))
    found = await replayed(api, {"meter": "usd", "amount": 5, "per": "1d"})
    assert (found["calls"], found["refused"], found["refused_spend"]) == (6, 3, 7.0)
    told = [(each["id"], each["name"], each["refused"]) for each in found["scopes"]]
    assert told == [(mine, "laptop", 2), ("other", None, 1)]
    only = await replayed(api, {"meter": "usd", "amount": 5, "per": "1d"}, key="laptop")
    assert (only["calls"], only["refused"]) == (4, 2)


async def test_a_limit_of_a_model_is_replayed_for_its_calls_alone(api: Api, world: World) -> None:
    """Others are not counted."""
    await called(world, ("k", "a", 1), ("k", "b", 1), ("k", "a", 1))
    entry = {"meter": "requests", "amount": 1, "per": "1h", "model": "a"}
    found = await replayed(api, entry)
    assert (found["calls"], found["refused"]) == (2, 1)


async def test_calls_before_the_time_are_left_out(api: Api, world: World) -> None:
    """Also out of what the limit has counted."""
    await called(world, ("k", "a", 1))
    world.clock.us += 3_600_000_000
    await called(world, ("k", "a", 1))
    entry = {"meter": "usd", "amount": 1}
    assert (await replayed(api, entry))["refused"] == 1
    assert (await replayed(api, entry, since="30m"))["refused"] == 0


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("{", "limit"),
        ('{"meter": "words", "amount": 1}', "limit.meter"),
        ('{"meter": "usd", "amount": 1, "per": "1y"}', "such as 30s"),
    ],
)
async def test_a_limit_that_is_none_is_refused(api: Api, limit: str, said: str) -> None:
    """With what would be right."""
    answer = await api.get("/spend/replay", limit=limit)
    assert answer.status_code == 400
    assert said in error_of(answer)["message"]


def test_the_command_prints_a_sentence_and_the_scopes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a person would say it."""
    row = {"scope": "key", "id": "k", "name": "laptop", "calls": 5, "refused": 2}
    answer = {"calls": 90122, "refused": 214, "refused_spend": 1.5, "scopes": [row]}
    monkeypatch.setattr(Gateway, "get", lambda *_: answer)
    shown = CliRunner().invoke(app, ["replay", "--limit", "{}"]).output
    assert shown.startswith("would have refused 214 of 90,122 calls ($1.50)")
    assert "laptop" in shown
