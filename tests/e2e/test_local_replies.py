"""Envoy's own replies have the shape of the API that was called."""

from __future__ import annotations

import pytest
from tests.e2e.envoy_lab import Lab
from tests.e2e.lab_requests import RESERVATION, gateway, running, send

__all__ = ["gateway", "running"]

# Envoy still fills it in; reading it is what betterproto2 warns of.
pytestmark = pytest.mark.filterwarnings(
    "ignore:AccessLogCommon.intermediate_log_entry is deprecated"
)


@pytest.mark.parametrize(
    ("case", "status", "kind"),
    [
        ({"test_do": "fail"}, 503, "server_error"),
        ({"test_route": "gone"}, 503, "server_error"),
        ({"test_route": "nobody"}, 404, "invalid_request_error"),
        ({"body": b"x" * 6_000_001}, 413, "invalid_request_error"),
    ],
)
async def test_envoys_own_replies_are_openais(
    gateway: Lab, case: dict[str, str], status: int, kind: str
) -> None:
    """Limiter down, provider down, no route and too large are JSON errors in OpenAI's shape."""
    reply = await send(gateway, **case)  # type: ignore[arg-type]
    error = reply.json()["error"]
    assert (reply.status_code, reply.headers["content-type"], error["type"], error["param"]) == (
        status,
        "application/json",
        kind,
        None,
    )


@pytest.mark.parametrize(
    ("case", "status", "kind"),
    [
        ({"test_do": "fail"}, 503, "overloaded_error"),
        ({"test_route": "gone"}, 503, "overloaded_error"),
        ({"test_route": "nobody"}, 404, "not_found_error"),
        ({"body": b"x" * 6_000_001}, 413, "request_too_large"),
    ],
)
async def test_envoys_own_replies_are_anthropics_under_its_path(
    gateway: Lab, case: dict[str, str], status: int, kind: str
) -> None:
    """The same in Anthropic's shape under /v1/messages."""
    told = {"test_reservation": RESERVATION.replace("ollama", "anthropic.messages")}
    reply = await send(gateway, "/v1/messages", **told, **case)  # type: ignore[arg-type]
    body = reply.json()
    assert (reply.status_code, body["type"], body["error"]["type"]) == (status, "error", kind)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/v1beta/models/g:generateContent", ("error", "message")),
        ("/v1/projects/p/locations/l/publishers/google/models/g:predict", ("error", "message")),
        ("/model/m/converse", ("message",)),
        ("/v2/chat", ("message",)),
        ("/api/chat", ("error",)),
    ],
)
async def test_envoys_own_replies_are_those_of_the_path(
    gateway: Lab, path: str, place: tuple[str, ...]
) -> None:
    """In every dialect the client finds the words where it looks for them."""
    reply = await send(gateway, path, test_do="fail")
    said = reply.json()
    for name in place:
        said = said[name]
    assert (reply.status_code, said.startswith("The model's provider")) == (503, True)


async def test_googles_errors_hold_a_number(gateway: Lab) -> None:
    """`code` is the status as a number, as google.rpc.Status has it."""
    reply = await send(gateway, "/v1beta/models/g:generateContent", test_do="fail")
    error = reply.json()["error"]
    assert (error["code"], error["status"]) == (503, "UNAVAILABLE")


async def test_bedrocks_errors_have_their_header(gateway: Lab) -> None:
    """AWS's SDKs read the kind of an error there."""
    reply = await send(gateway, "/model/m/converse", test_do="fail")
    assert reply.headers["x-amzn-errortype"] == "ServiceUnavailableException"


async def test_what_tollgate_said_of_a_request_wins_over_its_path(gateway: Lab) -> None:
    """A provider's own path, which the request has by then, may look like another API's."""
    reply = await send(gateway, "/v1/messages", test_route="gone", test_reservation=RESERVATION)
    assert reply.json() == {"error": reply.json()["error"]}
    assert isinstance(reply.json()["error"], str)
