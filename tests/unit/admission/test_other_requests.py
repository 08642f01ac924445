"""What a client cannot turn its request into: a call of another model, or one whose reply does not
report what it costs.
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.desk import Desk, admission, refusal
from tests.unit.admission.test_admission_apis import CHAT, EVERY, VERTEX, of


@pytest.mark.parametrize(
    ("provider", "members", "param"),
    [
        ("openrouter", {"models": ["dear"]}, "models"),
        (
            "vercel_ai_gateway",
            {"providerOptions": {"gateway": {"models": ["dear"]}}},
            "providerOptions.gateway.models",
        ),
        ("litellm_proxy", {"fallbacks": ["dear"]}, "fallbacks"),
    ],
)
async def test_a_body_cannot_name_further_models_to_a_provider_that_routes(
    provider: str, members: dict[str, Any], param: str
) -> None:
    """The caller may not be allowed to use them; elsewhere the name means nothing."""
    desk = Desk(deployments=(of(provider, "routed"), of("openai", "plain")))
    status, body, _ = refusal(await desk.ask({"model": "routed", **CHAT, **members}))
    assert (status, body["error"]["param"]) == (400, param)
    admission(await desk.ask({"model": "plain", **CHAT, **members}))
    for unset in (None, []):
        admission(await desk.ask({"model": "routed", **CHAT, param.partition(".")[0]: unset}))


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("fields=candidates", "fields"),
        ("alt=sse&%24fields=candidates", "fields"),
        ("Fields=candidates", "fields"),
        ("alt=proto", "alt"),
        ("$alt=proto", "alt"),
        ("alt=sse;alt=media", "alt"),
        ("callback=f", "callback"),
        ("access_token=t", "access_token"),
        ("alt=sse", None),
        ("$alt=json;enum-encoding=int", None),
        ("%24alt=json%3Benum-encoding%3Dint&prettyPrint=false", None),
    ],
)
@pytest.mark.parametrize("path", ["/v1beta/models/ge:generateContent", f"{VERTEX}/ve:predict"])
async def test_google_cannot_be_asked_for_a_reply_without_usage(
    path: str, query: str, param: str | None
) -> None:
    """Nor for one in a format that is not read, nor on another account."""
    decision = await Desk(deployments=EVERY).ask({}, f"{path}?{query}")
    if param is None:
        admission(decision)
    else:
        status, body, _ = refusal(decision)
        assert (status, f"{param!r}" in body["error"]["message"]) == (400, True)


async def test_the_model_is_renamed_where_vertexs_partners_read_it_in_the_body_too() -> None:
    """The path names the deployment; a model in the body cannot be another one."""
    path = "/v1/projects/p/locations/l/publishers/mistralai/models/ve:streamRawPredict"
    admitted = admission(await Desk(deployments=EVERY).ask({"model": "other", **CHAT}, path))
    assert admitted.reservation is not None
    assert (admitted.reservation.dialect, admitted.reservation.stream) == ("openai.chat", True)
    assert [each.insert for each in admitted.edits] == ['"gpt-4o"']
