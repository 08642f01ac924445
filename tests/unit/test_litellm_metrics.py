"""LiteLLM's names of metrics: what its dashboards ask for, from settlements to series."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs
from prometheus_client import REGISTRY
from pydantic import ValidationError
from tests.fakes import FixedClock, MemoryCounters
from tests.make import DOLLAR, account_of, reservation
from tests.unit.memory_registry import MemoryRegistry

from tollgate.adapters.metric_files import SharedLabelNames
from tollgate.core.calls.reservation import Settlement
from tollgate.core.calls.usage import Usage
from tollgate.core.entities import Key, Team
from tollgate.core.limits.accounts import Account, Period, Scope, ScopeKind
from tollgate.ports import Write
from tollgate.reporting.measuring.litellm_counts import LABELS_OF, LitellmCounts
from tollgate.reporting.measuring.scope_labels import ScopeNames
from tollgate.settings.edge_settings import MetricsSettings

HOUR_US = 3_600_000_000


class Told:
    """Counts over memory, and the series that they make."""

    def __init__(self, folder: Path, registry: MemoryRegistry, most: int) -> None:
        self.clock = FixedClock()
        self.counters = MemoryCounters(self.clock)
        book = SharedLabelNames(folder, {LABELS_OF: most})
        self.counts = LitellmCounts(ScopeNames(registry), book, self.counters, self.clock)

    async def call(self, key: str, *accounts: Account, nanousd: int = DOLLAR) -> None:
        """Settle a call of a key, which belongs to the accounts too."""
        limited = sorted((*accounts, Account(Scope(ScopeKind.KEY, key))), key=_limits_last)
        asked = structs.replace(reservation("r", *limited), cost_nanousd=nanousd)
        await self.counters.reserve(asked)
        settlement = Settlement(Usage(5, 7), nanousd, 200, "test")
        await self.counters.settle(asked, settlement)
        self.counts.settled(asked, settlement)


def _limits_last(account: Account) -> bool:
    return not account.limits


def series(name: str, **labels: str) -> list[float]:
    """The values of a metric where it has these labels."""
    return [
        each.value
        for family in REGISTRY.collect()
        for each in family.samples
        if each.name == name and labels.items() <= each.labels.items()
    ]


async def told(folder: Path, *entities: Key | Team, most: int = 100) -> Told:
    registry = MemoryRegistry()
    for each in entities:
        await registry.write(Write(None, each))
    return Told(folder, registry, most)


async def test_calls_are_told_by_litellms_names(tmp_path: Path) -> None:
    """With its labels: hash and alias of the key, id and alias of the team."""
    metrics = await told(tmp_path, Team("lt-1", alias="ops"), Key("lk-1", "sk-...1", alias="ci"))
    for _ in range(2):
        await metrics.call("lk-1", Account(Scope(ScopeKind.TEAM, "lt-1")))
    metrics.counts.refused(["team:lt-1", "key:lk-1"], "gpt-4o", 429)
    await metrics.counts.publish()
    await metrics.counts.publish()
    who = {"hashed_api_key": "lk-1", "api_key_alias": "ci", "team": "lt-1", "team_alias": "ops"}
    call = {**who, "model": "gpt-4o", "requested_model": "gpt-4o", "model_id": "gpt-4o"}
    assert series("litellm_spend_metric_total", **call) == [2.0]
    assert series("litellm_input_tokens_metric_total", **call) == [10.0]
    assert series("litellm_output_tokens_metric_total", **call) == [14.0]
    assert series("litellm_total_tokens_metric_total", **call) == [24.0]
    assert series("litellm_requests_metric_total", **call) == [2.0]
    asked = {**who, "requested_model": "gpt-4o"}
    every = "litellm_proxy_total_requests_metric_total"
    assert series(every, **asked, status_code="200") == [2.0]
    assert series(every, **asked, status_code="429") == [1.0]
    failed = "litellm_proxy_failed_requests_metric_total"
    assert series(failed, **asked, exception_status="429") == [1.0]
    assert series(failed, **asked, exception_status="200") == []


async def test_budgets_are_told_with_what_remains(tmp_path: Path) -> None:
    """Of key, team, user and organization; another budget of the scope is not the budget."""
    metrics = await told(tmp_path, Team("lt-2", alias="ops"))
    period = Period(0, metrics.clock.us, metrics.clock.us + 6 * HOUR_US)
    team = account_of(Scope(ScopeKind.TEAM, "lt-2"), budget_nanousd=10 * DOLLAR, period=period)
    user = account_of(Scope(ScopeKind.USER, "lu-2"), budget_nanousd=3 * DOLLAR)
    await metrics.call("lk-2", team, user, nanousd=4 * DOLLAR)
    await metrics.counts.publish()
    labels = {"team": "lt-2", "team_alias": "ops"}
    assert series("litellm_remaining_team_budget_metric", **labels) == [6.0]
    assert series("litellm_team_max_budget_metric", **labels) == [10.0]
    assert series("litellm_team_budget_remaining_hours_metric", **labels) == [6.0]
    assert series("litellm_remaining_user_budget_metric", user="lu-2") == [0.0]
    assert series("litellm_user_budget_remaining_hours_metric", user="lu-2") == []


async def test_there_are_no_more_series_than_the_setting_allows(tmp_path: Path) -> None:
    """Keys beyond it share one."""
    metrics = await told(tmp_path, most=1)
    for key in ("lk-3", "lk-4", "lk-5"):
        await metrics.call(key)
    await metrics.counts.publish()
    assert series("litellm_requests_metric_total", hashed_api_key="lk-3") == [1.0]
    assert series("litellm_requests_metric_total", hashed_api_key="lk-4") == []
    assert series("litellm_requests_metric_total", hashed_api_key="other") == [2.0]


def test_the_setting_has_a_short_form() -> None:
    """`metrics: litellm`; no other word stands for the section."""
    assert MetricsSettings.model_validate("litellm").litellm == 1000
    assert MetricsSettings().litellm == 0
    with pytest.raises(ValidationError):
        MetricsSettings.model_validate("prometheus")
