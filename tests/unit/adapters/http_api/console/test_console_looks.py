"""What the console shows beyond entities: figures as they come, and limits that might have been."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from tests.unit.adapters.http_api.console.console_forms import made, spend
from tests.unit.adapters.http_api.console.console_visit import Visit
from tests.unit.adapters.http_api.test_refusals import refused
from tests.unit.management_fixtures import Api, World

from tollgate.core.limits.accounts import ScopeKind
from tollgate.reporting.measuring.fullest_limits import FullLimit

COUNTED = b"""# TYPE tollgate_requests_settled counter
tollgate_requests_settled_total{by="reply",certainty="exact"} 3.0
tollgate_requests_settled_total{by="access log",certainty="estimated"} 1.0
tollgate_requests_settled_total{by="reply",certainty="none"} 5.0
# TYPE tollgate_replies_unseen counter
tollgate_replies_unseen_total 2.0
# TYPE tollgate_history_lag_seconds gauge
tollgate_history_lag_seconds 90.0
"""


async def test_now_tells_how_much_usage_was_told_and_how_far_the_history_is(
    admin: Visit, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three of four calls that used anything told theirs."""
    monkeypatch.setattr(world.watched, "metrics", lambda: COUNTED)
    text = await admin.see("/ui/now")
    assert "75.0 % of 4 calls that used something" in text
    assert "2 passed unread" in text
    assert "History is behind by 1 min" in text


async def test_now_names_limits_of_every_kind_that_will_be_used_up_first(
    admin: Visit, world: World
) -> None:
    """Behind them those that are near their edge; the emptier ones are left out."""
    gone = limit("key", "usd", 5 * 10**9, 5 * 10**9, empty_s=0.0, resets_us=86_400_000_000)
    quota = limit("team", "tokens", 500, 2_000_000, window="1mo", empty_s=5400.0)
    of_a_day = limit("user", "requests", 20, 90, window="1d", empty_s=90_000.0, only_for="gpt-4o")
    rate = limit("proxy", "requests", 55, 60, window="1m")
    watched = limit("session", "calls", 9, 10, shadow=True)
    emptier = limit("customer", "usd", 1, 10)
    world.watched.nearest = [gone, quota, of_a_day, rate, watched, emptier]
    text = (await admin.see("/ui/now")).partition("Limits that will be used up first")[2]
    for told in (
        "key key-a : dollars $5.00 of $5.00 used up: calls are refused until 1970-01-02 00:00:00",
        "team team-a : tokens per 1mo 500 of 2,000,000 used up in 1 h 30 min",
        "user user-a : gpt-4o : requests per 1d 20 of 90 used up in 1 d 1 h",
        "proxy: requests per 1m 55 of 60 near its edge",
        "session session-a : parallel calls only counts 9 of 10 near its edge",
    ):
        assert told in text
        text = text.partition(told)[2]
    assert "customer-a" not in text
    assert '<a href="/ui/people/team?id=team-a">' in admin.page.text


async def test_now_says_when_nobody_looks_at_limits(admin: Visit, world: World) -> None:
    """And where one would look for them."""
    world.watched.nearest = None
    assert "Nobody looks at limits. The setting metrics.fullest_limits" in await admin.see(
        "/ui/now"
    )


def limit(scope: str, meter: str, used: int, amount: int, **more: Any) -> FullLimit:
    name = f"{scope}-a"
    whose = {"scope": scope, "id": name, "name": name, "only_for": "", "window": ""}
    return FullLimit(**{**whose, **more}, meter=meter, used=used, amount=amount)


async def test_now_tells_refusals_of_today_against_yesterday(admin: Visit, world: World) -> None:
    """At the same time of day, and in all; a link leads to them."""
    for number, age_s in enumerate((0, 86_400, 86_399, 80_000)):
        refused(world, number, "team:t", age_s=age_s)
    world.clock.us += 15_000_000  # as long as the figures that the visitor came to are cached
    text = await admin.see("/ui/now")
    assert "Refused today 3 6 yesterday until now, 9 in all" in text
    await admin.see("/ui/usage?by=team&measure=refusals")
    assert "t 12 100.0 %" in admin.text


async def test_a_chart_of_counts_has_a_scale_of_whole_numbers(admin: Visit, world: World) -> None:
    """Not of halves, which would be printed as whole ones."""
    refused(world, 1, "team:t")
    await admin.see("/ui/usage", by="team", measure="refusals")
    assert re.findall(r'class="scale"[^>]*>([^<]*)<', admin.page.text) == ["0", "2", "4"]


async def test_now_sends_what_it_shows_as_events(admin: Visit, world: World) -> None:
    """Each event holds the figures of the page; the stream ends with the process."""
    admin.told_to_stop.set()
    world.watched.workers_fault = "no worker is ready"
    await admin.see("/ui/now/events")
    assert admin.page.headers["content-type"].startswith("text/event-stream")
    assert "No worker decides: no worker is ready" in admin.text
    assert {line[:6] for line in admin.page.text.splitlines() if line} == {"data: "}


async def test_a_store_that_is_away_is_told_in_an_event(admin: Visit, world: World) -> None:
    """The page stays, and says what is wrong."""
    admin.told_to_stop.set()
    world.watched.store_fault = "<gone>"
    text = await admin.see("/ui/now/events")
    assert "The store takes no writes: <gone>" in text
    assert "<gone>" not in admin.page.text


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"amount": "2", "meter": "requests", "per": "1d"}, "refused 2 of 4 calls"),
        ({"amount": "100", "meter": "requests", "per": "1d"}, "refused 0 of 4 calls"),
        ({"amount": "2", "meter": "requests", "per": "1d", "model": "other"}, "refused 0 of 0"),
        ({"amount": "2", "meter": "requests", "each": "team"}, "refused 0 of 0 calls"),
    ],
)
async def test_a_limit_is_tried_on_the_last_days_calls(
    admin: Visit, api: Api, world: World, asked: dict[str, str], told: str
) -> None:
    """Nothing is changed by it."""
    _, key = await made(api, key_alias="busy")
    for _ in range(4):
        world.clock.us += 1
        await spend(world, ScopeKind.KEY, key, 0.001)
    text = await admin.see("/ui/models", **asked)
    assert told in text
    assert ("busy" in re.sub("Models.*?What would", "", text)) is told.startswith("refused 2")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"amount": "much"}, "amount Input should be a valid number"),
        ({"amount": "2", "per": "soon"}, "per must be"),
        ({"amount": "2", "days": "400"}, "less than or equal to 31"),
    ],
)
async def test_a_limit_that_cannot_be_is_named(
    admin: Visit, asked: dict[str, str], told: str
) -> None:
    """With what would be right."""
    assert told in await admin.see("/ui/models", **asked)
    assert admin.page.status_code == 400


async def test_a_bar_of_the_chart_leads_to_its_requests(admin: Visit, world: World) -> None:
    """Those of its day and group."""
    await spend(world, ScopeKind.TEAM, "blue & red", 0.5)
    await admin.see("/ui/usage", by="team")
    links = [unescape(each) for each in re.findall(r'<a href="([^"]*)" tabindex', admin.page.text)]
    assert len(links) == 1
    assert "team_id=blue+%26+red" in links[0]
    await admin.see(links[0])
    assert "$0.50" in admin.text


async def test_models_tell_how_their_last_day_was(admin: Visit, api: Api, world: World) -> None:
    """How many calls each deployment got, and how many of them failed."""
    _, key = await made(api)
    assert "no calls" in await admin.see("/ui/models")
    await spend(world, ScopeKind.KEY, key, 0.5)
    assert "1 calls" in await admin.see("/ui/models")
