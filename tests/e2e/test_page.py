"""The page, from top to bottom: each command as it prints it, each outcome that it promises.

Where the page's own text cannot work (it is not JSON, a header is misspelt), it is sent once as
printed, to be told what is wrong and where, and once mended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from tests.e2e import page_commands as page
from tests.e2e.gateway import MASTER, Gateway, bearer, gateway
from tests.e2e.page_answers import key_answer, team_answer
from tests.e2e.page_gateway import MODES, main
from tests.e2e.page_shell import (
    CUSTOMER_CONFIG,
    PROXY_CONFIG,
    curl,
    limited,
    moment,
    told,
)

from tollgate.core.answers.wording import WHAT_HELPS

__all__ = ["main"]

TEAM_ID = "e8d1460f-846c-45d7-9b43-55f3cc52ac32"
UNQUOTED = ("10s", '"10s"')
COMMENT, KEY_CHANGE = (" # [OPTIONAL]", ""), (" # 👈 KEY CHANGE", "")


@pytest_asyncio.fixture(scope="module", params=MODES)
async def customers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """The page's gateway with `max_end_user_budget`."""
    async with gateway(
        tmp_path_factory.mktemp("customers"), CUSTOMER_CONFIG, "--mode", request.param
    ) as running:
        yield running


# Set Budgets. Apply a budget across all calls on the proxy


@pytest.mark.parametrize("mode", MODES)
async def test_a_proxy_budget_of_0_is_0_dollars(tmp_path: Path, mode: str) -> None:
    """`max_budget: 0` lets nothing pass, not even for the master key, whatever the body holds: it
    is not looked at.
    """
    async with gateway(tmp_path, PROXY_CONFIG, "--mode", mode) as proxy:
        misspelt = await curl(proxy, page.PROXY_BUDGET)
        assert misspelt.status_code == 401
        assert "'autherization' carries a Bearer token; its name must be 'Authorization'" in told(
            misspelt
        )
        header = ("Autherization", "Authorization")
        no_json = await curl(proxy, page.PROXY_BUDGET, header)
        refused = await curl(proxy, page.PROXY_BUDGET, header, ("],\n}'", "]\n}'"))
        assert no_json.status_code == refused.status_code == 401
        assert told(no_json).startswith("Budget has been exceeded: the proxy")
        assert told(refused).startswith(
            "Budget has been exceeded: the proxy has exceeded its budget. Current spend: 0.0; Max"
            " Budget: 0.0; reset at "
        )
        assert 0 < int(refused.headers["retry-after"]) <= 30 * 86_400
        key = await proxy.key()
        assert [(await proxy.chat(key, model="gpt-4")).status_code for _ in range(2)] == [401, 401]


async def test_the_comma_of_the_pages_call_is_told_where_there_is_money_left(main: Gateway) -> None:
    """A body is looked at once something may pass; the answer names the place of the slip."""
    no_json = await curl(main, page.PROXY_BUDGET, ("Autherization", "Authorization"))
    assert no_json.status_code == 400
    assert "trailing comma in object (byte 139)" in told(no_json)


# Add budgets to teams


async def test_a_new_team_is_answered_as_the_page_prints_it(main: Gateway) -> None:
    """Every field in the page's order, each with its null."""
    reply = await curl(main, page.TEAM)
    team = reply.json()
    assert list(team.items()) == team_answer(team["team_id"])
    assert list(team["members_with_roles"][0]) == ["role", "user_id"]
    used = await main.chat(await main.key(team_id=team["team_id"]), model="gpt-4")
    assert (
        used.headers["x-ratelimit-limit-requests"],
        used.headers["x-ratelimit-remaining-requests"],
    ) == ("99", "98")


async def test_a_team_has_a_budget_duration(main: Gateway) -> None:
    """Unquoted it is no JSON; quoted, the budget is reset ten seconds from now, exactly."""
    printed = await curl(main, page.TEAM_DURATION)
    assert printed.status_code == 400
    assert "line 4, column 24, near" in told(printed)
    before = datetime.now(UTC)
    team = (await curl(main, page.TEAM_DURATION, UNQUOTED, ('"10s",', '"10s"'))).json()
    assert team["budget_duration"] == "10s"
    assert before <= moment(team["budget_reset_at"]) - timedelta(seconds=10) <= datetime.now(UTC)


async def test_a_team_budget_holds_for_all_its_keys(main: Gateway) -> None:
    """What one key spends is missing to the other; the refusal names the team."""
    team = await main.manage("/team/new", max_budget=0.001)
    one, other = await main.key(team_id=team["team_id"]), await main.key(team_id=team["team_id"])
    assert (await main.chat(one, model="gpt-4")).status_code == 200
    refused = await main.chat(other, model="gpt-4")
    assert refused.status_code == 401
    assert f"team {team['team_id']} has exceeded its budget" in told(refused)


# Add budgets to team members


async def test_a_member_spends_within_the_team_no_more_than_their_budget(main: Gateway) -> None:
    """The page's four steps; the answer of /key/generate to the letter, and the message that the
    page expects.
    """
    assert (await curl(main, page.MEMBER_USER)).json()["user_id"] == "ishaan"
    await main.manage("/team/new", team_id=TEAM_ID)
    added = (await curl(main, page.MEMBER_ADD)).json()
    assert added["members_with_roles"] == [{"role": "user", "user_id": "ishaan"}]
    made = (await curl(main, page.MEMBER_KEY)).json()
    assert list(made.items()) == key_answer(made["key"], "ishaan", TEAM_ID)
    key = ("sk-RV-l2BJEZ_LYNChSx2EueQ", made["key"])
    replies = [await curl(main, page.MEMBER_CHAT, key) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 401, 401]
    assert told(replies[1]).startswith(
        f"ExceededBudget: Crossed spend within team. Member ishaan in {TEAM_ID}, Current spend: "
    )
    assert "Max Budget: 1e-09, never reset." in told(replies[1])
    assert replies[1].headers["x-should-retry"] == "false"
    elsewhere = await main.key(user_id="ishaan")
    assert (await main.chat(elsewhere, model="llama3")).status_code == 200


# Customers: max_end_user_budget


async def test_a_customers_first_call_works_and_the_second_is_over_budget(
    customers: Gateway,
) -> None:
    """Nobody registered them; the error is the page's, field for field, and adds when the budget is
    reset.
    """
    await customers.key(key="sk-zi5onDRdHGD24v0Zdn7VBA")
    first, second = (
        await curl(customers, page.CUSTOMER_CHAT),
        await curl(customers, page.CUSTOMER_CHAT),
    )
    assert (first.status_code, second.status_code) == (200, 401)
    message = (
        "Budget has been exceeded: User ishaan3 has exceeded their budget. "
        f"Current spend: 0.000887; Max Budget: 0.0001; never reset. {WHAT_HELPS}"
    )
    assert second.json() == {
        "error": {"message": message, "type": "auth_error", "param": "None", "code": 401}
    }
    assert list(second.json()["error"]) == ["message", "type", "param", "code"]
    other = await curl(customers, page.CUSTOMER_CHAT, ("ishaan3", "ishaan4"))
    assert other.status_code == 200


async def test_the_master_keys_calls_count_for_a_customer_too(customers: Gateway) -> None:
    """It has no limits of its own; the customer has."""
    codes = [
        (await customers.chat(MASTER, model="azure-gpt-3.5", user="ishaan5")).status_code
        for _ in range(2)
    ]
    assert codes == [200, 401]


# Add budgets to keys


async def test_a_key_has_a_budget(main: Gateway) -> None:
    """The page's comment and trailing comma are told one after the other."""
    printed = await curl(main, page.KEY_BUDGET)
    assert printed.status_code == 400
    assert "line 2, column 28, near" in told(printed)
    comma = await curl(main, page.KEY_BUDGET, COMMENT)
    assert "trailing comma in object at line 4, column 1" in told(comma)
    made = (await curl(main, page.KEY_BUDGET, COMMENT, ("10,\n", "10\n"))).json()
    assert (made["team_id"], made["max_budget"]) == ("core-infra", 10.0)
    assert (await main.info(made["key"]))["max_budget"] == 10.0


async def test_a_key_that_crossed_its_budget_is_refused_as_the_page_shows(main: Gateway) -> None:
    """`detail` tells spend and budget as the page does, and more; `error` says the same to SDKs,
    which show nothing else.
    """
    key = await main.key(max_budget=0.0000002, key_alias="page")
    printed = await curl(main, page.KEY_CHAT, key=key)
    assert printed.status_code == 400
    assert "trailing comma in object" in told(printed)
    mend = ("  ],\n}'", "  ]\n}'")
    assert (await curl(main, page.KEY_CHAT, mend, key=key)).status_code == 200
    spent = await main.spend(key)
    crossed = await curl(main, page.KEY_CHAT, mend, key=key)
    assert crossed.status_code == 401
    message = (
        f"Authentication Error, ExceededTokenBudget: Current spend for token: {spent}; "
        f"Max Budget for Token: 2e-07. Key page, never reset. {WHAT_HELPS}"
    )
    error = {
        "message": message,
        "type": "budget_exceeded",
        "param": None,
        "code": "budget_exceeded",
    }
    assert crossed.json() == {"detail": message, "error": error}


async def test_a_key_has_a_budget_duration(main: Gateway) -> None:
    """Mended, it says when it is reset."""
    assert (await curl(main, page.KEY_DURATION)).status_code == 400
    made = (await curl(main, page.KEY_DURATION, COMMENT, ("10s,", '"10s"'))).json()
    assert made["budget_duration"] == "10s"
    info = await main.info(made["key"])
    assert moment(info["budget_reset_at"]) - moment(info["created_at"]) == timedelta(seconds=10)


# Add budgets to users


async def test_a_users_budget_holds_for_all_their_keys(main: Gateway) -> None:
    """A budget of $0 lets nothing pass, with any key of the user; raised, each key's spend is the
    user's.
    """
    made = (await curl(main, page.USER_BUDGET)).json()
    assert list(made.items()) == [
        ("key", made["key"]),
        ("expires", None),
        ("user_id", "krrish3@berri.ai"),
        ("max_budget", 0.0),
    ]
    other = (await curl(main, page.USER_KEY)).json()
    assert (other["models"], other["user_id"]) == (["azure-models"], "krrish3@berri.ai")
    for key in (made["key"], other["key"]):
        refused = await main.chat(key, model="azure-gpt-3.5")
        assert refused.status_code == 401
        assert (
            "User krrish3@berri.ai has exceeded their budget. Current spend: 0.0; Max Budget: 0.0"
            in told(refused)
        )
    await main.manage("/user/update", user_id="krrish3@berri.ai", max_budget=10)
    await asyncio.sleep(1)
    assert (await main.chat(made["key"], model="gpt-4")).status_code == 403
    for key in (made["key"], other["key"]):
        assert (await main.chat(key, model="azure-gpt-3.5")).status_code == 200
    spent = [await main.spend(key) for key in (made["key"], other["key"])]
    query = {"user_id": "krrish3@berri.ai"}
    user = (
        await main.client.get(f"{main.url}/user/info", params=query, headers=bearer(MASTER))
    ).json()["user_info"]
    assert user["spend"] == pytest.approx(sum(spent))
    assert user["model_spend"] == {"azure-gpt-3.5": pytest.approx(sum(spent))}


async def test_a_user_has_a_budget_duration(main: Gateway) -> None:
    """And their key is of the team that is named."""
    assert (await curl(main, page.USER_DURATION)).status_code == 400
    made = (await curl(main, page.USER_DURATION, COMMENT, ("10s,", '"10s"'))).json()
    assert made["max_budget"] == 10.0
    assert (await main.info(made["key"]))["team_id"] == "core-infra"


# Add model specific budgets to keys


@pytest.mark.parametrize(
    "form",
    [
        '{"gpt4": 0.0005, "gpt-5": 0.01}',
        '{"gpt4": {"max_budget": 0.0005, "budget_duration": "1d"}}',
    ],
)
async def test_a_budget_for_one_model_of_a_key(main: Gateway, form: str) -> None:
    """The page's bare numbers, or objects with a period; calls of that model fail, others go on,
    `model_spend` tells both.
    """
    printed = await curl(main, page.MODEL_BUDGET)
    assert printed.status_code == 400
    assert "line 2, column 3, near" in told(printed)
    mends = (("model_max_budget=", '"model_max_budget": '), ('{"gpt4": 0.5, "gpt-5": 0.01}', form))
    key = (await curl(main, page.MODEL_BUDGET, *mends)).json()["key"]
    first, refused, other = [
        await main.chat(key, model=model) for model in ("gpt4", "gpt4", "gpt-5")
    ]
    assert (first.status_code, refused.status_code, other.status_code) == (200, 401, 200)
    assert " for model gpt4 has exceeded its budget. " in told(refused)
    assert set((await main.info(key))["model_spend"]) == {"gpt4", "gpt-5"}


# Reset Budgets


@pytest.mark.parametrize("printed", page.RESETS, ids=["user", "key", "team"])
async def test_each_kind_takes_a_duration_once_the_page_is_mended(
    main: Gateway, printed: str
) -> None:
    """A comment and a trailing comma again, told with their place."""
    fault = await curl(main, printed)
    assert fault.status_code == 400
    assert "line 3, column 24, near" in told(fault)
    assert (await curl(main, printed, KEY_CHANGE, ("10s,", '"10s"'))).status_code == 200


@pytest.mark.parametrize("kind", ["key", "user", "team", "member", "customer", "model"])
async def test_a_budget_is_reset_at_the_second(main: Gateway, kind: str) -> None:
    """Refused until the very moment that the refusal names, served after it; nothing runs in
    between.
    """
    key, members = await limited(main, kind, {"max_budget": 0.0005, "budget_duration": "3s"})
    assert (await main.chat(key, **members)).status_code == 200
    refused = await main.chat(key, **members)
    assert refused.status_code == 401
    # The refusal tells the second; the header the millisecond.
    due = datetime.now(UTC) + timedelta(milliseconds=int(refused.headers["retry-after-ms"]))
    assert timedelta(0) <= due - datetime.now(UTC) <= timedelta(seconds=3)
    await asyncio.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds() - 0.3))
    assert (await main.chat(key, **members)).status_code == 401
    await asyncio.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds() + 0.01))
    assert (await main.chat(key, **members)).status_code == 200
