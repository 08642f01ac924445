"""What callers are told of limits that everybody shares: of what a provider grants, that it is
reached, and until when; no amounts.
"""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from tests.desk import Desk, admission, chat
from tests.make import limit_set

from tollgate.core.answers.arithmetic import why_it_did_not_fit
from tollgate.core.answers.wording import Preset
from tollgate.core.calls.decision import Refusal
from tollgate.core.limits.accounts import UPSTREAM, Meter, Scope, ScopeKind
from tollgate.core.limits.limit import Bucket, Forever, InFlight, Limit, Recurring, Window

WINDOWS: list[tuple[Meter, Window]] = [
    *((meter, Bucket(60)) for meter in Meter if meter not in (Meter.CALLS, Meter.USD)),
    *((meter, Recurring("1d")) for meter in Meter if meter is not Meter.CALLS),
    (Meter.TOKENS, Forever()),
    (Meter.USD, Forever()),
    (Meter.CALLS, InFlight()),
]
AMOUNTS = re.compile(r"Limit \d|Used \d|Held: |[Ss]pend: |[Bb]udget: |[Cc]ost: |In flight \d")


def desk_of(kind: str, limit: Limit, preset: Preset = Preset.PAGE) -> Desk:
    """A desk with one limit of everybody."""
    desk = Desk()
    limits = limit_set(limit)
    if kind == ScopeKind.PROXY:
        desk.terms = desk.with_policy(proxy=limits)
    else:
        upstream = ((Scope(kind, "theirs"), limits),)
        desk.terms = desk.with_policy(upstreams={each.id: upstream for each in desk.deployments})
    desk.terms = replace(desk.terms, errors=preset)
    return desk


@pytest.mark.parametrize("kind", sorted(UPSTREAM))
@pytest.mark.parametrize(("meter", "window"), WINDOWS)
async def test_a_refusal_tells_no_amounts_of_what_a_provider_grants(
    kind: str, meter: Meter, window: Window
) -> None:
    """In no preset and API. What is recorded for administrators has them,
    and whoever is refused learns whose limit it is.
    """
    for preset in Preset:
        desk = desk_of(kind, Limit(meter, 0, window), preset)
        for model, path in (("gpt-4o", "/v1/chat/completions"), ("claude", "/v1/messages")):
            decision = await desk.ask(chat(model=model, max_tokens=5), path)
            assert isinstance(decision, Refusal)
            assert AMOUNTS.search(decision.message) is None
            assert AMOUNTS.search(decision.body.decode()) is None
            assert f"{kind} theirs" in decision.message
            assert not [each.name for each in decision.headers if "ratelimit" in each.name]
            assert decision.hit is not None
            assert why_it_did_not_fit(decision.hit()).startswith("used ")


@pytest.mark.parametrize("kind", sorted(UPSTREAM))
@pytest.mark.parametrize("ietf", [False, True])
async def test_headers_tell_no_rates_of_what_a_provider_grants(kind: str, ietf: bool) -> None:
    """A caller's own are told, though less is left of the other."""
    desk = desk_of(kind, Limit(Meter.REQUESTS, 5, Bucket(60)))
    desk.terms = replace(desk.terms, ietf_headers=ietf)
    desk.key(limits=limit_set(rpm=900))
    headers = {each.name: each.value for each in admission(await desk.ask()).headers}
    assert headers["x-ratelimit-limit-requests"] == "900"
    assert ("ratelimit" in headers) is ietf
    assert kind not in headers.get("ratelimit-policy", "")


async def test_the_gateways_own_rates_are_told() -> None:
    """Callers pace themselves by them; dollars a minute stay with administrators."""
    desk = desk_of(ScopeKind.PROXY, Limit(Meter.REQUESTS, 1, Bucket(60)))
    desk.terms = replace(desk.terms, ietf_headers=True)
    desk.key(limits=limit_set(rpm=900))
    headers = {each.name: each.value for each in admission(await desk.ask()).headers}
    assert headers["x-ratelimit-limit-requests"] == "1"
    assert '"proxy-requests";q=1' in headers["ratelimit-policy"]
    refused = await desk.ask()
    assert isinstance(refused, Refusal)
    assert "Limit 1, Used 1" in refused.message
    dollars = desk_of(ScopeKind.PROXY, Limit(Meter.USD, 10**12, Bucket(60)))
    dollars.terms = replace(dollars.terms, ietf_headers=True)
    told = {each.name for each in admission(await dollars.ask()).headers}
    assert "ratelimit-policy" not in told
