"""Pages of other origins: what a browser asks, and what it is shown."""

from __future__ import annotations

import pytest
from tests.e2e.edge_gateway import CHAT, tight
from tests.e2e.gateway import Gateway, bearer

__all__ = ["tight"]

ORIGIN = {"origin": "https://app.example"}
ASKS = ORIGIN | {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,x-any",
}


@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/key/generate", "/v1/models"])
async def test_a_browsers_question_is_answered_without_a_key(tight: Gateway, path: str) -> None:
    reply = await tight.client.options(tight.url + path, headers=ASKS)
    told = {
        name.removeprefix("access-control-"): value
        for name, value in reply.headers.items()
        if "access" in name
    }
    assert reply.status_code == 204
    assert told.pop("max-age") == "7200"
    assert told == {
        "allow-origin": "https://app.example",
        "allow-methods": "POST",
        "allow-headers": "authorization,x-any",
    }


async def test_replies_and_refusals_are_shown_to_the_pages_of_an_allowed_origin(
    tight: Gateway,
) -> None:
    """Our headers too; Envoy's refusals, Tollgate's and the admin server's alike."""
    key = await tight.key(rpm_limit=1)
    replies = [await tight.chat(key, ORIGIN), await tight.chat(key, ORIGIN)]
    replies.append(await tight.client.post(tight.url + CHAT, json={}, headers=ORIGIN))
    replies.append(await tight.client.get(f"{tight.url}/v1/models", headers=bearer(key) | ORIGIN))
    assert [each.status_code for each in replies] == [200, 429, 401, 200]
    assert [each.headers.get("access-control-allow-origin") for each in replies] == [
        "https://app.example"
    ] * 4
    shown = replies[0].headers["access-control-expose-headers"].split(", ")
    assert {"x-tollgate-request-id", "x-ratelimit-remaining-requests", "retry-after", "*"} <= set(
        shown
    )


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "https://app.example.evil.example", "http://app.example", "null"],
)
async def test_another_origin_is_shown_nothing(tight: Gateway, origin: str) -> None:
    key = await tight.key()
    asked = await tight.client.options(tight.url + CHAT, headers=ASKS | {"origin": origin})
    reply = await tight.chat(key, {"origin": origin})
    told = [
        name
        for each in (asked, reply)
        for name in each.headers
        if name.startswith("access-control")
    ]
    assert (asked.status_code, reply.status_code, told) == (204, 200, [])


async def test_without_the_setting_nobody_is_shown_anything(tollgate: Gateway) -> None:
    """OPTIONS is answered all the same, with what may be asked."""
    asked = await tollgate.client.options(tollgate.url + CHAT, headers=ASKS)
    reply = await tollgate.chat(await tollgate.key(), ORIGIN)
    told = [
        name
        for each in (asked, reply)
        for name in each.headers
        if name.startswith("access-control")
    ]
    assert (asked.status_code, told) == (204, [])
    assert "POST" in asked.headers["allow"].split(", ")
