"""ext_authz over gRPC: what Envoy reads of an answer, and what becomes of one that nobody waits
for.
"""

from __future__ import annotations

import asyncio
import json

import pytest
from msgspec import structs
from tests.fakes import FixedClock, MemoryCounters
from tests.make import reservation, tokens
from tests.unit.adapters.envoy.deciding import Deciding
from tests.unit.adapters.envoy.envoy_call import EnvoyCall

from tollgate.adapters.envoy.authz_grpc import Authorization
from tollgate.adapters.envoy.metadata import find_admitted
from tollgate.core.calls.decision import Admission, Decision, Edit, Header, Refusal
from tollgate.core.envoy_contract import KEY_CHECK, KEY_CHECK_EXTENSION, READ_BY_EXT_PROC
from tollgate.core.requests.catalog import Catalog
from tollgate.core.requests.estimate import InputEstimates
from tollgate.metering.metering import Metering
from tollgate.pb.common_pb2 import HeaderValueOption, Metadata
from tollgate.pb.ext_authz_pb2 import CheckRequest, CheckResponse

HELD = reservation("r1", tokens(1000))
ADMITTED = Admission("gpt 4o", HELD, headers=(Header("x-ratelimit-remaining-tokens", "970"),))


def check_of(
    path: str = "/v1/chat/completions", *, key_alone: bool = False, **members: bytes
) -> bytes:
    request = CheckRequest()
    if key_alone:
        request.attributes.context_extensions[KEY_CHECK_EXTENSION] = KEY_CHECK
    http = request.attributes.request.http
    http.method, http.path = "POST", path
    http.headers.update({"authorization": "Bearer sk-test", "x-tollgate-stream": "7-1"})
    for name, value in members.items():
        setattr(http, name, value)
    return request.SerializeToString()


async def decided(
    decision: Decision | None, message: bytes, *, gone: bool = False, logged: bool = False
) -> tuple[CheckResponse, Deciding, MemoryCounters]:
    """What one Check is answered, what admission was asked, and what is held after it."""
    counters, call, deciding = (
        MemoryCounters(FixedClock()),
        EnvoyCall(gone=gone),
        Deciding(decision),
    )
    meter = Metering(counters, Catalog.of((), {}), None, InputEstimates())
    await counters.reserve(HELD)
    receiver = Authorization(deciding, meter, logged=logged).check(call)  # type: ignore[arg-type]
    receiver.received(message)
    receiver.ended(whole=True)
    await asyncio.wait_for(call.answered.wait(), 5)
    await meter.drain()
    (answer,) = call.sent
    assert call.closed
    return CheckResponse.FromString(answer), deciding, counters


def set_in(options: list[HeaderValueOption]) -> dict[str, str]:
    return {each.header.key: each.header.value for each in options}


async def test_a_request_that_may_pass_is_routed_and_carries_what_it_holds() -> None:
    """The deployment by its id, headers for the client, the reservation as metadata."""
    answer, _, counters = await decided(ADMITTED, check_of(raw_body=b"{}"))
    assert answer.status.code == 0
    assert set_in(list(answer.ok_response.headers)) == {"x-tollgate-route": "gpt%204o"}
    shown = set_in(list(answer.ok_response.response_headers_to_add))
    assert shown == {"x-ratelimit-remaining-tokens": "970", "x-tollgate-request-id": "r1"}
    metadata = Metadata()
    metadata.filter_metadata["envoy.filters.http.ext_authz"].CopyFrom(answer.dynamic_metadata)
    assert find_admitted(metadata) == (HELD, READ_BY_EXT_PROC)
    assert counters.ledger == []


async def test_envoys_own_access_log_can_print_who_asks() -> None:
    """In ASCII, since an alias may hold a line end; nothing is told unless asked for."""
    named = structs.replace(ADMITTED, key_name="Zo\u00eb\n")
    answer, _, _ = await decided(named, check_of(), logged=True)
    told = dict(answer.dynamic_metadata.items())
    del told["reservation"]
    assert told == {
        "logged_request_id": "r1",
        "logged_key_alias": "Zo\\u00eb\\u000a",
        "logged_model": HELD.model,
        "logged_held_nanousd": str(HELD.cost_nanousd),
    }
    answer, _, _ = await decided(named, check_of())
    assert set(answer.dynamic_metadata) == {"reservation"}
    unmetered, _, _ = await decided(Admission("d", None), check_of(), logged=True)
    assert not unmetered.dynamic_metadata.fields


async def test_edits_and_another_path_are_told() -> None:
    """With the header for which Lua runs."""
    admission = Admission("d", None, (Edit(3, 2, "ab"),), path="/v2/x")
    answer, _, _ = await decided(admission, check_of())
    headers = set_in(list(answer.ok_response.headers))
    assert headers == {"x-tollgate-route": "d", ":path": "/v2/x", "x-tollgate-change": "1"}
    assert answer.dynamic_metadata.fields["edits"].string_value == "3,2,6162;"


@pytest.mark.parametrize("name", ["raw_body", "body"])
async def test_a_body_is_read_where_envoy_puts_it(name: str) -> None:
    """As bytes, or as text where `pack_as_bytes` is false."""
    _, deciding, _ = await decided(
        ADMITTED, check_of(**{name: '{"model": "m", "user": "é"}'.encode()})
    )
    (asked,) = deciding.asked
    assert asked.body == '{"model": "m", "user": "é"}'.encode()
    assert (asked.method, asked.stream_id) == ("POST", "7-1")


async def test_a_refusal_is_worded_by_us() -> None:
    """Status, headers and body."""
    refusal = Refusal(429, "rpm", "too many", b'{"error": {}}', (Header("retry-after", "7"),))
    answer, _, _ = await decided(refusal, check_of())
    assert answer.status.code != 0
    denied = answer.denied_response
    assert (denied.status.code, denied.body) == (429, '{"error": {}}')
    assert set_in(list(denied.headers)) == {"content-type": "application/json", "retry-after": "7"}


async def test_a_failure_of_ours_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing passes unchecked, and the log has the traceback."""
    answer, _, _ = await decided(None, check_of())
    assert answer.denied_response.status.code == 500
    assert "as the test says" in caplog.text


async def test_what_is_no_request_is_refused() -> None:
    """Bytes that are no message."""
    answer, deciding, _ = await decided(ADMITTED, b"\xff")
    assert (answer.denied_response.status.code, deciding.asked) == (500, [])


async def test_an_answer_that_nobody_waits_for_gives_back_what_it_held() -> None:
    """The client has left."""
    _, _, counters = await decided(ADMITTED, check_of(), gone=True)
    assert [(each.certainty, each.status) for each in counters.ledger] == [("none", 499)]


async def test_a_refusal_that_nobody_waits_for_has_nothing_to_give_back() -> None:
    """It held nothing."""
    _, _, counters = await decided(Refusal(429, "rpm", "too many", b"{}"), check_of(), gone=True)
    assert counters.ledger == []


async def test_an_answer_that_we_fail_to_word_gives_back_what_it_held(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The request does not pass, so nothing of it may stay charged until its lease runs out."""
    no_text = Admission("gpt 4o", HELD, headers=(Header("x-odd", "\ud800"),))
    answer, _, counters = await decided(no_text, check_of())
    assert answer.denied_response.status.code == 500
    assert [(each.certainty, each.status) for each in counters.ledger] == [("none", 500)]
    assert "surrogates not allowed" in caplog.text


async def test_a_good_key_lets_envoy_take_the_body_and_changes_nothing() -> None:
    """Admission is asked again, with the body."""
    answer, deciding, _ = await decided(ADMITTED, check_of(key_alone=True))
    assert (answer.status.code, answer.ok_response.ByteSize()) == (0, 0)
    assert not answer.HasField("dynamic_metadata")
    assert (len(deciding.asked_about_keys), deciding.asked) == (1, [])


async def test_a_bad_key_is_refused_before_the_body_comes() -> None:
    """In the same words as with the body."""
    refusal = Refusal(401, "auth_error", "no", b'{"error": {}}')
    answer, _, _ = await decided(refusal, check_of(key_alone=True))
    with_body, _, _ = await decided(refusal, check_of())
    assert answer.denied_response.status.code == 401
    assert answer == with_body


async def test_a_failure_to_check_a_key_is_a_500_in_the_words_of_the_path(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer, _, _ = await decided(None, check_of("/v1/messages", key_alone=True))
    assert answer.denied_response.status.code == 500
    assert json.loads(answer.denied_response.body)["type"] == "error"
    assert "as the test says" in caplog.text
