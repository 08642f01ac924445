"""Who may ask what over HTTP, what is refused, and how errors are told."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from tests.unit.management_fixtures import MASTER, Api, World, error_of

from tollgate.adapters.http_api.application import create_api
from tollgate.core.callers.authentication import hash_of
from tollgate.core.entities import Key, Role, User
from tollgate.core.errors import StoreUnavailable
from tollgate.ports import Write


@pytest.mark.parametrize(
    ("field", "value", "right"),
    [
        ("max_budget", -1, "non-negative finite number of dollars"),
        ("max_budget", "10", "non-negative finite number of dollars"),
        ("max_budget", True, "non-negative finite number of dollars"),
        ("max_budget", 9_007_200, "at most 9007199"),
        ("rpm_limit", -1, "whole number from 0"),
        ("rpm_limit", 1.5, "whole number from 0"),
        ("tpm_limit", True, "whole number from 0"),
        ("max_parallel_requests", "3", "whole number from 0"),
        ("rpm_limit", 10**12, "whole number from 0"),
        ("budget_duration", "10", "30s, 30m, 30h, 30d, 1w, 1mo"),
        ("budget_duration", 10, "must be a string"),
        ("duration", "1y", "30s, 30m, 30h, 30d, 1w, 1mo"),
        ("models", "gpt-4o", "must be a list"),
        ("models", [""], "must not be empty"),
        ("metadata", [1], "must be a JSON object"),
        ("user_id", 7, "must be a string"),
        ("user_id", "", "must not be empty"),
        ("user_id", "a\nb", "control characters"),
        ("user_id", "x" * 301, "at most 300"),
        ("team_id", "a/b", "must not hold a slash"),
        ("blocked", "perhaps", "must be true or false"),
        ("budget_anchor", "sometimes", "'rolling' or 'calendar'"),
        ("budget_timezone", "Mars/Olympus", "name of a time zone"),
        ("model_max_budget", {"m": -1}, "non-negative finite number of dollars"),
        ("model_rpm_limit", {"m": None}, "whole number from 0"),
        ("max_budgets", 1, "is not a field of this request"),
        ("guardrails", ["x"], "is a field of LiteLLM that Tollgate does not serve"),
    ],
)
async def test_a_wrong_value_is_refused_by_name(
    api: Api, field: str, value: Any, right: str
) -> None:
    """The answer names the field and says what would be right."""
    answer = await api.post("/key/generate", {field: value})
    error = error_of(answer)
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
    assert error["param"].split(".")[0] == field
    assert field in error["message"]
    assert right in error["message"]


async def test_nothing_for_a_field_that_is_not_served_passes(api: Api) -> None:
    """Clients of LiteLLM send nulls for what they do not use."""
    await api.made(guardrails=None, tags=None)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"budget_duration": 10s}', "line 1, column 23, near"),
        (b'{"model_tpm_limit": {"gpt-4":}}', "line 1, column 30, near"),
        (b'{\n"team_id": "core-infra",\n}', "trailing comma in object at line 3, column 1"),
        (b'{"team_id": "x", # [OPTIONAL]\n}', "line 1, column 18"),
        (b'model_max_budget={"gpt4": 0.5}', "line 1, column 1"),
        (b'{"max_budget": NaN}', "invalid character"),
        (b'{"a": "\\ud800"}', "not valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": \xff}', "not valid JSON"),
    ],
)
async def test_what_is_not_json_is_told_where(api: Api, body: bytes, told: str) -> None:
    """The page's own slips among them."""
    answer = await api.client.post(
        "/key/generate", content=body, headers={"authorization": f"Bearer {MASTER}"}
    )
    assert answer.status_code == 400
    assert told in error_of(answer)["message"]


async def test_a_body_that_is_too_long_is_not_read(api: Api) -> None:
    """More than a mebibyte is nobody's key."""
    answer = await api.post("/key/generate", {"metadata": {"x": "y" * 1_100_000}})
    assert answer.status_code == 413
    error_of(answer)


async def test_a_body_is_json_whatever_its_content_type_says(api: Api) -> None:
    """curl -d without a header says form data."""
    headers = {
        "authorization": f"Bearer {MASTER}",
        "content-type": "application/x-www-form-urlencoded",
    }
    answer = await api.client.post("/key/generate", content=b'{"rpm_limit": 2}', headers=headers)
    assert (answer.status_code, answer.json()["rpm_limit"]) == (200, 2)


@pytest.mark.parametrize(
    ("headers", "kind", "message"),
    [
        ({}, "auth_error", "Authentication Error, No api key passed in."),
        (
            {"Autherization": f"Bearer {MASTER}"},
            "auth_error",
            (
                "Authentication Error, No api key passed in. The header 'autherization' carries a"
                " Bearer token; its name must be 'Authorization'."
            ),
        ),
        (
            {"Authorization": MASTER},
            "auth_error",
            "Authentication Error, Malformed API Key passed in. Ensure Key has `Bearer ` prefix.",
        ),
        (
            {"Authorization": "Bearer sk-wrong"},
            "token_not_found_in_db",
            "Authentication Error, Invalid API key provided.",
        ),
    ],
)
async def test_nobody_is_let_in_without_a_right_key(
    api: Api, headers: dict[str, str], kind: str, message: str
) -> None:
    """401, in LiteLLM's words; a misspelt header is no header."""
    answer = await api.client.post("/key/generate", json={}, headers=headers)
    error = error_of(answer)
    assert (answer.status_code, error["type"], error["message"]) == (401, kind, message)


@pytest.mark.parametrize("name", ["x-litellm-api-key", "x-api-key", "api-key", "x-goog-api-key"])
async def test_a_key_may_come_in_a_providers_header(api: Api, name: str) -> None:
    """SDKs of other providers put it there."""
    assert (await api.client.get("/key/list", headers={name: MASTER})).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/key/generate", {}),
        ("POST", "/key/update", {"key": "x"}),
        ("POST", "/key/delete", {"keys": ["x"]}),
        ("POST", "/key/block", {"key": "x"}),
        ("POST", "/key/unblock", {"key": "x"}),
        ("POST", "/key/regenerate", {"key": "x"}),
        ("POST", "/key/x/regenerate", {}),
        ("POST", "/key/x/reset_spend", {"reset_to": 0}),
        ("GET", "/key/list", None),
    ],
)
async def test_an_ordinary_key_administers_nothing(
    api: Api, method: str, path: str, body: Any
) -> None:
    """Only the master key or an administrator's."""
    made = await api.made()
    headers = {"authorization": f"Bearer {made['key']}"}
    answer = await api.client.request(method, path, json=body, headers=headers)
    assert answer.status_code == 401
    assert error_of(answer)["message"].startswith(
        "Only proxy admin can be used to generate, delete, update info"
    )


OPEN = {
    "/key/info",
    "/user/info",
    "/user/daily/activity",
    "/v1/usage",
    "/v1/models",
    "/v1/models/{name}",
    "/model/info",
    "/model_group/info",
    "/spend/calculate",
    "/health/liveliness",
    "/health/readiness",
}


async def test_an_ordinary_key_reads_its_own_info_and_nothing_else(api: Api) -> None:
    """Every path that the reference lists, but those that tell a caller about itself and about
    models.
    """
    made = await api.made(user_id="u")
    paths = (await api.client.get("/openapi.json")).json()["paths"]
    assert set(paths) >= OPEN
    headers = {"authorization": f"Bearer {made['key']}"}
    answers = {
        (method, path): (
            (await api.client.request(method, path, headers=headers, json={})).status_code
        )
        for path, methods in paths.items()
        for method in methods
        if path not in OPEN
    }
    assert len(answers) > 40
    assert {each: status for each, status in answers.items() if status != 401} == {}


async def test_the_reference_needs_nothing_from_elsewhere(api: Api) -> None:
    """Neither scripts nor styles nor fonts: it works where nothing but the gateway can
    be reached.
    """
    page = (await api.client.get("/docs")).text
    assert "openapi.json" in page
    assert re.findall(r"https?:|//[a-z]|src=|@import|<link", page) == []


async def test_the_key_of_an_administrator_administers(api: Api, world: World) -> None:
    """A key of a user whose role is proxy_admin is as good as the master key."""
    await world.registry.write(Write(None, User("boss", role=Role.ADMIN)))
    made = await api.made(user_id="boss")
    assert (await api.post("/key/generate", {}, by=made["key"])).status_code == 200


@pytest.mark.parametrize("change", [{"blocked": True}, {"duration": "1s"}])
async def test_a_blocked_or_expired_key_is_nobody(
    api: Api, world: World, change: dict[str, Any]
) -> None:
    """It may not even read about itself."""
    made = await api.made(**change)
    world.clock.us += 1_000_000
    statuses = [
        (await api.get("/key/info", by=each, key=made["key"])).status_code
        for each in (MASTER, made["key"])
    ]
    assert statuses == [200, 401]


async def test_a_key_reads_about_itself_and_no_other(api: Api) -> None:
    """Without `key`, or with its own; 403 for any other."""
    one, other = await api.made(), await api.made()
    statuses = [
        (await api.get("/key/info", by=one["key"], **query)).status_code
        for query in (
            {},
            {"key": one["key"]},
            {"key": hash_of(one["key"])},
            {"key": other["key"]},
            {"key": "sk-none"},
        )
    ]
    assert statuses == [200, 200, 200, 403, 403]


async def test_the_master_key_is_not_a_virtual_key(api: Api) -> None:
    """There is nothing to tell about it."""
    assert (await api.get("/key/info")).status_code == 400


async def test_health_and_documentation_need_no_key(api: Api) -> None:
    """Whoever watches is nobody's user."""
    paths = ("/health/liveliness", "/health/readiness", "/docs", "/openapi.json")
    answers = [await api.client.get(path) for path in paths]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert answers[0].json() == "I'm alive!"


async def test_metrics_tell_dollars_so_they_are_for_administrators(api: Api, world: World) -> None:
    """Unless a setting opens them."""
    key = (await api.post("/key/generate", {})).json()["key"]
    asked = [
        await api.client.get("/metrics", headers=headers)
        for headers in ({}, {"x-api-key": key}, {"x-api-key": MASTER})
    ]
    assert [each.status_code for each in asked] == [401, 401, 200]
    assert asked[2].text == "tollgate_up 1\n"
    app = create_api(world.management, version="test", watched=world.watched, metrics_open=True)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://test"
    ) as client:
        assert (await client.get("/metrics")).text == "tollgate_up 1\n"


async def test_a_store_that_takes_no_writes_is_not_ready(api: Api, world: World) -> None:
    """In the store's own words."""
    world.watched.store_fault = "READONLY You can't write against a read only replica."
    answer = await api.client.get("/health/readiness")
    told = {"status": "unhealthy", "db": "disconnected", "error": world.watched.store_fault}
    assert (answer.status_code, answer.json()) == (503, told)


async def test_without_a_worker_that_decides_nothing_is_ready(api: Api, world: World) -> None:
    """However well the admin server and the store are."""
    world.watched.workers_fault = "no worker gives a sign of life"
    answer = await api.client.get("/health/readiness")
    told = {"status": "unhealthy", "db": "connected", "error": "no worker gives a sign of life"}
    assert (answer.status_code, answer.json()) == (503, told)


async def test_a_store_that_is_away_is_503(
    api: Api, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call is told to come again, without what the client library said."""

    async def get(kind: type[Key], identities: Sequence[str]) -> Any:
        raise StoreUnavailable("connection refused at 10.0.0.7")

    monkeypatch.setattr(world.registry, "get", get)
    answer = await api.get("/key/info", key="sk-x")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "10.0.0.7" not in answer.text


async def test_a_fault_of_ours_tells_nothing(
    api: Api, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 in the same shape; what happened is in the log."""

    async def get(kind: type[Key], identities: Sequence[str]) -> Any:
        raise RuntimeError("inner workings")

    monkeypatch.setattr(world.registry, "get", get)
    answer = await api.get("/key/info", key="sk-x")
    assert answer.status_code == 500
    assert "inner workings" not in error_of(answer)["message"]


async def test_unknown_paths_and_methods_are_errors_of_the_same_shape(api: Api) -> None:
    """404 and 405."""
    answers = [await api.client.get("/key/none"), await api.client.get("/key/generate")]
    assert [error_of(answer)["message"] for answer in answers] == [
        "Not Found",
        "Method Not Allowed",
    ]
