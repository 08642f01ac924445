"""Reports of spend, in the shapes of LiteLLM.

LiteLLM's paths and fields: https://docs.litellm.ai/docs/proxy/cost_tracking
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from tollgate.adapters.http_api.wire.parts.base import ResponseBody
from tollgate.core.calls.ledger_sums import LedgerSums
from tollgate.core.money.dollars import dollars_of
from tollgate.ports.history_ports import UsageRow

_Dollars = Annotated[float, Field(description="Dollars charged.", examples=[0.0015])]
_Tokens = Annotated[int, Field(description="Input and output tokens.", examples=[1200])]
_Model = Annotated[str, Field(description="The model, as calls name it.", examples=["gpt-4o"])]
_Key = Annotated[str, Field(description="The key's hash.", examples=["88dc28d0f030"])]
_Day = Annotated[str, Field(description="A day of UTC.", examples=["2026-11-27"])]


class ModelSpend(ResponseBody):
    """What one key spent on one model."""

    model: _Model
    spend: _Dollars
    total_tokens: _Tokens
    api_key: _Key | None


class TeamSpend(ResponseBody):
    """What one team spent on a day."""

    team_name: str = Field(description="The team's alias, else its id.", examples=["Prod Team"])
    total_spend: _Dollars
    metadata: list[ModelSpend] = Field(
        description="The same by key and model.", examples=[[{"model": "gpt-4o", "spend": 0.1}]]
    )


class TeamsOfDay(ResponseBody):
    """What teams spent on a day."""

    group_by_day: _Day
    teams: list[TeamSpend] = Field(
        description="Each team that was charged.", examples=[[{"team_name": "Prod Team"}]]
    )


class CustomerSpend(ResponseBody):
    """What one customer spent on a day."""

    customer: str = Field(description="The customer's id.", examples=["palantir"])
    total_spend: _Dollars
    metadata: list[ModelSpend] = Field(
        description="The same by model.", examples=[[{"model": "gpt-4o", "spend": 0.1}]]
    )


class CustomersOfDay(ResponseBody):
    """What customers spent on a day."""

    group_by_day: _Day
    customers: list[CustomerSpend] = Field(
        description="Each customer that was charged.", examples=[[{"customer": "palantir"}]]
    )


class ModelTotal(ResponseBody):
    """What a key used of one model."""

    model: _Model
    total_cost: _Dollars
    total_input_tokens: int = Field(description="Input tokens.", examples=[1000])
    total_output_tokens: int = Field(description="Output tokens.", examples=[200])


class KeyTotal(ResponseBody):
    """What a key used in all the days of a report."""

    api_key: _Key
    total_cost: _Dollars
    total_input_tokens: int = Field(description="Input tokens.", examples=[1000])
    total_output_tokens: int = Field(description="Output tokens.", examples=[200])
    model_details: list[ModelTotal] = Field(
        description="The same by model.", examples=[[{"model": "gpt-4o", "total_cost": 0.1}]]
    )


def teams_by_day(rows: Sequence[UsageRow], names: Mapping[str, str]) -> list[TeamsOfDay]:
    """Return rows by day, team, model and key."""
    return [
        TeamsOfDay(
            group_by_day=day,
            teams=[
                TeamSpend(
                    team_name=names.get(team, team),
                    total_spend=_spent(of_team),
                    metadata=[
                        _model_spend(each.groups[2], each.groups[3], each.sums) for each in of_team
                    ],
                )
                for team, of_team in _parts(of_day, 1)
                if team
            ],
        )
        for day, of_day in _parts(rows, 0)
    ]


def customers_by_day(rows: Sequence[UsageRow]) -> list[CustomersOfDay]:
    """Return rows by day, customer and model."""
    return [
        CustomersOfDay(
            group_by_day=day,
            customers=[
                CustomerSpend(
                    customer=customer,
                    total_spend=_spent(of_customer),
                    metadata=[
                        _model_spend(each.groups[2], None, each.sums) for each in of_customer
                    ],
                )
                for customer, of_customer in _parts(of_day, 1)
                if customer
            ],
        )
        for day, of_day in _parts(rows, 0)
    ]


def keys_in_all(rows: Sequence[UsageRow]) -> list[KeyTotal]:
    """Return rows by key and model."""
    found = []
    for key, of_key in _parts(rows, 0):
        total = _total(of_key)
        details = [
            ModelTotal(
                model=each.groups[1],
                total_cost=dollars_of(each.sums.nanousd),
                total_input_tokens=each.sums.input_tokens,
                total_output_tokens=each.sums.output_tokens,
            )
            for each in of_key
        ]
        if key:
            found.append(
                KeyTotal(
                    api_key=key,
                    total_cost=dollars_of(total.nanousd),
                    total_input_tokens=total.input_tokens,
                    total_output_tokens=total.output_tokens,
                    model_details=details,
                )
            )
    return found


def activity(
    rows: Sequence[UsageRow],
    page: int,
    page_size: int,
    key_names: Mapping[str, str],
    provider_of: Callable[[str], str],
) -> dict[str, Any]:
    """Return a part of the days of rows by day, key, model, deployment and team.

    Totals are of all days.
    """
    days = _parts(rows, 0)[::-1]
    shown = days[(page - 1) * page_size : page * page_size]
    pages = max(1, -(-len(days) // page_size))
    whole = _metrics(_total(rows))
    more = {"page": page, "total_pages": pages, "has_more": page < pages}
    return {
        "results": [_activity_day(day, of_day, key_names, provider_of) for day, of_day in shown],
        "metadata": {f"total_{_of_all(name)}": value for name, value in whole.items()} | more,
    }


def _of_all(name: str) -> str:
    return name.removeprefix("total_")


def _activity_day(
    day: str,
    rows: Sequence[UsageRow],
    key_names: Mapping[str, str],
    provider_of: Callable[[str], str],
) -> dict[str, Any]:
    def broken(place: int, name: Callable[[str], str] = str) -> dict[str, Any]:
        groups: dict[str, list[UsageRow]] = {}
        for row in rows:
            if row.groups[place]:
                groups.setdefault(name(row.groups[place]), []).append(row)
        return {
            each: {
                "metrics": _metrics(_total(found)),
                "metadata": {},
                "api_key_breakdown": {
                    key: {
                        "metrics": _metrics(_total(of_key)),
                        "metadata": {"key_alias": key_names.get(key)},
                    }
                    for key, of_key in _parts(found, 1)
                    if key
                },
            }
            for each, found in sorted(groups.items())
        }

    keys = {
        key: {
            "metrics": _metrics(_total(of_key)),
            "metadata": {
                "key_alias": key_names.get(key),
                "team_id": next((each.groups[4] for each in of_key if each.groups[4]), None),
            },
        }
        for key, of_key in _parts(rows, 1)
        if key
    }
    breakdown = {
        "models": broken(2),
        "model_groups": broken(2),
        "providers": broken(3, provider_of),
        "endpoints": {},
        "api_keys": keys,
        "entities": broken(4),
        "mcp_servers": {},
    }
    return {"date": day, "metrics": _metrics(_total(rows)), "breakdown": breakdown}


def _metrics(sums: LedgerSums) -> dict[str, Any]:
    return {
        "spend": dollars_of(sums.nanousd),
        "prompt_tokens": sums.input_tokens,
        "completion_tokens": sums.output_tokens,
        "cache_read_input_tokens": sums.cache_read_tokens,
        "cache_creation_input_tokens": sums.cache_write_tokens,
        "total_tokens": sums.input_tokens + sums.output_tokens,
        "successful_requests": sums.requests - sums.failures,
        "failed_requests": sums.failures,
        "api_requests": sums.requests,
    }


def _model_spend(model: str, key: str | None, sums: LedgerSums) -> ModelSpend:
    return ModelSpend(
        model=model,
        spend=dollars_of(sums.nanousd),
        total_tokens=sums.input_tokens + sums.output_tokens,
        api_key=key,
    )


def _parts(rows: Iterable[UsageRow], place: int) -> list[tuple[str, list[UsageRow]]]:
    """Return the rows by one of their groups, in its order."""
    groups: dict[str, list[UsageRow]] = {}
    for row in sorted(rows, key=lambda each: each.groups):
        groups.setdefault(row.groups[place], []).append(row)
    return sorted(groups.items())


def _total(rows: Iterable[UsageRow]) -> LedgerSums:
    total = LedgerSums()
    for row in rows:
        total.add_sums(row.sums)
    return total


def _spent(rows: Iterable[UsageRow]) -> float:
    return dollars_of(_total(rows).nanousd)
