"""Lists of models, as clients of each API ask for them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.management_fixtures import MASTER, Api, World

from tollgate.core.models.deployment import Deployment
from tollgate.core.requests.catalog import Catalog

SERVED = (
    ("gpt-4o", "openai"),
    ("openai/x:free", "openai"),
    ("claude", "anthropic"),
    ("flash", "gemini"),
    ("team/flash", "gemini"),
    ("small", "ollama"),
)


@pytest.fixture
def api(api: Api, world: World) -> Api:
    """The API over models of several providers."""
    deployments = tuple(
        Deployment(name, name, provider, "real", "http://mock-llm") for name, provider in SERVED
    )
    world.reports.catalog = Catalog.of(deployments, {})
    return api


async def told(api: Api, path: str, **headers: str) -> tuple[int, Any]:
    """Status and body of an answer, with an administrator's key unless the headers have another."""
    sent = {
        "x-api-key": MASTER,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    answer = await api.client.get(path, headers=sent)
    return answer.status_code, answer.json()


@pytest.mark.parametrize("prefix", ["/v1/models", "/models", "/openai/v1/models"])
@pytest.mark.parametrize("name", ["gpt-4o", "openai/x:free"])
async def test_a_model_is_told_as_the_list_tells_it(api: Api, prefix: str, name: str) -> None:
    """Its name may hold slashes, percent-encoded or not; a slash at the end changes nothing."""
    _, listed = await told(api, prefix)
    (card,) = [each for each in listed["data"] if each["id"] == name]
    assert card["object"] == "model"
    for spelt in (name, name.replace("/", "%2F"), f"{name}/"):
        assert await told(api, f"{prefix}/{spelt}") == (200, card)


async def test_anthropics_clients_are_told_in_their_shape(api: Api) -> None:
    """By the header that they all send."""
    _, listed = await told(api, "/v1/models", anthropic_version="2023-06-01")
    assert (listed["first_id"], listed["last_id"], listed["has_more"]) == ("gpt-4o", "small", False)
    status, card = await told(api, "/v1/models/claude", anthropic_version="2023-06-01")
    assert (status, card) == (200, next(each for each in listed["data"] if each["id"] == "claude"))
    assert (card["type"], card["display_name"], card["created_at"]) == (
        "model",
        "claude",
        "2023-02-28T18:56:42Z",
    )


@pytest.mark.parametrize("version", ["v1beta", "v1alpha"])
async def test_googles_clients_list_what_geminis_paths_serve(api: Api, version: str) -> None:
    """`models/NAME`; one of them by that name."""
    status, listed = await told(
        api, f"/{version}/models?pageSize=1000&anything=1", x_goog_api_key=MASTER
    )
    assert (status, [each["name"] for each in listed["models"]]) == (
        200,
        ["models/flash", "models/team/flash"],
    )
    assert await told(api, f"/{version}/models/flash") == (200, listed["models"][0])
    assert await told(api, f"/{version}/models/team%2Fflash") == (200, listed["models"][1])
    assert "generateContent" in listed["models"][0]["supportedGenerationMethods"]


async def test_ollamas_clients_list_what_ollamas_paths_serve(api: Api) -> None:
    """Under the name by which it is called."""
    status, listed = await told(api, "/api/tags")
    assert (status, [(each["name"], each["model"]) for each in listed["models"]]) == (
        200,
        [("small", "small")],
    )


@pytest.mark.parametrize(
    ("path", "headers", "error"),
    [
        (
            "/v1/models/none",
            {},
            {
                "error": {
                    "message": "The model 'none' does not exist, or you may not use it.",
                    "type": "invalid_request_error",
                    "param": "model",
                    "code": "model_not_found",
                }
            },
        ),
        (
            "/v1/models/none",
            {"anthropic_version": "2023-06-01"},
            {
                "type": "error",
                "error": {
                    "type": "not_found_error",
                    "message": "The model 'none' does not exist, or you may not use it.",
                },
            },
        ),
        (
            "/v1beta/models/gpt-4o",
            {},
            {
                "error": {
                    "code": 404,
                    "message": "The model 'gpt-4o' does not exist, or you may not use it.",
                    "status": "NOT_FOUND",
                }
            },
        ),
    ],
)
async def test_a_model_that_is_not_there_is_told_in_the_clients_shape(
    api: Api, path: str, headers: dict[str, str], error: object
) -> None:
    """404, with the model's name."""
    assert await told(api, path, **headers) == (404, error)


async def test_a_name_of_any_length_is_not_repeated_whole(api: Api) -> None:
    """It is the client's."""
    _, body = await told(api, "/v1/models/" + "a" * 5000)
    assert len(body["error"]["message"]) < 200


async def test_a_model_that_the_key_may_not_use_is_not_there(api: Api) -> None:
    """In any list, nor alone."""
    made = await api.made(models=["gpt-4o", "small"])
    key = made["key"]
    assert (await told(api, "/v1/models/claude", x_api_key=key))[0] == 404
    assert (await told(api, "/v1beta/models", x_api_key=key))[1] == {"models": []}
    assert [
        each["name"] for each in (await told(api, "/api/tags", x_api_key=key))[1]["models"]
    ] == ["small"]


@pytest.mark.parametrize(
    ("path", "headers", "place"),
    [
        ("/v1/models", {"anthropic_version": "2023-06-01"}, ("error", "message")),
        ("/v1beta/models", {}, ("error", "message")),
        ("/api/tags", {}, ("error",)),
        ("/v1/models", {}, ("error", "message")),
    ],
)
async def test_a_wrong_key_is_told_in_the_clients_shape(
    api: Api, path: str, headers: dict[str, str], place: tuple[str, ...]
) -> None:
    """401, with LiteLLM's words where the API has its own."""
    status, body = await told(api, path, x_api_key="sk-wrong", **headers)
    for name in place:
        body = body[name]
    assert (status, body) == (401, "Authentication Error, Invalid API key provided.")


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/models/gpt-4o", "/health/liveliness", "/metrics", "/key/list"]
)
async def test_head_is_answered_as_get(api: Api, path: str) -> None:
    """The server leaves the body out."""
    headers = {"x-api-key": MASTER}
    assert (await api.client.head(path, headers=headers)).status_code == 200


@pytest.mark.parametrize("path", ["/v1/models/", "/key/list/", "/health/liveliness/", "/metrics/"])
async def test_a_slash_at_the_end_of_a_path_changes_nothing(api: Api, path: str) -> None:
    """Clients join addresses and paths in their own ways."""
    assert (await api.client.get(path, headers={"x-api-key": MASTER})).status_code == 200
