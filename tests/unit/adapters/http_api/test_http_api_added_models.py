"""Models that are added over the API: LiteLLM's /model/new, /model/update and /model/delete."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.management_fixtures import Api, World

NEW = {
    "model_name": "new",
    "litellm_params": {"model": "openai/gpt-4o", "api_key": "sk-provider-secret", "rpm": 7},
    "model_info": {"id": "one"},
}


async def entries(world: World) -> list[dict[str, Any]]:
    """What the running gateways are given."""
    return await world.management.added_models.entries()


async def test_a_model_is_added_changed_and_removed(api: Api, world: World) -> None:
    """Each answer has the model, and none has the provider's key."""
    answers = [
        await api.post("/model/new", NEW),
        await api.post(
            "/model/update",
            {"litellm_params": {"model": "openai/gpt-5", "rpm": None}, "model_info": {"id": "one"}},
        ),
    ]
    assert [each.status_code for each in answers] == [200, 200], [each.text for each in answers]
    assert not any("provider-secret" in each.text for each in answers)
    made, changed = (each.json() for each in answers)
    assert (made["model_id"], made["model_name"]) == ("one", "new")
    assert made["model_info"] == {"id": "one", "db_model": True}
    assert changed["litellm_params"] == {"model": "openai/gpt-5", "rpm": 7}
    (entry,) = await entries(world)
    assert entry["litellm_params"]["api_key"] == "sk-provider-secret"
    gone = await api.post("/model/delete", {"id": "one"})
    assert gone.json() == {"message": "Model: one deleted successfully"}
    assert await entries(world) == []


async def test_the_audit_log_tells_of_a_changed_key_and_never_shows_it(
    api: Api, world: World
) -> None:
    """Only that it is another."""
    await api.post("/model/new", NEW)
    rotated = {"litellm_params": {"api_key": "sk-next"}, "model_info": {"id": "one"}}
    assert (await api.post("/model/update", rotated)).status_code == 200
    told = [each.change for each in world.registry.audited]
    assert [(each.kind, each.id, each.name) for each in told] == [("added_model", "one", "new")] * 2
    before, after = (each["secrets"] for each in (told[1].before, told[1].after))
    assert before != after
    written = json.dumps([[each.before, each.after] for each in told])
    assert "sk-" not in written


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"model_name": ""}, "model_name"),
        ({"litellm_params": {}}, "litellm_params.model"),
        ({"litellm_params": {"model": "openai/x", "weight": -1}}, "weight"),
        ({"litellm_params": {"model": "openai/x", "api_base": "ftp://x"}}, "ftp://x"),
        ({"litellm_params": {"model": "openai/x", "max_budget": "much"}}, "max_budget"),
        ({"litellm_params": {"model": "openai/x", "api_key": "os.environ/PATH"}}, "os.environ"),
        ({"litellm_params": {"model": "openai/x", "metadata": ["os.environ/A"]}}, "os.environ"),
        ({"litellm_params": {"model": "openai/x", "input_cost_per_token": "much"}}, "input_cost"),
        ({"litellm_params": {"model": "nobody/x"}}, "has no address"),
        ({"model_info": {"id": "a b"}}, "model_info.id"),
        ({"model_info": {"id": 7}}, "model_info.id"),
        ({"model_info": {"id": "gpt-4o"}}, "configuration file"),
        ({"model_name": "tollgate-probe"}, "tollgate-probe"),
    ],
)
async def test_a_bad_model_is_refused_with_its_faults(
    api: Api, world: World, change: dict[str, Any], fault: str
) -> None:
    """It is stored nowhere."""
    answer = await api.post("/model/new", {**NEW, **change})
    assert answer.status_code == 400, answer.text
    assert fault in answer.text
    assert await entries(world) == []


@pytest.mark.parametrize("path", ["/model/update", "/model/delete"])
@pytest.mark.parametrize(
    ("identity", "status", "fault"),
    [("gpt-4o", 400, "configuration file"), ("nobody", 404, "not found in db")],
)
async def test_what_was_not_added_is_not_changed(
    api: Api, path: str, identity: str, status: int, fault: str
) -> None:
    """The file's models are the file's."""
    body = {"id": identity} if path.endswith("delete") else {"model_info": {"id": identity}}
    answer = await api.post(path, body)
    assert (answer.status_code, fault in answer.text) == (status, True), answer.text


async def test_a_bad_change_leaves_the_model_as_it_was(api: Api, world: World) -> None:
    """The whole entry is judged."""
    await api.post("/model/new", NEW)
    before = await entries(world)
    bad = {"litellm_params": {"api_base": "nowhere"}, "model_info": {"id": "one"}}
    assert (await api.post("/model/update", bad)).status_code == 400
    assert await entries(world) == before


async def test_an_id_is_given_once(api: Api) -> None:
    """A second model of it would replace the first."""
    assert (await api.post("/model/new", NEW)).status_code == 200
    again = await api.post("/model/new", NEW)
    assert (again.status_code, "exists already" in again.text) == (400, True)
