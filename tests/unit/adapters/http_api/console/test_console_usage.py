"""*Usage*: refusals as a measure, and links that lead to the requests behind each point."""

from __future__ import annotations

import csv
import io
import re
from html import unescape

import pytest
from tests.unit.adapters.http_api.console.console_forms import made, spend
from tests.unit.adapters.http_api.console.console_visit import Visit
from tests.unit.adapters.http_api.test_refusals import refused
from tests.unit.management_fixtures import Api, World

from tollgate.core.limits.accounts import ScopeKind

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


async def test_refusals_of_nobody_are_counted_without_a_link(admin: Visit, world: World) -> None:
    """Such as those of an unknown key."""
    refused(world, 1)
    text = await admin.see("/ui/usage", by="team", measure="refusals")
    assert "(none) 3 100.0 %" in text
    assert links(admin) == []


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
