"""Customers and budgets over HTTP."""

from __future__ import annotations

import pytest
from tests.unit.management_fixtures import Api, World, error_of, ok

from tollgate.core.limits.accounts import Scope, ScopeKind


async def test_the_pages_customer_has_the_limits_of_its_budget(api: Api) -> None:
    """free-tier and palantir."""
    budget = await ok(api.post("/budget/new", {"budget_id": "free-tier", "tpm_limit": 5}))
    customer = await ok(
        api.post("/customer/new", {"user_id": "palantir", "budget_id": "free-tier"})
    )
    assert (budget["budget_id"], budget["tpm_limit"]) == ("free-tier", 5)
    assert (customer["budget_id"], customer["litellm_budget_table"]["tpm_limit"]) == (
        "free-tier",
        5,
    )
    assert customer["tpm_limit"] is None


@pytest.mark.parametrize("path", ["/customer/new", "/key/generate"])
async def test_a_budget_that_does_not_exist_is_not_given(api: Api, path: str) -> None:
    """A misspelt budget would be no limit at all."""
    body = (
        {"budget_id": "free-teir"}
        if path == "/key/generate"
        else {"user_id": "c", "budget_id": "free-teir"}
    )
    answer = await api.post(path, body)
    assert (answer.status_code, error_of(answer)["param"]) == (400, "budget_id")


async def test_a_customer_is_registered_once(api: Api) -> None:
    """In LiteLLM's words."""
    await ok(api.post("/customer/new", {"user_id": "c"}))
    answer = await api.post("/customer/new", {"user_id": "c"})
    assert answer.status_code == 400
    assert (
        error_of(answer)["message"]
        == "Customer already exists, passed user_id=c. Please pass a new user_id."
    )


async def test_a_customer_is_changed_shown_listed_and_deleted(api: Api, world: World) -> None:
    """The life of a customer, under either name."""
    await ok(api.post("/end_user/new", {"user_id": "c", "max_budget": 1, "alias": "Big"}))
    await ok(api.post("/customer/update", {"user_id": "c", "alias": None, "rpm_limit": 2}))
    await world.spend(Scope(ScopeKind.CUSTOMER, "c"), 500_000_000)
    shown = await ok(api.get("/end_user/info", end_user_id="c"))
    assert [shown[name] for name in ("alias", "max_budget", "rpm_limit", "spend")] == [
        None,
        1.0,
        2,
        0.5,
    ]
    assert [each["user_id"] for each in await ok(api.get("/customer/list", search="C"))] == ["c"]
    assert await ok(api.post("/customer/delete", {"user_ids": ["c"]})) == {
        "deleted_customers": 1,
        "message": "Successfully deleted customers with ids: ['c']",
    }


async def test_a_customer_whom_nobody_registered_can_be_blocked(api: Api) -> None:
    """Blocking registers; unblocking undoes the block, and not the registration."""
    blocked = await ok(api.post("/customer/block", {"user_ids": ["c"]}))
    unblocked = await ok(api.post("/customer/unblock", {"user_ids": ["c"]}))
    shown = [each["blocked_users"][0]["blocked"] for each in (blocked, unblocked)]
    assert shown == [True, False]


async def test_a_budget_is_changed_shown_listed_and_deleted(api: Api) -> None:
    """The life of a budget; those that do not exist are left out of an answer about several."""
    made = await ok(
        api.post("/budget/new", {"max_budget": 1, "budget_duration": "30d", "soft_budget": 0.5})
    )
    name = made["budget_id"]
    assert made["budget_reset_at"] == "2027-02-14T08:00:00+00:00"
    await ok(api.post("/budget/update", {"budget_id": name, "max_budget": 2}))
    shown = await ok(api.post("/budget/info", {"budgets": [name, "none"]}))
    assert [(each["budget_id"], each["max_budget"], each["soft_budget"]) for each in shown] == [
        (name, 2.0, 0.5)
    ]
    assert len(await ok(api.get("/budget/list"))) == 1
    assert (await ok(api.post("/budget/delete", {"id": name})))["budget_id"] == name
    assert await ok(api.get("/budget/list")) == []


async def test_a_budget_in_use_is_not_deleted(api: Api) -> None:
    """409 names who uses it, a few of each kind; nobody loses their limits."""
    await ok(api.post("/budget/new", {"budget_id": "b", "tpm_limit": 5}))
    await ok(api.post("/key/generate", {"budget_id": "b", "key_alias": "mine"}))
    for name in "abcdefg":
        await ok(api.post("/customer/new", {"user_id": name, "budget_id": "b"}))
    answer = await api.post("/budget/delete", {"id": "b"})
    assert (answer.status_code, error_of(answer)["type"]) == (409, "conflict_error")
    assert (
        error_of(answer)["message"]
        == "Budget b is in use by key mine, customer g, customer f, customer e, customer d,"
        " customer c and 2 more. Give them another one first."
    )


async def test_a_budget_exists_once_and_is_named_to_be_changed(api: Api) -> None:
    """400s of LiteLLM's."""
    await ok(api.post("/budget/new", {"budget_id": "b"}))
    answers = [
        await api.post("/budget/new", {"budget_id": "b"}),
        await api.post("/budget/update", {"max_budget": 1}),
        await api.post("/budget/info", {"budgets": []}),
    ]
    assert [(answer.status_code, error_of(answer)["message"]) for answer in answers] == [
        (400, "Budget with id 'b' already exists."),
        (400, "budget_id is required"),
        (400, "Specify list of budget id's to query. Passed in=[]"),
    ]
