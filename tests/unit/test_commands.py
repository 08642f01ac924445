"""The management API from a shell, against the API itself on a real port."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
import typer
import uvicorn
from tests.unit.management_fixtures import MASTER, World
from typer.testing import CliRunner, Result

from tollgate.adapters.http_api import create_api
from tollgate.commands import key

Run = Callable[..., Result]

tollgate = typer.Typer()
tollgate.add_typer(key.app, name="key")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Where the API is served."""
    listener = socket.create_server(("127.0.0.1", 0))
    app = create_api(World().management, version="test", metrics=lambda: b"")
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
    assert made["token_id"] in run("key", "list", "--user-id", "ishaan", "--json").stdout
    renewed = json.loads(run("key", "regenerate", made["key"], "--json").stdout)
    assert json.loads(run("key", "delete", renewed["key"], "--json").stdout) == {"deleted_keys": [renewed["key"]]}


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
