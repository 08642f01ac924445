"""LiteLLM's reports of spend, and exports."""

from __future__ import annotations

import csv
import io
import sys
from decimal import Decimal

import pytest
from pyarrow import parquet
from tests.unit.management_fixtures import Api, World, ok

from tollgate.core.callers.authentication import hash_of
from tollgate.core.limits.accounts import Scope, ScopeKind
from tollgate.reporting.exports import DAILY_COLUMNS, FOCUS_COLUMNS

# 2027-01-15, the day of World's clock, in January.
DAYS = {"start_date": "2027-01-01", "end_date": "2027-01-31"}


@pytest.fixture
async def spent(api: Api, world: World) -> str:
    """Two teams and a key have spent something; returns the key's hash."""
    made = await api.made(key_alias="mine")
    await api.post("/team/new", {"team_id": "t", "team_alias": "Prod Team"})
    await world.spend(Scope(ScopeKind.TEAM, "t"), 3_000)
    await world.spend(Scope(ScopeKind.TEAM, "other"), 2_000, model="unpriced")
    await world.spend(Scope(ScopeKind.KEY, hash_of(made["key"])), 2**53 + 1)
    await world.spend(Scope(ScopeKind.CUSTOMER, "c"), 7)
    await world.spend(Scope(ScopeKind.USER, "u"), 11)
    return hash_of(made["key"])


async def test_teams_are_reported_by_day_with_models(api: Api, spent: str) -> None:
    """By alias, as LiteLLM does it."""
    (day,) = await ok(api.get("/global/spend/report", **DAYS))
    assert day["group_by_day"] == "2027-01-15"
    assert [(each["team_name"], each["total_spend"]) for each in day["teams"]] == [
        ("other", 2e-06),
        ("Prod Team", 3e-06),
    ]
    assert day["teams"][1]["metadata"] == [
        {"model": "gpt-4o", "spend": 3e-06, "total_tokens": 0, "api_key": ""}
    ]
    assert await ok(api.get("/global/spend/report", end_date="2026-01-01")) == []


async def test_customers_and_keys_are_reported_too(api: Api, spent: str) -> None:
    """Filters are of all that must have paid."""
    (day,) = await ok(api.get("/global/spend/report", group_by="customer", **DAYS))
    assert [(each["customer"], each["total_spend"]) for each in day["customers"]] == [("c", 7e-09)]
    (key,) = await ok(api.get("/global/spend/report", group_by="api_key", **DAYS))
    assert (key["api_key"], key["model_details"][0]["model"]) == (spent, "gpt-4o")
    by_alias = await ok(api.get("/global/spend/report", group_by="api_key", api_key="mine"))
    assert by_alias == [key]
    assert await ok(api.get("/global/spend/report", team_id="nobody")) == []


async def test_the_greatest_come_first(api: Api, spent: str) -> None:
    """Keys, models, teams, providers, days."""
    (key,) = await ok(api.get("/global/spend/keys"))
    assert (key["api_key"], key["key_alias"]) == (spent, "mine")
    models = await ok(api.get("/global/spend/models", limit=1))
    assert [each["model"] for each in models] == ["gpt-4o"]
    teams = await ok(api.get("/global/spend/teams"))
    assert teams["teams"] == ["Prod Team", "other"]
    assert teams["daily_spend"][0]["Prod Team"] == 3e-06
    (provider,) = await ok(api.get("/global/spend/provider"))
    assert provider["provider"] == "openai"
    assert await ok(api.get("/global/spend/tags")) == {"spend_per_tag": []}
    assert await ok(api.get("/spend/tags")) == []
    (day,) = await ok(api.get("/global/spend/logs", api_key="mine"))
    assert day["date"] == "2027-01-15"


async def test_records_have_pages(api: Api, spent: str) -> None:
    """With their number; what has no page is refused by a sentence."""
    for path in ("/spend/logs/v2", "/spend/logs/ui"):
        found = [await ok(api.get(path, page=page, page_size=2)) for page in (1, 2, 3, 4)]
        assert [len(each["data"]) for each in found] == [2, 2, 1, 0]
        assert {(each["total"], each["total_pages"]) for each in found} == {(5, 3)}
    assert (await api.get("/spend/logs/v2", page=1_000, page_size=50)).status_code == 400
    (large,) = (await ok(api.get("/spend/logs/v2", min_spend=1)))["data"]
    assert large["spend"] > 1
    refused = await api.get("/spend/logs/v2", cache_hit=True)
    assert (refused.status_code, "'cache_hit'" in refused.text) == (400, True)


async def test_teams_of_one_alias_are_summed(api: Api, world: World) -> None:
    """The days add up to the totals."""
    for team, nanousd in (("a", 1_000), ("b", 2_000)):
        await api.post("/team/new", {"team_id": team, "team_alias": "Twins"})
        await world.spend(Scope(ScopeKind.TEAM, team), nanousd)
    found = await ok(api.get("/global/spend/teams"))
    assert found["daily_spend"] == [{"date": "2027-01-15", "Twins": 3e-06}]
    assert found["total_spend_per_team"] == [{"team_id": "Twins", "total_spend": 3e-06}]


async def test_daily_activity_is_broken_down(api: Api, spent: str) -> None:
    """Totals are of all days; an ordinary key sees its own."""
    found = await ok(api.get("/user/daily/activity", **DAYS))
    (day,) = found["results"]
    assert day["metrics"]["api_requests"] == 5
    assert day["breakdown"]["models"]["gpt-4o"]["metrics"]["api_requests"] == 4
    assert day["breakdown"]["api_keys"][spent]["metadata"]["key_alias"] == "mine"
    assert day["breakdown"]["entities"]["t"]["metrics"]["spend"] == 3e-06
    assert found["metadata"]["total_api_requests"] == 5
    assert (found["metadata"]["has_more"], found["metadata"]["total_pages"]) == (False, 1)
    of_user = await ok(api.get("/user/daily/activity", user_id="u", **DAYS))
    assert of_user["metadata"]["total_spend"] == 1.1e-08
    made = await api.made()
    own = await ok(api.get("/user/daily/activity", by=made["key"], **DAYS))
    assert own["results"] == []
    of_team = await ok(api.get("/team/daily/activity", team_ids="t", **DAYS))
    assert of_team["metadata"]["total_api_requests"] == 1


async def test_an_ordinary_key_sees_no_report(api: Api) -> None:
    """What others spend is the administrators' to see."""
    made = await api.made()
    for path in ("/global/spend/report", "/global/spend/keys", "/spend/export", "/spend/sums"):
        assert (await api.get(path, by=made["key"])).status_code == 401


async def test_an_export_is_exact(api: Api, world: World, spent: str) -> None:
    """Its rows sum up to the ledger, beyond what a double holds."""
    charged = sum(each.cost_nanousd for each in world.counters.ledger)
    text = (await api.get("/spend/export", **DAYS)).text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert tuple(rows[0]) == DAILY_COLUMNS
    assert sum(int(row["nanousd"]) for row in rows) == charged
    assert sum(Decimal(row["usd"]) for row in rows) == Decimal(charged) / 10**9
    assert {row["team_alias"] for row in rows} == {"", "Prod Team"}


async def test_focus_has_its_columns_and_the_ledgers_sum(
    api: Api, world: World, spent: str
) -> None:
    """FOCUS 1.2: 57 columns, and one of ours."""
    charged = sum(each.cost_nanousd for each in world.counters.ledger)
    answer = await api.get("/spend/export", format="focus", **DAYS)
    assert "focus.csv" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert tuple(rows[0]) == FOCUS_COLUMNS
    later = {"ServiceProviderName", "HostProviderName"}  # of 1.3
    assert len([each for each in FOCUS_COLUMNS if not each.startswith("x_")]) == 57 + len(later)
    assert later < set(FOCUS_COLUMNS)
    assert sum(Decimal(row["BilledCost"]) for row in rows) == Decimal(charged) / 10**9
    assert sum(int(row["x_TollgateNanoUsd"]) for row in rows) == charged
    row = rows[0]
    assert (row["ChargePeriodStart"], row["BillingPeriodEnd"]) == (
        "2027-01-15T00:00:00Z",
        "2027-02-01T00:00:00Z",
    )
    for name in MANDATORY:
        assert all(each[name] for each in rows), name


MANDATORY = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeDescription",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
)
"""Columns that may not be empty in rows of usage."""


async def test_parquet_holds_the_same(
    api: Api, world: World, spent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dollars as decimals; without its library the answer names the extra."""
    answer = await api.get("/spend/export", format="parquet", **DAYS)
    table = parquet.read_table(io.BytesIO(answer.content))
    assert tuple(table.column_names) == DAILY_COLUMNS
    charged = sum(each.cost_nanousd for each in world.counters.ledger)
    assert sum(table["nanousd"].to_pylist()) == charged
    assert sum(table["usd"].to_pylist()) == Decimal(charged) / 10**9
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    refused = await api.get("/spend/export", format="parquet", **DAYS)
    assert (refused.status_code, "envoy-tollgate[parquet]" in refused.text) == (400, True)
