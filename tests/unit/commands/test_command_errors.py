"""A command that cannot do what it was asked says so in one sentence."""

from __future__ import annotations

import pytest
from tests.unit.commands.command_runs import Run, answering, tollgate
from typer.testing import CliRunner

from tollgate.commands.main import app as whole


def test_what_the_gateway_refuses_is_said(run: Run) -> None:
    """The gateway's own sentence, and status 1."""
    result = run("key", "generate", "max_budget=-1")
    assert result.exit_code == 1
    assert (
        result.stderr
        == "max_budget must be a non-negative finite number of dollars, at most 9007199. Received:"
        " -1 (400)\n"
    )


def test_a_word_that_is_no_field_is_said(run: Run) -> None:
    """FIELD=VALUE, or nothing."""
    result = run("key", "generate", "rpm_limit")
    assert (result.exit_code, result.stderr) == (1, "'rpm_limit' is not FIELD=VALUE\n")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("customer new max_budget=1", "user_id is required"),
        ("budget update max_budget=1", "budget_id is required"),
        ("budget new a b", "'b' is not FIELD=VALUE"),
        ("key generate rpm_limit=1 rpm_limit=2", "rpm_limit is given twice"),
        ("customer block id=x", "if it is an id: user_id=id=x"),
        ("key generate max_budget=NaN", "max_budget must be"),
        ("key generate max_budget=1e999", "too large"),
        ("spend explain nope", "No settled or refused request 'nope' is recorded"),
        ("customer info nobody", "End User Id=nobody does not exist in db (404)"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run: Run, command: str, words: str) -> None:
    """No traceback, no Python value, status 1."""
    result = run(*command.split())
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert words in result.stderr
    assert not result.stderr.startswith(("(", "{", "["))


COMMANDS = (
    *(
        "key list",
        "key info x",
        "key generate",
        "user list",
        "user info x",
        "team list",
        "budget list",
    ),
    *("customer list", "spend total", "spend keys", "spend users", "spend logs", "spend explain x"),
    *("spend days 2027-01-15 2027-01-15", "top --times 1"),
)
ADDRESSES = (
    "",
    "nowhere",
    "http://h:port",
    "http://127.0.0.1:1",
    "http://[::1",
    f"http://{'a' * 300}",
)
BODIES = (b"<html>", b"\xff", b"[]", b"7", b'{"keys": 1}', b"[" * 100_000, b"[[[1]]]")


@pytest.mark.parametrize(
    ("command", "address"),
    [
        *((each, "http://127.0.0.1:1") for each in COMMANDS),
        *(("key list", each) for each in ADDRESSES),
    ]
    + [("top --times 1", each) for each in ADDRESSES],
)
def test_an_address_that_is_none_is_one_sentence(command: str, address: str) -> None:
    """Whatever is wrong with it, in every command."""
    result = CliRunner().invoke(whole, [*command.split(), "--url", address, "--master-key", "sk-1"])
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)
    assert not isinstance(result.exception, Exception)


@pytest.mark.parametrize(
    ("command", "body"),
    [
        *((each, body) for each in COMMANDS for body in (b"[]", b'{"keys": 1}')),
        *(("key list", each) for each in BODIES),
    ],
)
def test_another_server_is_one_sentence(command: str, body: bytes) -> None:
    """Answers that are no JSON, or other JSON than Tollgate's, never end in a traceback."""
    with answering(body) as address:
        result = CliRunner().invoke(
            whole, [*command.split(), "--url", address, "--master-key", "sk-1"]
        )
    assert not isinstance(result.exception, Exception), result.exception
    assert "Traceback" not in result.output


def test_without_a_master_key_nothing_is_asked(url: str) -> None:
    """One clear sentence."""
    result = CliRunner().invoke(
        tollgate, ["key", "list", "--url", url], env={"TOLLGATE_MASTER_KEY": None}
    )
    assert (result.exit_code, result.stderr) == (
        1,
        "no master key: give --master-key, or set TOLLGATE_MASTER_KEY\n",
    )


def test_a_gateway_that_is_not_there_is_said() -> None:
    """One clear sentence."""
    result = CliRunner().invoke(
        tollgate, ["key", "list", "--url", "http://127.0.0.1:1", "--master-key", "sk-1"]
    )
    assert result.exit_code == 1
    assert result.stderr.startswith("cannot reach the gateway at http://127.0.0.1:1: ")
