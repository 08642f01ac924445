"""The pages of the console: what they show of what there is."""

from __future__ import annotations

import csv
import io

import pytest
from tests.make import budget
from tests.unit.adapters.http_api.console.console_forms import made
from tests.unit.adapters.http_api.console.console_visit import Visit
from tests.unit.adapters.http_api.test_explain import ID, USED, settled
from tests.unit.core.usage.usage_case import PRICE
from tests.unit.management_fixtures import Api, World

from tollgate.adapters.http_api.console.charts import Column, Piece, rounded_up, stacked
from tollgate.adapters.http_api.console.page_rendering import count, dollars, exact_dollars, span
from tollgate.core.limits.accounts import Scope, ScopeKind

DAY_US = 86_400_000_000
KEY, TEAM = Scope(ScopeKind.KEY, "k1"), Scope(ScopeKind.TEAM, "research")


async def test_one_request_shows_its_arithmetic_to_the_nano_dollar(
    admin: Visit, world: World
) -> None:
    """Units, rate, sum, and what was charged."""
    cost = await settled(world, USED, PRICE)
    text = await admin.see(f"/ui/requests/{ID}")
    assert exact_dollars(cost) in text
    assert f"Charged {cost:,}" in text
    assert "cache read" in text
    assert "× " in text


async def test_one_request_shows_where_every_limit_stood(
    admin: Visit, visit: Visit, api: Api, world: World
) -> None:
    """Before and after, to the nano-dollar; of the whole proxy's, owners are told how full it was,
    not what part of it their call is.
    """
    secret, key = await made(api, key_alias="laptop")
    proxy = Scope(ScopeKind.PROXY, "proxy")
    accounts = (budget(50_000_000_000, proxy), budget(5_000_000_000, Scope("key", key)))
    await settled(world, USED, PRICE, *accounts)
    row = "dollars {} $0.00 $0.00000005 $0.0301062 $0.0301062"
    text = await admin.see(f"/ui/requests/{ID}")
    assert f"proxy {row.format('$50.00')}" in text
    assert f"key laptop {row.format('$5.00')}" in text
    await visit.sign_in(secret)
    text = await visit.see(f"/ui/requests/{ID}")
    assert "proxy dollars 100 % 0 % - - -" in text
    assert f"key laptop {row.format('$5.00')}" in text
    assert "$50" not in text


async def test_a_request_without_a_price_says_so(admin: Visit, world: World) -> None:
    """Nothing was charged, and why."""
    await settled(world, USED, None)
    assert "Nobody has a price" in await admin.see(f"/ui/requests/{ID}")


async def test_a_request_that_is_not_there_is_a_page(admin: Visit) -> None:
    """404, with its id."""
    assert "No settled or refused request 'nothing'" in await admin.see("/ui/requests/nothing")
    assert admin.page.status_code == 404


async def test_a_keys_owner_sees_their_own_requests_alone(
    visit: Visit, api: Api, world: World
) -> None:
    """Another key's is refused."""
    await settled(world, USED, PRICE)
    await visit.sign_in((await api.made())["key"])
    assert "another key" in await visit.see(f"/ui/requests/{ID}")
    assert visit.page.status_code == 403


async def test_requests_are_filtered_by_the_form(admin: Visit, world: World) -> None:
    """Fields that are empty ask for nothing."""
    await world.spend(TEAM, 5_000_000, model="gpt-4o")
    await world.spend(KEY, 7_000_000, model="unpriced")
    text = await admin.see("/ui/requests", team_id="research", user_id="", start_date="", status="")
    assert "$0.0050" in text
    assert "$0.0070" not in text


async def test_a_filter_that_makes_no_sense_is_told(admin: Visit) -> None:
    """400, as a page, with the field."""
    assert "start_date" in await admin.see("/ui/requests", start_date="yesterday")
    assert admin.page.status_code == 400


async def test_pages_of_requests_follow_each_other_with_their_filters(
    admin: Visit, world: World
) -> None:
    """Every record once."""
    for _ in range(60):
        await world.spend(TEAM, 1_000_000)
    await admin.see("/ui/requests", team_id="research")
    first = admin.page.text.count('href="/ui/requests/call-')
    link = admin.page.text.partition('rel="next" href="')[2].partition('"')[0]
    await admin.see(link.replace("&amp;", "&"))
    assert (first, admin.page.text.count('href="/ui/requests/call-')) == (50, 10)
    assert "team_id=research" in link


async def test_what_is_typed_into_the_ledger_is_no_markup(admin: Visit, world: World) -> None:
    """Ids and models are others' words."""
    evil = "<img src=x onerror=alert(1)>"
    await world.spend(Scope(ScopeKind.USER, evil), 1_000_000, model=evil)
    for path in ("/ui/requests", "/ui/usage?by=user", "/ui/usage?by=model", "/ui/now"):
        await admin.see(path)
        assert "<img" not in admin.page.text


async def test_now_compares_today_with_yesterday(admin: Visit, world: World) -> None:
    """Until the same time, and in all."""
    noon = world.clock.us // DAY_US * DAY_US + DAY_US // 2
    for at_us, nanousd in (
        (noon - DAY_US - 1, 1_000_000_000),
        (noon - DAY_US + 1, 2_000_000_000),
        (noon - 1, 4_000_000_000),
    ):
        world.clock.us = at_us
        await world.spend(KEY, nanousd)
    world.clock.us = noon
    text = await admin.see("/ui/now")
    assert "Spent today $4.00 $1.00 yesterday until now, $3.00 in all" in text


async def test_now_says_what_ails_the_gateway(admin: Visit, world: World) -> None:
    """The store, and workers."""
    assert "The store takes writes, and workers decide" in await admin.see("/ui/now")
    world.watched.store_fault = "connection refused"
    world.watched.workers_fault = "worker 1 has been silent for 7 s"
    text = await admin.see("/ui/now")
    assert "The store takes no writes: connection refused" in text
    assert "worker 1 has been silent" in text


async def test_now_counts_refusals_by_reason(
    admin: Visit, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over all workers and statuses."""
    metrics = (
        b'tollgate_requests_refused_total{status="429",reason="key_rpm"} 2\n'
        b'tollgate_requests_refused_total{status="401",reason="key_rpm"} 1\n'
        b"tollgate_requests_admitted_total 7\n"
    )
    monkeypatch.setattr(world.watched, "metrics", lambda: metrics)
    text = await admin.see("/ui/now")
    assert "Since the gateway was started 7 admitted; 3 refused" in text
    assert "key rpm 3" in text


async def test_usage_is_grouped_and_leads_to_the_requests_behind_it(
    admin: Visit, world: World
) -> None:
    """Sums by group, the greatest first, each a link with the same days."""
    await world.spend(TEAM, 3_000_000_000)
    await world.spend(TEAM, 1_000_000_000)
    await world.spend(Scope(ScopeKind.TEAM, "ops"), 1_000_000_000)
    text = await admin.see("/ui/usage", by="team")
    assert text.index("research 2 0 0 0 $4.00 80.0 %") < text.index("ops 1 0 0 0 $1.00 20.0 %")
    link = admin.page.text.partition('href="/ui/requests?')[2].partition('"')[0]
    text = await admin.see("/ui/requests?" + link.replace("&amp;", "&"))
    assert "$3.00" in text
    assert "research" in text


async def test_groups_beyond_those_that_a_chart_can_show_are_one(
    admin: Visit, world: World
) -> None:
    """They are in the table all the same."""
    for number in range(12):
        await world.spend(Scope(ScopeKind.TEAM, f"team-{number}"), (number + 1) * 1_000_000_000)
    text = await admin.see("/ui/usage", by="team")
    assert "others: $15.00" in text
    assert "team-0" in text


async def test_usage_comes_as_csv_that_no_spreadsheet_runs(admin: Visit, world: World) -> None:
    """One row for each day and group; formulas are texts."""
    await world.spend(Scope(ScopeKind.CUSTOMER, "=1+1"), 1_500_000_000)
    await admin.see("/ui/usage.csv", by="customer")
    rows = list(csv.DictReader(io.StringIO(admin.page.text)))
    assert [(each["customer"], each["spend_usd"]) for each in rows] == [("'=1+1", "1.500000000")]
    assert admin.page.headers["content-type"].startswith("text/csv")


@pytest.mark.parametrize(
    "query",
    [
        {"start_date": "2026-02-01", "end_date": "2026-01-01"},
        {"start_date": "2020-01-01", "end_date": "2026-01-01"},
        {"by": "colour"},
    ],
)
async def test_days_that_no_chart_can_show_are_refused(admin: Visit, query: dict[str, str]) -> None:
    """400, with what would be right."""
    await admin.see("/ui/usage", **query)
    assert admin.page.status_code == 400


async def test_models_show_their_price_and_those_without_one(admin: Visit) -> None:
    """In dollars a million tokens, with the source."""
    text = await admin.see("/ui/models")
    assert "$2 input / M tokens" in text
    assert "$8 output / M tokens" in text
    assert "no price is known" in text


async def test_pages_without_anything_say_what_to_do(admin: Visit) -> None:
    """An empty table helps nobody."""
    assert "No request fits" in await admin.see("/ui/requests")
    assert "Nothing was used" in await admin.see("/ui/usage")
    assert "Nothing was refused" in await admin.see("/ui/now")


@pytest.mark.parametrize(
    ("nanousd", "shown"),
    [
        (None, "-"),
        (0, "$0.00"),
        (1, "$0.000000001"),
        (123, "$0.00000012"),
        (4_500_000, "$0.0045"),
        (10_000_000, "$0.010"),
        (999_999_999, "$1.00"),
        (1_234_567_890_123, "$1,234.57"),
        (-5_000_000_000, "-$5.00"),
    ],
)
def test_dollars_are_printed_with_the_digits_that_count(nanousd: int | None, shown: str) -> None:
    """Never an amount as nothing."""
    assert dollars(nanousd) == shown


def test_spans_and_counts_are_printed_for_people() -> None:
    """Two units at most."""
    assert [span(each) for each in (-1, 59.9, 60, 3_700, 90_000)] == [
        "0 s",
        "59 s",
        "1 min",
        "1 h 1 min",
        "1 d 1 h",
    ]
    assert [count(each) for each in (0, 12_300, 42_000_000, 10**11)] == [
        "0",
        "12,300",
        "42.0 M",
        "100,000 M",
    ]


def test_a_stack_is_as_high_as_its_pieces() -> None:
    """On a scale that ends at a round number, from the bottom up."""
    chart = stacked(
        [
            Column("a", (Piece(30, "x"), Piece(50, "y"), Piece(0, "z"))),
            Column("b", (Piece(0, "x"),)),
        ]
    )
    assert [value for _, value in chart.scale] == [0, 50, 100]
    assert [(each.height, each.y, each.series) for each in chart.bars] == [
        (60, 140, 0),
        (100, 40, 1),
    ]
    assert stacked([]).bars == ()
    for value in (1e-9, 0.99, 1, 1.01, 24, 25, 999, 1000, 7.3e12):
        assert value * 0.999 <= rounded_up(value) <= value * 10


async def test_a_keys_owner_begins_with_what_is_theirs(
    visit: Visit, api: Api, world: World
) -> None:
    """Their key, its requests and no others, and how to use it."""
    made = await api.made(key_alias="laptop", user_id="alice")
    key = (await api.info(made["key"]))["token"]
    await world.spend(Scope(ScopeKind.KEY, key), 30_000_000)
    await world.spend(KEY, 70_000_000)
    text = await visit.sign_in(made["key"])
    assert visit.path == "/ui/mine"
    assert "laptop" in text
    assert "alice" in text
    assert "$0.030" in text
    assert "$0.070" not in text
    assert 'base_url="http://tollgate/v1"' in text
    assert made["key"] not in visit.page.text


async def test_the_master_key_has_nothing_of_its_own(admin: Visit) -> None:
    """Its page says so."""
    assert "no limits" in await admin.see("/ui/mine")
    assert admin.page.status_code == 403
