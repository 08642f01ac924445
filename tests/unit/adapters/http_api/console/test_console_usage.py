"""*Usage*: refusals as a measure, and links that lead to the requests behind each point."""

from __future__ import annotations

import csv
import io
import re
from html import unescape

import pytest
from msgspec import structs
from tests.unit.adapters.http_api.console.console_forms import made, spend
from tests.unit.adapters.http_api.console.console_visit import Visit
from tests.unit.adapters.http_api.test_refusals import refused
from tests.unit.management_fixtures import Api, World

from tollgate.core.limits.accounts import Scope, ScopeKind

SCOPES = ("key:h", "team:blue & red", "user:ann", "customer:shop", "tag:night", "member:blue/ann")


def links(visit: Visit) -> list[str]:
    """The addresses that the chart and the table lead to."""
    found = re.findall(r'href="(/ui/requests[?][^"]*)"', visit.page.text)
    return list(dict.fromkeys(map(unescape, found)))


@pytest.mark.parametrize(
    ("by", "group"),
    [
        ("team", "blue & red"),
        ("key", "h"),
        ("user", "ann"),
        ("customer", "shop"),
        ("tag", "night"),
        ("member", "blue/ann"),
        ("model", "gpt-4o"),
        ("organization", "default"),
        ("status", "401"),
    ],
)
async def test_refusals_are_counted_by_group_and_lead_to_themselves(
    admin: Visit, world: World, by: str, group: str
) -> None:
    """A record for as many as it stands for; the others of the day are not behind the point."""
    first, second = refused(world, 1, *SCOPES), refused(world, 2, *SCOPES)
    world.refusals.records[:] = [first, second]
    text = await admin.see("/ui/usage", by=by, measure="refusals")
    assert f"{group} 6 100.0 %" in text
    assert "All 6 100 %" in text
    chart, table = links(admin)
    for address in (chart, table):
        await admin.see(address)
        assert f"/ui/requests/{first.id}" in admin.page.text
        assert f"/ui/requests/{second.id}" in admin.page.text


async def test_a_point_of_refusals_leaves_out_all_others(admin: Visit, world: World) -> None:
    """Of another group, another status, another day."""
    ours = refused(world, 1, "team:t")
    others = [refused(world, 2, "team:u"), refused(world, 3, "team:t", age_s=2 * 86_400)]
    await admin.see("/ui/usage", by="team", measure="refusals")
    today = [
        each for each in links(admin) if "team_id=t" in each and "start_date=2027-01-15" in each
    ]
    await admin.see(today[0])
    assert ours.id in admin.page.text
    assert not any(each.id in admin.page.text for each in others)


BY_KIND = {
    "model": lambda number: ((), f"model-{number}"),
    **{
        kind: lambda number, kind=kind: ((f"{kind}:{kind}-{number}",), "m")
        for kind in ("team", "key", "user", "customer", "member")
    },
    "tag": lambda number: (("tag:all", f"tag:tag-{number}"), "m"),
}


@pytest.mark.parametrize("measure", ["requests", "refusals"])
@pytest.mark.parametrize("by", BY_KIND)
async def test_every_point_leads_to_exactly_its_calls(
    admin: Visit, world: World, by: str, measure: str
) -> None:
    """Of a group, of none, and of all the others that share a colour; also below a filter."""
    for number in range(10):
        scopes, model = BY_KIND[by](number)
        for turn in range(1 + (number < 5)):
            await a_call(world, scopes, model)
            one = refused(world, 10 * number + turn, *scopes)
            world.refusals.records[-1] = structs.replace(one, times=1, model=model)
    # Of no tag is no group.
    bare = ("tag:all",) if by == "tag" else ()
    await a_call(world, bare, "m")
    world.refusals.records[-1] = structs.replace(refused(world, 999, *bare), times=1, model="m")
    for filters in ({}, {"tag": "all"} if by == "tag" else {"start_date": "2027-01-01"}):
        await admin.see("/ui/usage", by=by, measure=measure, **filters)
        points = re.findall(
            r'href="(/ui/requests[?][^"]*)" tabindex="-1" aria-label="[^"]* ([0-9]+)"',
            admin.page.text,
        )
        assert len(points) == 8
        assert any("others" in each for each in re.findall('aria-label="([^"]*)"', admin.page.text))
        for address, count in points:
            await admin.see(unescape(address))
            found = set(re.findall(r'href="/ui/requests/([^"]+)"', admin.page.text))
            assert (address, len(found)) == (address, int(count))


async def a_call(world: World, scopes: tuple[str, ...], model: str) -> None:
    first, *also = [Scope(*each.split(":")) for each in scopes or ("proxy:proxy",)]
    await world.spend(first, 1, model=model, also=tuple(also))


async def test_filters_without_a_field_are_kept_told_and_dropped(
    admin: Visit, world: World
) -> None:
    """The form carries them on, and a link takes them away."""
    await spend(world, ScopeKind.TEAM, "t", 0.5)
    for path in ("/ui/requests", "/ui/usage"):
        text = await admin.see(f"{path}?without=user&outside=team:u&outside=team:&model=gpt-4o")
        assert "Only calls without user, of others than team u , none (team)." in text
        assert '<input type="hidden" name="outside" value="team:u">' in admin.page.text
        (plain,) = re.findall(r'href="([^"]*)">Take this filter away', admin.page.text)
        assert "outside" not in plain
        assert "without" not in plain
        assert "model=gpt-4o" in plain


async def test_groups_beyond_the_list_are_one_row_that_leads_to_them(
    admin: Visit, world: World
) -> None:
    """However many customers there are, the page stays a page, and its sums are whole."""
    for number in range(60):
        await spend(world, ScopeKind.CUSTOMER, f"shop-{number:02}", 1 + (number < 50))
    text = await admin.see("/ui/usage", by="customer")
    assert "10 others 10 0 0 0 $10.00 9.1 % All 60 0 0 0 $110.00 100 %" in text
    (rest,) = re.findall(r'href="([^"]*)">10 others', admin.page.text)
    await admin.see(unescape(rest))
    assert len(set(re.findall(r'href="/ui/requests/([^"]+)"', admin.page.text))) == 10


async def test_no_refusals_say_so(admin: Visit) -> None:
    """As other pages without anything do."""
    assert "Nothing was refused in these days" in await admin.see("/ui/usage", measure="refusals")


async def test_refusals_come_as_csv(admin: Visit, world: World) -> None:
    """One row for each day and group."""
    refused(world, 1, "team:t")
    refused(world, 2, "team:t", age_s=86_400)
    await admin.see("/ui/usage", by="team", measure="refusals")
    (address,) = re.findall(r'href="(/ui/usage[.]csv[^"]*)"', admin.page.text)
    await admin.see(unescape(address))
    rows = list(csv.DictReader(io.StringIO(admin.page.text)))
    assert [(each["day"], each["team"], each["refused"]) for each in rows] == [
        ("2027-01-14", "t", "3"),
        ("2027-01-15", "t", "3"),
    ]


async def test_a_point_keeps_the_filters_of_the_page(admin: Visit, api: Api, world: World) -> None:
    """A model's spend of one team leads to that team's calls alone."""
    await spend(world, ScopeKind.TEAM, "ours", 0.5)
    await spend(world, ScopeKind.TEAM, "theirs", 0.25)
    await admin.see("/ui/usage", by="model", team_id="ours")
    for address in links(admin):
        text = await admin.see(address)
        assert "$0.50" in text
        assert "$0.25" not in text


@pytest.mark.parametrize("by", ["deployment", "tag", "member"])
async def test_groups_without_a_page_of_their_own_lead_to_requests_too(
    admin: Visit, api: Api, world: World, by: str
) -> None:
    """By a filter that the API has as well."""
    if by != "deployment":
        await spend(world, ScopeKind(by), "a/b", 0.5)
    else:
        _, key = await made(api)
        await spend(world, ScopeKind.KEY, key, 0.5)
    await admin.see("/ui/usage", by=by)
    address = links(admin)[0]
    assert "$0.50" in await admin.see(address)
    filters = dict(each.split("=") for each in address.partition("?")[2].split("&"))
    name = {"member": "member_id", "deployment": "model_id"}.get(by, by)
    reply = await api.get(
        "/spend/logs", summarize="false", **{name: unescape(filters[name]).replace("%2F", "/")}
    )
    assert [each["spend"] for each in reply.json()] == [0.5]
    assert (await api.get("/spend/logs", summarize="false", **{name: "other"})).json() == []


async def test_failures_lead_to_failures(admin: Visit, world: World) -> None:
    """Not to all calls of the group."""
    await spend(world, ScopeKind.TEAM, "t", 0.5)
    await admin.see("/ui/usage", by="team", measure="failures")
    assert all("status=failure" in each for each in links(admin))


@pytest.mark.parametrize(
    ("status", "found"), [("refused-401", 1), ("refused-429", 0), ("refused", 1)]
)
async def test_refusals_of_one_status_are_asked_for(
    admin: Visit, api: Api, world: World, status: str, found: int
) -> None:
    """Over the API and by the form, which keeps what it was asked."""
    record = refused(world, 1, "team:t")
    rows = (await api.get("/spend/logs", status=status)).json()
    assert len(rows) == found
    await admin.see("/ui/requests", status=status)
    assert (record.id in admin.page.text) is bool(found)
    assert f'<option value="{status}" selected>' in admin.page.text


@pytest.mark.parametrize("status", ["refused-", "refused-4290", "refused-429 ", "refuse"])
async def test_a_status_that_is_none_is_refused_by_name(api: Api, status: str) -> None:
    """400."""
    assert (await api.get("/spend/logs", status=status)).status_code == 400
