"""Bad input through real Envoy: a JSON error in the dialect of the path, with the right status,
nothing charged.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.e2e.gateway import Gateway, bearer

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
CASES: list[tuple[str, Any, int]] = [
    ("not JSON", b"{", 400),
    ("no model", {"messages": []}, 400),
    ("an unknown model", {"model": "gpt-9", "messages": []}, 404),
    ("a body over the limit", {"model": "gpt-4o", "messages": "x" * 1_100_000}, 413),
]


def error_of(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The error in the shape that the path's SDK reads."""
    found: dict[str, Any] = body["error"]
    if path == MESSAGES:
        assert body["type"] == "error"
        assert set(found) == {"type", "message"}
    else:
        assert set(found) == {"message", "type", "param", "code"}
    return found


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.parametrize(
    ("body", "status"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
async def test_a_bad_body_is_refused_and_charged_nothing(
    tollgate: Gateway, path: str, body: Any, status: int
) -> None:
    """The next good request finds its limit of one untouched."""
    key = await tollgate.key(rpm_limit=1)
    sent = {"content": body} if isinstance(body, bytes) else {"json": body}
    reply = await tollgate.client.post(tollgate.url + path, headers=bearer(key), **sent)
    assert reply.status_code == status
    assert reply.headers["content-type"].startswith("application/json")
    assert error_of(path, reply.json())["message"]
    assert (await tollgate.chat(key)).status_code == 200


@pytest.mark.parametrize(
    ("path", "model", "right"), [("/v1/responses", "claude", MESSAGES), (MESSAGES, "gpt-4o", CHAT)]
)
async def test_a_model_of_the_wrong_family_is_refused_with_the_right_path(
    tollgate: Gateway, path: str, model: str, right: str
) -> None:
    """400, naming where the model can be called."""
    key = await tollgate.key()
    reply = await tollgate.client.post(
        tollgate.url + path, json={"model": model, "messages": []}, headers=bearer(key)
    )
    assert reply.status_code == 400
    assert right in error_of(path, reply.json())["message"]


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer sk-unknown"}, {"authorization": "sk-no-scheme"}]
)
async def test_a_missing_or_unknown_key_is_a_401(
    tollgate: Gateway, path: str, headers: dict[str, str]
) -> None:
    """In the dialect of the path."""
    reply = await tollgate.client.post(
        tollgate.url + path, json={"model": "gpt-4o"}, headers=headers
    )
    assert reply.status_code == 401
    assert error_of(path, reply.json())["message"]


async def test_an_expired_key_is_a_401(tollgate: Gateway) -> None:
    """A key of one second's life is refused after it."""
    key = await tollgate.key(duration="1s")
    await asyncio.sleep(1.1)
    reply = await tollgate.chat(key)
    assert reply.status_code == 401
    assert "Expired" in reply.json()["error"]["message"]


async def test_an_unknown_path_is_a_404_that_names_it(tollgate: Gateway) -> None:
    """With a key or without: nobody reaches a provider by a path that is not known."""
    key = await tollgate.key()
    reply = await tollgate.client.post(f"{tollgate.url}/v1/unknown", json={}, headers=bearer(key))
    assert reply.status_code == 404
    assert "/v1/unknown" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"rpm_limit": "many"}, "rpm_limit"),
        ({"rpm_limit": -1}, "rpm_limit"),
        ({"max_budget": -1}, "max_budget"),
        ({"max_budget": "NaN"}, "max_budget"),
        ({"budget_duration": "1y"}, "budget_duration"),
        ({"rmp_limit": 1}, "rmp_limit"),
    ],
)
async def test_a_bad_management_call_names_the_field(
    tollgate: Gateway, body: dict[str, Any], named: str
) -> None:
    """4xx with the field's name; no key is made."""
    reply = await tollgate.client.post(
        f"{tollgate.url}/key/generate", json=body, headers=bearer("sk-1234")
    )
    assert 400 <= reply.status_code < 500
    assert named in reply.text


async def test_only_the_master_key_administers(tollgate: Gateway) -> None:
    """A virtual key makes no keys, and neither does nobody."""
    key = await tollgate.key()
    for headers in (bearer(key), {}, bearer("sk-wrong")):
        reply = await tollgate.client.post(f"{tollgate.url}/key/generate", json={}, headers=headers)
        assert reply.status_code in (401, 403)


async def test_a_realtime_session_is_refused_in_words(tollgate: Gateway) -> None:
    """Whether the client asks for WebSocket or not: what it uses could not be charged."""
    asked = bearer(await tollgate.key())
    upgrade = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    for headers, status, code in (
        ({**asked, **upgrade}, 403, "upgrade_not_supported"),
        (asked, 404, "not_served"),
    ):
        reply = await tollgate.client.get(
            tollgate.url + "/v1/realtime?model=gpt-4o", headers=headers
        )
        error = reply.json()["error"]
        assert (reply.status_code, error["code"]) == (status, code)
        assert len(error["message"].split()) > 10
