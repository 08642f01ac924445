"""The shipped Envoy configuration in a real Envoy: what each side of it sees."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from tests.e2e.envoy_lab import Lab, lab
from tests.e2e.lab_requests import gateway, running, send

__all__ = ["gateway", "running"]

# Envoy still fills it in; reading it is what betterproto2 warns of.
pytestmark = pytest.mark.filterwarnings(
    "ignore:AccessLogCommon.intermediate_log_entry is deprecated"
)


async def test_a_request_goes_to_the_deployment_that_tollgate_names(gateway: Lab) -> None:
    """The route is chosen again on x-tollgate-route, and the provider's prefix is put before the
    path.
    """
    await send(gateway, "/v1/messages?beta=true", test_route="beta")
    assert [seen.path for seen in gateway.provider.seen] == ["/base/v1/messages?beta=true"]


@pytest.mark.parametrize("path", ["/v1/chat/completions?a=b", "/chat/completions?a=b"])
async def test_openai_paths_reach_the_provider_with_and_without_v1(gateway: Lab, path: str) -> None:
    """Both spellings become the api_base's own path; the query stays."""
    await send(gateway, path)
    assert [seen.path for seen in gateway.provider.seen] == ["/v1/chat/completions?a=b"]


async def test_the_clients_key_never_reaches_the_provider(gateway: Lab) -> None:
    """The provider gets its own key, once, and nothing of the client's."""
    key = "sk-virtual"
    await send(
        gateway, "/v1/messages", test_route="beta", authorization=f"Bearer {key}", x_api_key=key,
        api_key=key,
        x_goog_api_key=key, cookie=key,
    )  # fmt: skip
    (seen,) = gateway.provider.seen
    assert (seen.headers["x-api-key"], key in str(seen.headers)) == ("sk-of-anthropic", False)


async def test_openai_gets_its_key_as_a_bearer_token(gateway: Lab) -> None:
    """The literal key of the file, through Envoy's environment."""
    await send(gateway, authorization="Bearer sk-virtual")
    assert gateway.provider.seen[0].headers["authorization"] == "Bearer sk-of-openai"


async def test_the_provider_learns_nothing_of_the_gateway(gateway: Lab) -> None:
    """No header of Tollgate, of Envoy or about the client's address goes upstream; replies are
    asked for uncompressed.
    """
    await send(gateway, accept_encoding="gzip")
    headers = gateway.provider.seen[0].headers
    foreign = {
        name for name in headers if name.startswith(("x-tollgate", "x-envoy", "x-forwarded"))
    }
    assert (foreign, headers["accept-encoding"]) == (set(), "identity")


@pytest.mark.parametrize("name", ["x_tollgate_route", "X_Tollgate_Anything", "x_envoy_max_retries"])
async def test_headers_that_only_the_gateway_may_set_are_stripped(gateway: Lab, name: str) -> None:
    """A client's x-tollgate-* and x-envoy-* headers reach neither Tollgate nor the provider."""
    await send(gateway, **{name: "beta"})
    shown = name.replace("_", "-").lower()
    assert (shown in gateway.gate.checks[0], shown in gateway.provider.seen[0].headers) == (
        False,
        False,
    )


async def test_a_clients_route_header_does_not_choose_the_route(gateway: Lab) -> None:
    """With the header in the request, the first match is still the route without one, and Tollgate
    decides.
    """
    reply = await send(gateway, x_tollgate_route="beta", test_do="refuse")
    assert (reply.status_code, gateway.provider.seen, gateway.gate.streams) == (429, [], [])


async def test_a_refused_request_never_opens_an_ext_proc_stream(gateway: Lab) -> None:
    """ext_proc is off on the route that a request has until it is admitted."""
    await send(gateway, test_do="refuse")
    await send(gateway)
    assert len(gateway.gate.streams) == 1


@pytest.mark.parametrize(
    ("body", "asked"), [(b"{}", 0), (b"x" * 131_071, 0), (b"x" * 131_072, 1), (b"x" * 5_000_000, 1)]
)
async def test_the_key_of_a_long_body_is_checked_before_the_body_is_taken(
    gateway: Lab, body: bytes, asked: int
) -> None:
    """And only then.

    Admission asks again, with the body; the question for the key knows nothing of it.
    """
    reply = await send(gateway, body=body)
    assert (reply.status_code, len(gateway.gate.key_checks), len(gateway.gate.checks)) == (
        200,
        asked,
        1,
    )
    assert gateway.provider.seen[0].body == body


async def test_the_key_of_a_body_of_unknown_length_is_checked_first(gateway: Lab) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"{"
        yield b"}"

    async with httpx.AsyncClient() as client:
        headers = {"authorization": "Bearer sk-any"}
        reply = await client.post(
            f"{gateway.url}/v1/chat/completions", content=pieces(), headers=headers
        )
    assert (reply.status_code, len(gateway.gate.key_checks), gateway.provider.seen[0].body) == (
        200,
        1,
        b"{}",
    )


async def test_a_bad_key_of_a_long_body_is_refused_once(gateway: Lab) -> None:
    """In Tollgate's words; admission is not asked."""
    reply = await send(gateway, body=b"x" * 200_000, test_key="refuse")
    assert (reply.status_code, reply.text, gateway.gate.checks) == (
        429,
        '{"error": "ours,  untouched"}',
        [],
    )


async def test_tollgates_refusal_reaches_the_client_untouched(gateway: Lab) -> None:
    """Body, content type and headers are those that Tollgate wrote."""
    reply = await send(gateway, test_do="refuse")
    assert (reply.text, reply.headers["content-type"], reply.headers["retry-after"]) == (
        '{"error": "ours,  untouched"}',
        "application/json",
        "7",
    )


async def test_the_metered_header_wins_over_the_held_one(gateway: Lab) -> None:
    """ext_authz adds its reply headers after ext_proc, but only where they are absent."""
    reply = await send(gateway)
    assert (reply.headers.get_list("x-remaining"), reply.headers.get_list("x-only")) == (
        ["settled"],
        ["held"],
    )


async def test_ext_proc_sees_the_reservation(gateway: Lab) -> None:
    """What Check left in dynamic metadata comes with the response headers."""
    await send(gateway)
    assert '"reservation"' in gateway.gate.streams[0][0]


async def test_edits_change_their_bytes_and_no_others(gateway: Lab) -> None:
    """Offsets are bytes, in a body of 100 KB that is not ASCII and not even UTF-8 everywhere."""
    body = (
        '{"model":"public","text":"' + "Grüße 🎈 ".encode().decode() * 7000
    ).encode() + b'\xff\x00\r\n",  "n" :1}'
    edits = [
        {"offset": body.index(b'"public"'), "delete": len(b'"public"'), "insert": '"gpt-4o-ü"'},
        {
            "offset": len(body) - 1,
            "delete": 0,
            "insert": ',"stream_options":{"include_usage":true}',
        },
    ]
    await send(gateway, body=body, test_edits=json.dumps(edits))
    wanted = (
        body.replace(b'"public"', '"gpt-4o-ü"'.encode())[:-1]
        + b',"stream_options":{"include_usage":true}}'
    )
    (seen,) = gateway.provider.seen
    assert (seen.body == wanted, seen.headers["content-length"]) == (True, str(len(wanted)))


async def test_a_body_without_edits_is_untouched(gateway: Lab) -> None:
    """Whatever the client wrote, up to the limit."""
    body = bytes(range(256)) * 20_000
    await send(gateway, body=body)
    assert gateway.provider.seen[0].body == body


async def test_a_large_body_is_edited(gateway: Lab) -> None:
    """Five megabytes pass through the edit."""
    body = b"x" * 5_000_000
    await send(
        gateway, body=body, test_edits=json.dumps([{"offset": 0, "delete": 1, "insert": "yy"}])
    )
    assert gateway.provider.seen[0].body == b"yy" + body[1:]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/key/generate"),
        ("GET", "/v1/models"),
        ("GET", "/models"),
        ("GET", "/metrics"),
        ("GET", "/health/liveliness"),
    ],
)
async def test_management_goes_to_the_admin_server_alone(
    gateway: Lab, method: str, path: str
) -> None:
    """No admission, no metering, and the caller's key arrives there."""
    await send(gateway, path, method=method, authorization="Bearer sk-1234")
    assert (
        gateway.admin.seen[0].headers["authorization"],
        gateway.gate.checks,
        gateway.gate.streams,
    ) == (
        "Bearer sk-1234",
        [],
        [],
    )


async def test_posting_to_models_is_no_management(gateway: Lab) -> None:
    """Only reading the list of models is."""
    await send(gateway, "/v1/models")
    assert (gateway.admin.seen, len(gateway.gate.checks)) == ([], 1)


async def test_only_what_holds_a_reservation_is_logged(gateway: Lab) -> None:
    """A refusal and a management call leave no entry; an admitted request after them leaves one."""
    await send(gateway, "/v1/x?refused", test_do="refuse")
    await send(gateway, "/key/info", method="GET")
    await send(gateway, "/v1/x?admitted")
    admitted = await gateway.entries("/v1/x?admitted")
    others = [entry for path in ("/v1/x?refused", "/key/info") for entry in gateway.logged(path)]
    assert (len(admitted), others) == (1, [])


async def test_a_request_that_finds_no_provider_is_logged(gateway: Lab) -> None:
    """What was held for it can be given back."""
    await send(gateway, "/v1/x?gone", test_route="gone")
    (entry,) = await gateway.entries("/v1/x?gone")
    said = entry.common_properties.metadata.filter_metadata["envoy.filters.http.ext_authz"].fields
    assert (said["reservation"].string_value, entry.response.response_code) == ("r-1", 503)


async def test_a_long_reply_is_heard_of_while_it_runs(gateway: Lab) -> None:
    """Periodic entries keep a lease alive: at least two before the one at the end."""
    await send(gateway, "/v1/slow")
    kinds: list[str] = []
    while "DownstreamEnd" not in kinds:
        entries = await gateway.entries("/v1/slow", len(kinds) + 1)
        kinds = [entry.common_properties.access_log_type.name for entry in entries]
    assert (kinds[0], kinds[-1], len(kinds) >= 3) == ("DownstreamPeriodic", "DownstreamEnd", True)


THEIRS = [
    {"match": {"path": "/theirs/named"}, "name": "theirs",
    "direct_response": {"status": 401, "body": {"inline_string": "their words"}}},
    {"match": {"path": "/theirs/unnamed"},
    "direct_response": {"status": 503, "body": {"inline_string": "their words"}}},
    {"match": {"path": "/theirs/page"}, "direct_response": {"status": 404,
    "body": {"inline_string": "their words"}},
     "response_headers_to_add": [{"header": {"key": "content-type", "value": "text/html"}}]},
    {"match": {"path": "/theirs/server"}, "route": {"cluster": "tollgate_admin"}},
]  # fmt: skip


@pytest_asyncio.fixture(scope="module")
async def beside() -> AsyncIterator[Lab]:
    """Routes of somebody's own: in Tollgate's virtual host, and in one of their own."""
    async with lab(their_routes=THEIRS) as each:
        yield each


@pytest.mark.parametrize("host", ["localhost", "their.example"])
@pytest.mark.parametrize(
    ("path", "status", "content_type"),
    [("named", 401, "text/plain"), ("unnamed", 503, "text/plain"), ("page", 404, "text/html")],
)
async def test_the_words_of_other_routes_stay_as_they_are(
    beside: Lab, host: str, path: str, status: int, content_type: str
) -> None:
    """No error body of ours, no admission."""
    async with httpx.AsyncClient() as client:
        reply = await client.post(f"{beside.url}/theirs/{path}", json={}, headers={"host": host})
    assert (reply.status_code, reply.text, reply.headers["content-type"]) == (
        status,
        "their words",
        content_type,
    )
    assert beside.gate.checks == []


@pytest.mark.parametrize("host", ["localhost", "their.example"])
async def test_requests_of_other_routes_are_changed_by_no_filter_of_ours(
    beside: Lab, host: str
) -> None:
    """Neither cleaned nor named, neither admitted nor metered."""
    beside.admin.seen.clear()
    async with httpx.AsyncClient() as client:
        headers = {"host": host, "x-envoy-of-theirs": "7", "authorization": "Bearer sk-theirs"}
        await client.post(f"{beside.url}/theirs/server", json={}, headers=headers)
    (seen,) = beside.admin.seen
    assert (seen.headers["x-envoy-of-theirs"], seen.headers["authorization"]) == (
        "7",
        "Bearer sk-theirs",
    )
    assert [name for name in seen.headers if name.startswith("x-tollgate")] == []
    assert (beside.gate.checks, beside.gate.streams) == ([], [])
