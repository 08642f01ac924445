"""The management API from a shell, against the API itself on a real port."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer
import uvicorn
from tests.unit.management_fixtures import MASTER, World
from typer.testing import CliRunner, Result

from tollgate.adapters.http_api import create_api
from tollgate.commands import budget, customer, key, spend, team, user
from tollgate.management.callers import hash_of

Run = Callable[..., Result]

tollgate = typer.Typer()
for name, noun in {
    "key": key,
    "user": user,
    "team": team,
    "customer": customer,
    "budget": budget,
    "spend": spend,
}.items():
    tollgate.add_typer(noun.app, name=name)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Where the API is served."""
    listener = socket.create_server(("127.0.0.1", 0))
    world = World()
    app = create_api(world.management, version="test", metrics=lambda: b"", reported=world.reports)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture
def run(url: str) -> Run:
    """Run a command against the API."""

    def invoke(*arguments: str, master_key: str = MASTER) -> Result:
        environment = {"TOLLGATE_MASTER_KEY": master_key, "COLUMNS": "200"}
        return CliRunner().invoke(tollgate, [*arguments, "--url", url], env=environment)

    return invoke


def test_a_key_is_made_shown_changed_and_deleted(run: Run) -> None:
    """The life of a key from a shell."""
    made = json.loads(run("key", "generate", "rpm_limit=2", "user_id=ishaan", "--json").stdout)
    assert (made["rpm_limit"], made["user_id"]) == (2, "ishaan")
    assert json.loads(run("key", "info", made["key"], "--json").stdout)["info"]["rpm_limit"] == 2
    changed = json.loads(run("key", "update", made["key"], "rpm_limit=null", 'models=["gpt-4o"]', "--json").stdout)
    assert (changed["rpm_limit"], changed["models"]) == (None, ["gpt-4o"])
    assert json.loads(run("key", "block", made["key"], "--json").stdout)["blocked"] is True
    assert json.loads(run("key", "unblock", made["key"], "--json").stdout)["blocked"] is False
    assert hash_of(made["key"]) in run("key", "list", "--user-id", "ishaan", "--json").stdout
    renewed = json.loads(run("key", "regenerate", made["key"], "--json").stdout)
    assert json.loads(run("key", "delete", renewed["key"], "--json").stdout) == {"deleted_keys": [renewed["key"]]}


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("user new user_id=u rpm_limit=4", {"user_id": "u"}),
        ("user update u tpm_limit=20", {"user_id": "u"}),
        ("user info u", {"user_id": "u"}),
        ("user list", {"total": 1}),
        ("team new team_id=t", {"team_id": "t"}),
        ("team update t rpm_limit=99", {"team_id": "t"}),
        ("team member-add t ishaan max_budget_in_team=0.5 --role admin", {"rpm_limit": 99}),
        ("team member-update t ishaan rpm_limit=1", {"rpm_limit": 1, "max_budget_in_team": 0.5, "role": "admin"}),
        ("team info t", {"team_id": "t"}),
        ("team member-delete t ishaan", {"members_with_roles": []}),
        ("team block t", {"blocked": True}),
        ("team unblock t", {"blocked": False}),
        ("team list", [{"team_id": "t"}]),
        ("budget new free-tier tpm_limit=5", {"tpm_limit": 5}),
        ("budget update free-tier rpm_limit=1", {"tpm_limit": 5, "rpm_limit": 1}),
        ("budget info free-tier", [{"budget_id": "free-tier"}]),
        ("budget list", [{"budget_id": "free-tier"}]),
        ("customer new palantir budget_id=free-tier", {"user_id": "palantir", "budget_id": "free-tier"}),
        ("customer update palantir alias=P", {"alias": "P"}),
        ("customer info palantir", {"alias": "P"}),
        ("customer list", [{"alias": "P"}]),
        ("customer block palantir", {}),
        ("customer unblock palantir", {}),
        ("customer delete palantir", {"deleted_customers": 1}),
        ("budget delete free-tier", {"budget_id": "free-tier"}),
        ("team delete t", {"deleted_teams": ["t"]}),
        ("user delete u", 1),
        ("spend total", {"spend": 0.0}),
        ("spend keys", []),
        ("spend users", [{"user_id": "ishaan"}]),
        ("spend logs --start 2027-01-15", []),
        ("spend days 2027-01-15 2027-01-15", []),
    ],
)
def test_each_command_asks_its_path(run: Run, command: str, expected: Any) -> None:
    """One after the other, as a shell would run them; the answers hold what was asked for."""
    result = run(*command.split(), "--json")
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    if isinstance(expected, dict):
        answer, expected = [answer], [expected]
    if isinstance(expected, list):
        answer = [{name: each[name] for name in want} for each, want in zip(answer, expected, strict=True)]
    assert answer == expected


def test_people_read_tables(run: Run) -> None:
    """Without --json the secret stands on its line, and lists are tables."""
    made = run("key", "generate", "key_alias=[prod]")
    assert any(line.split()[:1] == ["key"] and "sk-" in line for line in made.stdout.splitlines())
    assert "[prod]" in made.stdout
    assert "[prod]" in run("key", "list").stdout


def test_what_the_gateway_refuses_is_said(run: Run) -> None:
    """The gateway's own sentence, and status 1."""
    result = run("key", "generate", "max_budget=-1")
    assert result.exit_code == 1
    assert result.stderr == (
        "max_budget must be a non-negative finite number of dollars, at most 9007199. Received: -1 (400)\n"
    )


def test_a_word_that_is_no_field_is_said(run: Run) -> None:
    """FIELD=VALUE, or nothing."""
    result = run("key", "generate", "rpm_limit")
    assert (result.exit_code, result.stderr) == (1, "'rpm_limit' is not FIELD=VALUE\n")


def test_without_a_master_key_nothing_is_asked(url: str) -> None:
    """One clear sentence."""
    result = CliRunner().invoke(tollgate, ["key", "list", "--url", url], env={"TOLLGATE_MASTER_KEY": None})
    assert (result.exit_code, result.stderr) == (1, "no master key: give --master-key, or set TOLLGATE_MASTER_KEY\n")


def test_a_gateway_that_is_not_there_is_said() -> None:
    """One clear sentence."""
    result = CliRunner().invoke(tollgate, ["key", "list", "--url", "http://127.0.0.1:1", "--master-key", "sk-1"])
    assert result.exit_code == 1
    assert result.stderr.startswith("cannot reach the gateway at http://127.0.0.1:1: ")
