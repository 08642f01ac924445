"""What comes in, through a whole gateway in both modes: who asks, for whom, what of it goes up, and
what never does.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from tests.e2e.gateway import MASTER, bearer
from tests.e2e.request_door import CHAT, FORM, Door, door, form, running

__all__ = ["door", "running"]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (CHAT, '{"model":"cheap","Model":"gpt-4o","messages":[]}'),
        (CHAT, '{"model":"cheap","messages":[],"max_tokens":1,"MAX_TOKENS":100000}'),
        (CHAT, '{"model":"cheap","messages":[],"\u017ftream":true}'),
        (CHAT, '{"model":"cheap","mod\\u0065l":"gpt-4o","messages":[]}'),
        ("/api/chat", '{"model":"small","Model":"big","messages":[]}'),
        (f"{CHAT}?model=gpt-4o", '{"model":"cheap","messages":[]}'),
        ("/v1beta/models/flash:generateContent?fields=candidates", "{}"),
    ],
)
async def test_json_that_two_parsers_could_read_differently_reaches_nobody(
    door: Door, path: str, content: str
) -> None:
    """400, and nothing is counted."""
    key = await door.gateway.key(rpm_limit=1)
    headers = {**bearer(key), "content-type": "application/json"}
    reply = await door.post(path, headers, content=content.encode())
    assert (reply.status_code, door.provider.seen) == (400, []), reply.text
    assert (await door.chat(bearer(key))).status_code == 200


@pytest.mark.parametrize(
    ("path", "content_type", "content", "status"),
    [
        (FORM, "multipart/form-data; boundary=REAL", form("REAL", "whisper"), 200),
        (
            FORM,
            'multipart/form-data; x="; boundary=FAKE"; boundary=REAL',
            form("FAKE", "x") + form("REAL", "y"),
            400,
        ),
        (FORM, "multipart/form-data; boundary=FAKE; boundary=REAL", form("FAKE", "whisper"), 400),
        (
            FORM,
            "multipart/form-data; boundary=REAL",
            form("REAL", "whisper").replace('"model"', "\"zzz\"; name*=utf-8''model"),
            400,
        ),
        (
            f"{FORM}?model=gpt-4o",
            "multipart/form-data; boundary=REAL",
            form("REAL", "whisper"),
            400,
        ),
    ],
)
async def test_a_form_passes_if_every_reader_reads_it_alike(
    door: Door, path: str, content_type: str, content: str, status: int
) -> None:
    """What is refused reaches nobody."""
    headers = {**bearer(await door.gateway.key()), "content-type": content_type}
    reply = await door.post(path, headers, content=content.encode())
    assert (reply.status_code, len(door.provider.seen)) == (status, status == 200), reply.text


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("authorization", "Bearer {key}"),
        ("authorization", "bearer {key}"),
        ("x-litellm-api-key", "{key}"),
        ("x-litellm-api-key", "Bearer {key}"),
        ("x-api-key", "{key}"),
        ("api-key", "{key}"),
        ("x-goog-api-key", "{key}"),
        ("Ocp-Apim-Subscription-Key", "{key}"),
    ],
)
async def test_a_key_may_stand_in_every_header_and_goes_no_further(
    door: Door, header: str, value: str
) -> None:
    """For calls and for management; the provider sees its own key only."""
    key = await door.gateway.key()
    headers = {header: value.format(key=key)}
    assert (await door.chat(headers)).status_code == 200
    assert key not in str(door.took().headers)
    administrator = {header: value.format(key=MASTER)}
    listed = await door.gateway.client.get(f"{door.gateway.url}/key/list", headers=administrator)
    assert listed.status_code == 200
    models = await door.gateway.client.get(f"{door.gateway.url}/v1/models", headers=headers)
    assert models.status_code == 200


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("key={key}", ""),
        ("alt=sse&%6bey={key}", "alt=sse"),
        ("k%65y={key}&a=b", "a=b"),
        ("Key=x&key={key}", ""),
    ],
)
@pytest.mark.parametrize("beside", [{}, {"authorization": "Bearer {key}"}])
async def test_a_key_in_the_query_goes_no_further(
    door: Door, query: str, left: str, beside: dict[str, str]
) -> None:
    """However it is encoded, and also beside another; the rest of the query stays."""
    key = await door.gateway.key()
    path = "/v1beta/models/flash:generateContent?" + query.format(key=key)
    headers = {name: value.format(key=key) for name, value in beside.items()}
    reply = await door.post(path, headers, json={"contents": []})
    assert reply.status_code == 200, reply.text
    assert door.took().path == "/v1beta/models/gemini-2.5-flash:generateContent" + (
        f"?{left}" if left else ""
    )


async def test_our_own_header_goes_before_all_others(door: Door) -> None:
    """What stands in the others is not looked at, and stays here."""
    key = await door.gateway.key(key_alias="own-header")
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {
        "traceparent": traceparent,
        "x-litellm-api-key": key,
        "authorization": "Bearer sk-unknown",
        "x-api-key": "sk-other",
    }
    assert (await door.chat(headers)).status_code == 200
    seen = door.took().headers
    assert (seen["authorization"], "x-api-key" in seen, "x-litellm-api-key" in seen) == (
        "Bearer provider-key",
        False,
        False,
    )
    assert seen["traceparent"] == traceparent


async def test_json_that_curl_takes_for_a_form_reaches_the_provider_as_json(door: Door) -> None:
    """`curl -d` says that it is a form; a provider might look for fields in one."""
    body = b'{"model":"gpt-4o","messages":[{"role":"user","content":"a&model=cheap&b"}]}'
    forms = (
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=utf-8",
    )
    for said in (*forms, "text/plain"):
        sent = {**bearer(await door.gateway.key()), "content-type": said}
        assert (await door.post(CHAT, sent, content=body)).status_code == 200
        seen = door.took()
        assert (seen.headers["content-type"], seen.body) == (
            "application/json" if "form" in said else said,
            body,
        )


async def test_who_pays_at_the_provider_is_not_the_clients_to_choose(door: Door) -> None:
    """Headers that name an account or a project stay here, as do ours, unless a setting lets one
    pass.
    """
    kept = {
        "openai-organization": "org-other",
        "x-goog-user-project": "p",
        "proxy-authorization": "Basic eA==",
        "anthropic-organization": "o",
        "x-goog-fieldmask": "candidates",
        "x-http-method-override": "GET",
        "x-original-url": "/v1/files",
        "helicone-model-override": "dear",
        "x-amz-security-token": "t",
        "cookie": "a=b",
        "x-litellm-customer-id": "ann",
        "x-litellm-tags": "a,b",
        "x-litellm-num-retries": "3",
    }
    sent = {**bearer(await door.gateway.key()), **kept, "openai-project": "p", "x-custom": "stays"}
    assert (await door.chat(sent)).status_code == 200
    seen = door.took().headers
    assert (set(kept) & set(seen), seen["openai-project"], seen["x-custom"]) == (
        set(),
        "p",
        "stays",
    )


async def test_a_client_may_bring_its_own_subscription(door: Door) -> None:
    """Where the deployment says so its credential passes, and none of the gateway's; the call is
    counted for the key.
    """
    key = await door.gateway.key()
    own = {
        "authorization": "Bearer their-oauth-token",
        "x-api-key": "their-key",
        "x-litellm-api-key": f"Bearer {key}",
    }
    reply = await door.chat(own, "/v1/messages", model="theirs", max_tokens=9)
    assert reply.status_code == 200, reply.text
    seen = door.took().headers
    assert (seen["authorization"], seen["x-api-key"]) == ("Bearer their-oauth-token", "their-key")
    assert key not in str(seen)
    elsewhere = await door.chat(own, "/v1/messages", model="claude", max_tokens=9)
    assert elsewhere.status_code == 200
    seen = door.took().headers
    assert ("authorization" in seen, seen["x-api-key"]) == (False, "provider-key")


@pytest.mark.parametrize("headers", [{"authorization": "Bearer {key}"}, {"x-api-key": "{key}"}])
@pytest.mark.parametrize("beside", [{}, {"x-litellm-api-key": "{key}"}])
async def test_a_key_of_ours_never_passes_as_the_clients_own(
    door: Door, headers: dict[str, str], beside: dict[str, str]
) -> None:
    """The refusal says where it belongs."""
    key = await door.gateway.key()
    sent = {name: value.format(key=key) for name, value in {**headers, **beside}.items()}
    reply = await door.chat(sent, "/v1/messages", model="theirs", max_tokens=9)
    assert (reply.status_code, door.provider.seen) == (400, [])
    assert "x-litellm-api-key" in reply.json()["error"]["message"]


SESSIONS = (
    "user_ab_account__session_{n}",
    '{{"device_id":"cd","account_uuid":"e","session_id":"{n}"}}',
)


@pytest.mark.parametrize(
    ("customer", "headers", "members"),
    [
        ("c-header", {"x-litellm-customer-id": "c-header"}, {"user": "somebody"}),
        ("c-end", {"x-litellm-end-user-id": "c-end"}, {"user": "somebody"}),
        ("c-user", {}, {"user": "c-user", "safety_identifier": "somebody"}),
        ("12345", {}, {"user": 12345}),
        (
            "c-meta",
            {},
            {"litellm_metadata": {"user": "c-meta"}, "metadata": {"user_id": "somebody"}},
        ),
        (
            "c-anthropic",
            {},
            {"metadata": {"user_id": "c-anthropic"}, "safety_identifier": "somebody"},
        ),
        ("c-safety", {}, {"safety_identifier": "c-safety"}),
        ("user_ab_account_", {}, {"metadata": {"user_id": SESSIONS[0]}}),
        ("user_cd_account_e", {}, {"metadata": {"user_id": SESSIONS[1]}}),
        ("数" * 99, {}, {"user": "数" * 99}),
    ],
)
async def test_a_customer_is_limited_wherever_it_is_named(
    door: Door, customer: str, headers: dict[str, str], members: dict[str, Any]
) -> None:
    """By the first that names one; a coding agent's sessions are one customer."""
    await door.gateway.manage("/customer/new", user_id=customer, rpm_limit=1)
    sent = {**bearer(await door.gateway.key()), **headers}
    statuses = []
    for number in range(2):
        said = members
        if isinstance(members.get("metadata"), dict) and "{n}" in str(
            members["metadata"].get("user_id")
        ):
            said = {"metadata": {"user_id": members["metadata"]["user_id"].format(n=number)}}
        statuses.append((await door.chat(sent, **said)).status_code)
    assert statuses == [200, 429]


@pytest.mark.parametrize(
    ("headers", "members", "named"),
    [
        ({"x-litellm-customer-id": "x" * 301}, {}, "x-litellm-customer-id"),
        ({"x-litellm-end-user-id": "x" * 301}, {}, "x-litellm-end-user-id"),
        ({}, {"user": "x" * 1_000_000}, "user"),
        ({}, {"user": "a\nb"}, "user"),
        ({}, {"safety_identifier": "x" * 301}, "safety_identifier"),
        ({}, {"metadata": {"user_id": "x" * 301}}, "metadata.user_id"),
        ({}, {"litellm_metadata": {"user": "x" * 301}}, "litellm_metadata.user"),
        ({}, {"model": "a" * 1_000_000}, "model"),
    ],
)
async def test_an_id_that_a_client_chose_is_bounded(
    door: Door, headers: dict[str, str], members: dict[str, Any], named: str
) -> None:
    """The answer names where it stands, and does not repeat it whole."""
    reply = await door.chat({**bearer(await door.gateway.key()), **headers}, **members)
    assert (reply.status_code, door.provider.seen) == (404 if named == "model" else 400, [])
    assert named in reply.text
    assert len(reply.text) < 500


async def test_the_longest_customer_is_served(door: Door) -> None:
    """300 characters, in the header and in the body."""
    key = bearer(await door.gateway.key())
    assert (await door.chat({**key, "x-litellm-customer-id": "y" * 300})).status_code == 200
    assert (await door.chat(key, user="z" * 300)).status_code == 200


@pytest.mark.parametrize("members", [{"rpm_limit": 0}, {"max_budget": 0}, {"tpm_limit": 0}])
async def test_who_has_nothing_left_is_refused_whatever_the_body_holds(
    door: Door, members: dict[str, Any]
) -> None:
    """As one with a body that can be read, and nothing of it goes up."""
    headers = {**bearer(await door.gateway.key(**members)), "content-type": "application/json"}
    statuses = set()
    for content in (
        b'{"model":"gpt-4o","messages":[]}',
        b"{",
        b'{"model":"gpt-4o"' + b',"k":1' * 100_000 + b"}",
    ):
        statuses.add((await door.post(CHAT, headers, content=content)).status_code)
    assert (statuses <= {401, 429}, len(statuses), door.provider.seen) == (True, 1, [])


async def test_a_spent_budget_serves_again_once_it_is_corrected(door: Door) -> None:
    """A worker that knows of it hears of the correction."""
    key = await door.gateway.key(max_budget=0.00001)
    assert (await door.chat(bearer(key))).status_code == 200
    await door.gateway.spend(key, at_least=0.00001)
    for _ in range(2):
        assert (await door.chat(bearer(key))).status_code == 401
    await door.gateway.manage(f"/key/{key}/reset_spend", reset_to=0)
    assert (await door.chat(bearer(key))).status_code == 200


@pytest.mark.parametrize("parent", ["", "metadata"])
async def test_a_body_of_a_million_members_is_refused(door: Door, parent: str) -> None:
    """As long as it may be, here 2 MB."""
    many = {f"k{number}": 1 for number in range(150_000)}
    reply = await door.chat(
        bearer(await door.gateway.key()), **({parent: many} if parent else many)
    )
    assert (reply.status_code, door.provider.seen) == (400, [])
    assert "more than 2000 fields" in reply.text


async def explained(door: Door, reply: httpx.Response) -> dict[str, Any]:
    """What is told of a request, once it is settled."""
    query = {"request_id": reply.headers["x-tollgate-request-id"]}
    url, client = f"{door.gateway.url}/spend/explain", door.gateway.client
    for _ in range(100):
        found = await client.get(url, params=query, headers=bearer(MASTER))
        if found.status_code == 200:
            break
        await asyncio.sleep(0.05)
    return dict(found.json())


async def test_a_request_tells_where_each_limit_stood_before_and_after_it(door: Door) -> None:
    """What stood after one stands before the next."""
    key = await door.gateway.key(max_budget=5, rpd_limit=70, tpd_limit=20_000)
    first, second = [await explained(door, await door.chat(bearer(key))) for _ in range(2)]
    told = [(each["meter"], each["window"], each["before"]) for each in first["limits"]]
    assert told == [("requests", "1d", 0), ("tokens", "1d", 0), ("usd", None, 0)]
    tokens = first["tokens"]["input_tokens"] + first["tokens"]["output_tokens"]
    assert [each["used"] for each in first["limits"]] == [1, tokens, first["spend"]]
    for before, after in zip(first["limits"], second["limits"], strict=True):
        # What refills of a day in a minute.
        refilled = before["amount"] / 1440 if before["window"] else 0
        assert before["after"] - refilled <= after["before"] <= before["after"]


@pytest.mark.parametrize(("model", "other"), [("gpt-4o", False), ("cheap", True)])
async def test_a_reply_of_another_model_is_marked(door: Door, model: str, other: bool) -> None:
    """The provider answers as gpt-4o whatever it is asked for."""
    reply = await door.chat(bearer(await door.gateway.key()), model=model)
    found = await explained(door, reply)
    assert (found["reply_model"], found["other_model"]) == ("gpt-4o", other)
    if other:
        await door.gateway.metrics('tollgate_replies_of_other_models_total{model="cheap"}')
