"""Exports of what was used: rows a day, and the columns of FOCUS 1.2.

FOCUS, the FinOps Open Cost and Usage Specification: https://focus.finops.org/focus-specification/
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from tollgate.ports.history_ports import Group, PartsRow, UsageRow

DAILY_GROUPS = (
    Group.DAY,
    Group.ORGANIZATION,
    Group.KEY,
    Group.TEAM,
    Group.USER,
    Group.MODEL,
    Group.DEPLOYMENT,
)
"""What a row of a plain export is for."""

DAILY_COLUMNS = (
    "day",
    "organization",
    "key",
    "key_alias",
    "team",
    "team_alias",
    "user",
    "model",
    "deployment",
    "provider",
    "provider_model",
    "requests",
    "failures",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "nanousd",
    "unsure_nanousd",
    "unpriced",
    "usd",
)
"""Columns of a plain export; `usd` is `nanousd` in dollars, exactly."""

FOCUS_COLUMNS = (
    "AvailabilityZone",
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingAccountType",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "CapacityReservationId",
    "CapacityReservationStatus",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "CommitmentDiscountCategory",
    "CommitmentDiscountId",
    "CommitmentDiscountName",
    "CommitmentDiscountQuantity",
    "CommitmentDiscountStatus",
    "CommitmentDiscountType",
    "CommitmentDiscountUnit",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "HostProviderName",
    "InvoiceId",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingCurrency",
    "PricingCurrencyContractedUnitPrice",
    "PricingCurrencyEffectiveCost",
    "PricingCurrencyListUnitPrice",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "ServiceProviderName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceDetails",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "SubAccountType",
    "Tags",
    "x_TollgateNanoUsd",
)
"""The columns of FOCUS 1.2, those two that 1.3 puts in the place of ProviderName and PublisherName
and that 1.4 has alone, and the cost as a whole number.

The other columns of 1.3 and 1.4 are of allocated costs, contracts and commitments.
"""

_PROVIDER_COLUMNS = (
    "ProviderName",
    "PublisherName",
    "ServiceProviderName",
    "HostProviderName",
    "InvoiceIssuerName",
)
_NANO_PER_DOLLAR = 10**9
_PRICE_DIGITS = Decimal(1).scaleb(-15)
# Kinds of a bill that are no tokens, each with its unit.
_UNITS = {
    "search": "searches",
    "map_search": "searches",
    "file_search": "searches",
    "source": "sources",
    "code_container": "containers",
    "image": "images",
    "page": "pages",
    "audio_second": "seconds",
    "character": "characters",
    "request": "requests",
    "unspecified": "charges",
}

Cell = str | int | Decimal | None
"""A value of an export; None is empty."""


@dataclass(frozen=True, slots=True)
class ExportNames:
    """How keys and teams are called, and which provider and model a deployment is of."""

    keys: Mapping[str, str] = field(default_factory=dict)
    teams: Mapping[str, str] = field(default_factory=dict)
    provider_of: Callable[[str], str] = str
    model_of: Callable[[str], str] = str


def dollars_of_nano(nanousd: int) -> Decimal:
    """Return nano-dollars in dollars, exactly."""
    return Decimal(nanousd) / _NANO_PER_DOLLAR


def daily_cells(rows: Sequence[UsageRow], names: ExportNames) -> Iterator[tuple[Cell, ...]]:
    """Return the rows of a plain export, in the order of DAILY_COLUMNS, the oldest first."""
    for row in sorted(rows, key=lambda each: each.groups):
        day, organization, key, team, user, model, deployment = row.groups
        callers = (key, names.keys.get(key, ""), team, names.teams.get(team, ""), user)
        called = (model, deployment, names.provider_of(deployment), names.model_of(deployment))
        dollars = dollars_of_nano(row.sums.nanousd)
        yield (day, organization, *callers, *called, *row.sums.amounts(), dollars)


def focus_cells(rows: Sequence[PartsRow], names: ExportNames) -> Iterator[tuple[Cell, ...]]:
    """Return rows in the order of FOCUS_COLUMNS: one a day, caller, model and kind of unit.

    Dollars are exact, so their sum is what was charged. Unit prices are the mean of the row, since
    prices may change within a day.
    """
    for row in rows:
        cells = _focus_row(row, names)
        yield tuple(cells.get(name) for name in FOCUS_COLUMNS)


def unit_of(kind: str) -> str:
    """Return the unit of a kind of a bill; kinds of a pass are `PASS.KIND`."""
    return _UNITS.get(kind.rpartition(".")[2], "tokens")


def _focus_row(row: PartsRow, names: ExportNames) -> dict[str, Cell]:
    day = date(1970, 1, 1) + timedelta(days=row.day)
    month = day.replace(day=1)
    next_month = (month + timedelta(days=31)).replace(day=1)
    cost, unit = dollars_of_nano(row.nanousd), unit_of(row.kind)
    price = (cost / row.units).quantize(_PRICE_DIGITS) if row.units else Decimal(0)
    provider = names.provider_of(row.deployment)
    team = names.teams.get(row.team, row.team)
    tags = {
        "tollgate_key": row.key,
        "tollgate_key_alias": names.keys.get(row.key, ""),
        "tollgate_user": row.user,
    }
    return {
        "BilledCost": cost,
        "EffectiveCost": cost,
        "ListCost": cost,
        "ContractedCost": cost,
        "PricingCurrencyEffectiveCost": cost,
        "ListUnitPrice": price,
        "ContractedUnitPrice": price,
        "PricingCurrencyListUnitPrice": price,
        "PricingCurrencyContractedUnitPrice": price,
        "BillingCurrency": "USD",
        "PricingCurrency": "USD",
        "BillingAccountId": row.organization,
        "BillingAccountName": row.organization,
        "BillingAccountType": "Organization",
        "SubAccountId": row.team or None,
        "SubAccountName": team or None,
        "SubAccountType": "Team" if row.team else None,
        "BillingPeriodStart": _moment(month),
        "BillingPeriodEnd": _moment(next_month),
        "ChargePeriodStart": _moment(day),
        "ChargePeriodEnd": _moment(day + timedelta(days=1)),
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        "ChargeDescription": f"{row.model}, {row.kind}",
        "ConsumedQuantity": row.units,
        "ConsumedUnit": unit,
        "PricingQuantity": row.units,
        "PricingUnit": unit,
        "PricingCategory": "Standard",
        **dict.fromkeys(_PROVIDER_COLUMNS, provider),
        "ResourceId": row.deployment,
        "ResourceName": row.deployment,
        "ResourceType": "Model deployment",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceSubcategory": "Generative AI",
        "ServiceName": f"{provider} models",
        "SkuId": row.model,
        "SkuMeter": row.kind,
        "SkuPriceId": f"{row.model}/{row.kind}",
        "SkuPriceDetails": json.dumps({"x_Kind": row.kind}),
        "Tags": json.dumps({name: value for name, value in tags.items() if value}),
        "x_TollgateNanoUsd": row.nanousd,
    }


def _moment(day: date) -> str:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
