"""Prompts that are too long for a model: who serves them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.desk import Desk, admission, chat

from tollgate.core.models.deployment import Deployment


def deployment(identity: str, name: str, most: int | None, **fields: Any) -> Deployment:
    return Deployment(
        identity, name, "openai", "m", "http://mock-llm/v1", max_input_tokens=most, **fields
    )


def desk(*deployments: Deployment, **fallbacks: tuple[str, ...]) -> Desk:
    found = Desk(deployments=deployments)
    named = {"*": fallbacks.pop("every", ())} | fallbacks
    found.terms = replace(found.terms, context_fallbacks=named)
    return found


def asking(words: int) -> dict[str, object]:
    return chat(model="small", messages=[{"role": "user", "content": "word " * words}])


SMALL, LARGE = deployment("small", "small", 50), deployment("large", "large", 5000)


@pytest.mark.parametrize("fallbacks", [{"small": ("tiny", "large")}, {"every": ("tiny", "large")}])
async def test_a_model_that_takes_the_prompt_serves_it(
    fallbacks: dict[str, tuple[str, ...]],
) -> None:
    """The first one that does; charged as what it is, and the reply names it."""
    at = desk(SMALL, deployment("tiny", "tiny", 60), LARGE, **fallbacks)
    told = admission(await at.ask(asking(500)))
    assert told.deployment == "large"
    assert told.reservation is not None
    assert (told.reservation.model, told.reservation.instead_of) == ("large", "small")
    assert ("x-tollgate-model", "large") in [(each.name, each.value) for each in told.headers]
    assert admission(await at.ask(asking(5))).deployment == "small"


async def test_another_deployment_of_the_model_comes_first() -> None:
    """It is the model that was asked for."""
    at = desk(SMALL, deployment("wide", "small", 5000, weight=0), LARGE, small=("large",))
    told = admission(await at.ask(asking(500)))
    assert told.deployment == "wide"
    assert told.reservation is not None
    assert told.reservation.instead_of == ""


@pytest.mark.parametrize(
    ("small", "models"), [(SMALL, ("small",)), (deployment("small", "small", None), ())]
)
async def test_without_a_model_that_may_serve_it_the_provider_decides(
    small: Deployment, models: tuple[str, ...]
) -> None:
    """A key that may not use the other model, and a model of which nobody knows what it takes."""
    at = desk(small, LARGE, small=("large",))
    at.key(models=models)
    assert admission(await at.ask(asking(500))).deployment == "small"
