"""LiteLLM's settings of what new keys, users and teams have, and of the most that keys may have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.management_fixtures import Api, World, error_of, ok

from tollgate.settings import load

Configure = Callable[[str], None]


@pytest.fixture
def configured(world: World, api: Api, tmp_path: Path) -> Configure:
    """Let the API go by some `litellm_settings`."""

    def configure(text: str) -> None:
        file = tmp_path / "config.yaml"
        file.write_text(f"litellm_settings:\n{text}")
        transport = api.client._transport
        assert isinstance(transport, httpx.ASGITransport)
        app: Any = transport.app
        app.state.management = world.managed_by(load(file, {}))

    return configure


KEYS = """
  default_key_generate_params:
    {max_budget: 1.5, budget_duration: 30d, rpm_limit: 10, models: [gpt-4o], duration: 60d,
     metadata: {from: defaults}, team_id: core}
"""
MOST = """
  upperbound_key_generate_params:
    {max_budget: 100, budget_duration: 10d, duration: 30d, rpm_limit: 50, tpm_limit: 1000,
     max_parallel_requests: 5}
"""
USERS = """
  default_internal_user_params:
    {user_role: internal_user_viewer, max_budget: 3, budget_duration: 1d, models: [gpt-4o],
     teams: [core, {team_id: lab, user_role: admin, max_budget_in_team: 0.5}]}
"""


async def test_a_key_has_the_defaults_of_what_its_request_does_not_say(
    api: Api, configured: Configure
) -> None:
    """Null and empty are nothing said, as LiteLLM's clients send them."""
    configured(KEYS)
    key = await api.info((await api.made(max_budget=None, models=[], metadata={}))["key"])
    told = ["max_budget", "budget_duration", "rpm_limit", "models", "metadata", "team_id"]
    assert [key[name] for name in told] == [
        1.5, "30d", 10, ["gpt-4o"], {"from": "defaults"}, "core"
    ]  # fmt: skip
    assert key["expires"] is not None
    said: dict[str, Any] = {"max_budget": 9, "rpm_limit": 0, "team_id": "other", "models": ["fast"]}
    key = await api.info((await api.made(**said))["key"])
    assert {name: key[name] for name in said} == said
    assert key["budget_duration"] == "30d"


@pytest.mark.parametrize(
    ("said", "most"),
    [
        ({"max_budget": 101}, "user_value=101.0; max_value=100.0"),
        ({"budget_duration": "11d"}, "user_value=11d; max_value=10d"),
        ({"duration": "2mo"}, "user_value=2mo; max_value=30d"),
        ({"rpm_limit": 51}, "user_value=51; max_value=50"),
        ({"tpm_limit": 1001}, "user_value=1001; max_value=1000"),
        ({"max_parallel_requests": 6}, "user_value=6; max_value=5"),
        (
            {"limits": [{"meter": "requests", "amount": 51, "per": "1m"}]},
            "user_value=51; max_value=50",
        ),
    ],
)
async def test_a_key_that_asks_for_more_than_the_most_is_refused(
    api: Api, configured: Configure, said: dict[str, Any], most: str
) -> None:
    """In LiteLLM's words, when it is made, changed and given another secret."""
    configured(MOST)
    answer = await api.post("/key/generate", said)
    (name,) = said
    field = "rpm_limit" if name == "limits" else name
    message = f"{field} is over max limit set in config - {most}"
    assert (answer.status_code, error_of(answer)["message"]) == (400, message)
    key = (await api.made())["key"]
    for path in ("/key/update", "/key/regenerate"):
        changed = await api.post(path, {"key": key, **said})
        assert (changed.status_code, error_of(changed)["message"]) == (400, message)


async def test_a_key_that_says_nothing_has_the_most(api: Api, configured: Configure) -> None:
    """And cannot be rid of it later, but may have less."""
    configured(MOST)
    made = await api.made(max_budget=5)
    key = await api.info(made["key"])
    told = ["max_budget", "budget_duration", "rpm_limit", "tpm_limit", "max_parallel_requests"]
    assert [key[name] for name in told] == [5.0, "10d", 50, 1000, 5]
    assert key["expires"] is not None
    for name in (*told, "duration"):
        cleared = await api.post("/key/update", {"key": made["key"], name: None})
        assert cleared.status_code == 400, name
    await ok(api.post("/key/update", {"key": made["key"], "rpm_limit": 3}))


async def test_what_a_key_had_before_the_most_was_set_may_stay(
    api: Api, configured: Configure
) -> None:
    """Other fields can be changed; more is refused."""
    key = (await api.made(max_budget=500))["key"]
    configured(MOST)
    await ok(api.post("/key/update", {"key": key, "rpm_limit": 3}))
    assert (await api.post("/key/update", {"key": key, "max_budget": 501})).status_code == 400


async def test_a_key_of_a_budget_has_the_limits_of_that_budget(
    api: Api, configured: Configure
) -> None:
    """No default stands in front of them."""
    configured(KEYS)
    await ok(api.post("/budget/new", {"budget_id": "b", "max_budget": 7}))
    made = await api.made(budget_id="b")
    assert ((await api.info(made["key"]))["budget_id"], made["max_budget"]) == ("b", None)


async def test_a_user_has_the_defaults_of_what_the_request_does_not_say(
    api: Api, configured: Configure
) -> None:
    """With the teams, the role and the budget; also one whom a team's administrator names first."""
    configured(USERS)
    await ok(api.post("/user/new", {"user_id": "ada", "user_role": None, "max_budget": None}))
    found = await ok(api.get("/user/info", user_id="ada"))
    row = found["user_info"]
    told = [row[name] for name in ("user_role", "max_budget", "budget_duration", "models")]
    assert told == ["internal_user_viewer", 3.0, "1d", ["gpt-4o"]]
    assert sorted(row["teams"]) == ["core", "lab"]
    said = {"user_id": "bob", "user_role": "internal_user", "max_budget": 4, "teams": ["core"]}
    await ok(api.post("/user/new", said))
    row = (await ok(api.get("/user/info", user_id="bob")))["user_info"]
    assert (row["user_role"], row["max_budget"], row["teams"]) == ("internal_user", 4.0, ["core"])
    member = {"role": "user", "user_id": "eve"}
    await ok(api.post("/team/member_add", {"team_id": "core", "member": member}))
    row = (await ok(api.get("/user/info", user_id="eve")))["user_info"]
    assert (row["user_role"], row["max_budget"]) == ("internal_user_viewer", 3.0)


async def test_users_who_administer_nothing_have_a_budget(api: Api, configured: Configure) -> None:
    """Where nothing else gives them one."""
    configured("  max_internal_user_budget: 10\n  internal_user_budget_duration: 30d\n")
    await ok(api.post("/user/new", {"user_id": "ada"}))
    await ok(api.post("/user/new", {"user_id": "root", "user_role": "proxy_admin"}))
    budgets = [
        (row["max_budget"], row["budget_duration"])
        for name in ("ada", "root")
        for row in [(await ok(api.get("/user/info", user_id=name)))["user_info"]]
    ]
    assert budgets == [(10.0, "30d"), (None, None)]


async def test_a_team_has_the_defaults_of_what_its_request_does_not_say(
    api: Api, configured: Configure
) -> None:
    """Null is nothing said."""
    configured("  default_team_params: {max_budget: 20, budget_duration: 1mo, tpm_limit: 100}\n")
    team = await ok(api.post("/team/new", {"team_id": "t", "max_budget": None, "tpm_limit": 5}))
    assert (team["max_budget"], team["budget_duration"], team["tpm_limit"]) == (20.0, "1mo", 5)


async def test_the_budget_of_customers_stays(api: Api, configured: Configure) -> None:
    """As long as the configuration names it: calls of customers would have no limit."""
    configured("  max_end_user_budget_id: free-tier")
    for name in ("free-tier", "other"):
        await ok(api.post("/budget/new", {"budget_id": name, "rpm_limit": 5}))
    answer = await api.post("/budget/delete", {"id": "free-tier"})
    assert answer.status_code == 409
    assert "litellm_settings.max_end_user_budget_id names it" in error_of(answer)["message"]
    await ok(api.post("/budget/delete", {"id": "other"}))
    assert [each["budget_id"] for each in await ok(api.get("/budget/list"))] == ["free-tier"]
    configured("  max_end_user_budget: 1")
    await ok(api.post("/budget/delete", {"id": "free-tier"}))


async def test_a_budget_of_a_keys_customers_is_refused_by_name(api: Api) -> None:
    """It would restrict calls, so it is not taken without a word."""
    answer = await api.post("/key/generate", {"end_user_budget_id": "free-tier"})
    assert answer.status_code == 400
    assert "end_user_budget_id" in error_of(answer)["message"]
