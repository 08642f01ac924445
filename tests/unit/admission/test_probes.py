"""The model of probes, which nobody calls by accident."""

from __future__ import annotations

from typing import Any

import pytest
from tests.desk import MASTER, Desk, admission, chat, refusal

from tollgate.admission.asking import callers
from tollgate.core.models.deployment import Deployment
from tollgate.core.models.probe_model import LATE_PROBE_MODEL, PROBE, PROBE_MODEL
from tollgate.core.models.wildcards import Wildcards

EVERYTHING = Deployment("any", "*", "openai", "*", "http://mock-llm/v1")
PROBE_KEY = {"models": (PROBE_MODEL, LATE_PROBE_MODEL)}


def desk(**key: Any) -> Desk:
    found = Desk()
    found.deployments = (*found.deployments, EVERYTHING, PROBE)
    found.key(**key)
    return found


async def test_a_key_that_names_the_model_of_probes_calls_it() -> None:
    """It is held and edited as any other call is, even beside a wildcard that takes every name."""
    passed = admission(await desk(**PROBE_KEY).ask(chat(model=PROBE_MODEL)))
    assert passed.deployment == PROBE.id
    assert passed.reservation is not None
    assert [each.insert for each in passed.edits] == ['"probe"']


@pytest.mark.parametrize("key", [{}, {"models": ("*",)}, {"models": ("all-proxy-models",)}])
async def test_no_other_key_can_call_it(key: dict[str, Any]) -> None:
    """For them there is no such model."""
    for model in (PROBE_MODEL, LATE_PROBE_MODEL):
        status, body, _ = refusal(await desk(**key).ask(chat(model=model)))
        assert (status, body["error"]["code"]) == (404, "model_not_found")


async def test_the_master_key_cannot_call_it_either() -> None:
    status, _, _ = refusal(await desk().ask(chat(model=PROBE_MODEL), secret=MASTER))
    assert status == 404


async def test_a_late_probe_is_answered_after_envoy_should_have_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only then, and for good: nothing is held."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(callers.asyncio, "sleep", sleep)
    status, body, _ = refusal(await desk(**PROBE_KEY).ask(chat(model=LATE_PROBE_MODEL)))
    assert (status, "late on purpose" in body["error"]["message"], waited) == (404, True, [20.0])


def test_no_wildcard_serves_the_names_of_probes() -> None:
    assert Wildcards(["*"]).find_wildcard(PROBE_MODEL) is None
    assert Wildcards(["*"]).find_wildcard("toll") == "*"
