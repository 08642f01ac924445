"""The budget that the configuration gives to customers by its id (`max_end_user_budget_id`)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.desk import Desk, admission, chat, refusal
from tests.make import DOLLAR, limit_set
from tests.unit.settings.config_texts import ONE, about, read

from tollgate.app.base import terms
from tollgate.commands.printing.report import describe
from tollgate.core.calls.reservation import Reservation
from tollgate.core.entities import Budget, Customer, ModelLimits
from tollgate.core.limits.accounts import Account, ScopeKind
from tollgate.core.limits.limit import Forever, Limit, Meter

FREE_TIER = Budget(
    "free-tier",
    limit_set(rpm=2, max_budget_nanousd=DOLLAR, budget_duration="1d"),
    (ModelLimits("gpt-*", limit_set(rpm=1)),),
)


def desk_of(budget: Budget | None = FREE_TIER) -> Desk:
    desk = Desk()
    desk.people.generation = 0
    if budget is not None:
        desk.people.budgets["free-tier"] = budget
    desk.terms = desk.with_policy(customer_budget_id="free-tier")
    return desk


def accounts_of_customer(call: Reservation | None) -> list[Account]:
    assert call is not None
    return [each for each in call.accounts if each.scope.kind == ScopeKind.CUSTOMER]


@pytest.mark.parametrize("registered", [False, True])
async def test_each_customer_has_the_limits_of_the_budget(registered: bool) -> None:
    """Also for single models; each counts for itself."""
    desk = desk_of()
    if registered:
        desk.people.customers["ann"] = Customer("ann")
    for customer in ("ann", "bob"):
        admission(await desk.ask(chat(user=customer)))
        status, body, _ = refusal(await desk.ask(chat(user=customer)))
        assert status == 429
        assert f"customer {customer} for model gpt-*" in body["error"]["message"]
        admission(await desk.ask(chat(user=customer, model="fast")))
        status, body, _ = refusal(await desk.ask(chat(user=customer, model="fast")))
        assert f"customer {customer} on requests" in body["error"]["message"]
    admission(await desk.ask(chat()))


async def test_a_customers_own_limits_come_first() -> None:
    """The budget gives those that are missing, before the limits of the configuration."""
    desk = desk_of()
    desk.terms = desk.with_policy(customer=limit_set(tpm=7, rpm=9))
    desk.people.customers["ann"] = Customer("ann", limits=limit_set(rpm=5))
    passed = admission(await desk.ask(chat(user="ann")))
    whole, *_ = accounts_of_customer(passed.reservation)
    assert [each.amount for each in whole.limits] == [5, 7, DOLLAR]


async def test_a_change_of_the_budget_holds_at_once() -> None:
    """As workers hear of it."""
    desk = desk_of()
    admission(await desk.ask(chat(user="ann")))
    desk.people.budgets["free-tier"] = replace(FREE_TIER, model_limits=())
    desk.people.generation = 1
    admission(await desk.ask(chat(user="ann")))


async def test_a_budget_that_is_missing_refuses_calls_of_customers_alone() -> None:
    """They would have no limit; who names no customer is not concerned."""
    desk = desk_of(None)
    status, body, _ = refusal(await desk.ask(chat(user="ann")))
    assert (status, body["error"]["code"]) == (503, "customer_budget_missing")
    assert "'free-tier', which does not exist" in body["error"]["message"]
    admission(await desk.ask(chat()))


@pytest.mark.parametrize("forever", [False, True])
async def test_idle_customers_are_remembered_as_long_as_the_budget_counts(forever: bool) -> None:
    """Or else a limit that counts for ever would be forgotten."""
    limits = limit_set(Limit(Meter.REQUESTS, 9, Forever())) if forever else FREE_TIER.limits
    desk = desk_of(replace(FREE_TIER, limits=limits))
    passed = admission(await desk.ask(chat(user="ann")))
    kept = [each.remember_ms > 0 for each in accounts_of_customer(passed.reservation)]
    assert kept == [not forever] * 2


def test_the_files_of_litellm_name_it(tmp_path: Path) -> None:
    """It restricts calls, so it is no setting to be ignored."""
    found = read(tmp_path, ONE + "litellm_settings: {max_end_user_budget_id: free-tier}")
    assert terms(found).policy.customer_budget_id == "free-tier"
    assert about(found, "max_end_user_budget_id") == []
    assert any("the budget free-tier for each customer" in line for line in describe(found, {}))
