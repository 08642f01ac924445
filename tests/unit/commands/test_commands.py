"""The management API from a shell, against the API itself on a real port."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.commands.command_runs import Run, answering
from tests.unit.management_fixtures import MASTER
from typer.testing import CliRunner

from tollgate.commands.main import app as whole
from tollgate.core.callers.authentication import hash_of


def test_a_key_is_made_shown_changed_and_deleted(run: Run) -> None:
    """The life of a key from a shell."""
    made = json.loads(run("key", "generate", "rpm_limit=2", "user_id=ishaan", "--json").stdout)
    assert (made["rpm_limit"], made["user_id"]) == (2, "ishaan")
    assert json.loads(run("key", "info", made["key"], "--json").stdout)["info"]["rpm_limit"] == 2
    changed = json.loads(
        run("key", "update", made["key"], "rpm_limit=null", 'models=["gpt-4o"]', "--json").stdout
    )
    assert (changed["rpm_limit"], changed["models"]) == (None, ["gpt-4o"])
    assert json.loads(run("key", "block", made["key"], "--json").stdout)["blocked"] is True
    assert json.loads(run("key", "unblock", made["key"], "--json").stdout)["blocked"] is False
    assert hash_of(made["key"]) in run("key", "list", "--user-id", "ishaan", "--json").stdout
    renewed = json.loads(run("key", "regenerate", made["key"], "--json").stdout)
    assert json.loads(run("key", "delete", renewed["key"], "--json").stdout) == {
        "deleted_keys": [renewed["key"]]
    }


def test_the_audit_log_is_listed_and_exported(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it, however many parts that takes, or the newest; as a table, CSV and JSON."""
    monkeypatch.setattr("tollgate.commands.records.audit._AT_ONCE", 2)
    for number in range(5):
        run("customer", "new", f"user_id=audited-{number}")
    listed = json.loads(run("audit", "--kind", "customer", "--json").stdout)
    names = [each["entity_id"] for each in listed if each["entity_id"].startswith("audited-")]
    assert names == [f"audited-{number}" for number in reversed(range(5))]
    newest = json.loads(run("audit", "--kind", "customer", "--limit", "3", "--json").stdout)
    assert newest == listed[:3]
    header, row = csv.reader(run("audit", "--id", "audited-1", "--csv").stdout.splitlines())
    assert header == ["time", "by", "action", "kind", "entity_id", "name", "before", "after"]
    assert row[1:5] == ["master key, API", "create", "customer", "audited-1"]
    assert json.loads(row[7])["id"] == "audited-1"
    assert "audited-1" in run("audit", "--id", "audited-1").stdout
    ended = run("audit", "--kind", "customer", "--until", "1969-12-31", "--json").stdout
    begun = run("audit", "--kind", "customer", "--since", "1970-01-01", "--json").stdout
    assert (json.loads(ended), json.loads(begun)) == ([], listed)
    for number in range(5):
        run("customer", "delete", f"audited-{number}")


def test_a_key_is_named_by_its_alias(run: Run) -> None:
    """A name that no key has stays what it is, and is told as unknown."""
    made = json.loads(run("key", "generate", "key_alias=by-alias", "--json").stdout)
    shown = json.loads(run("key", "info", "by-alias", "--json").stdout)
    assert shown["info"]["token"] == hash_of(made["key"])
    changed = json.loads(run("key", "update", "by-alias", "rpm_limit=3", "--json").stdout)
    assert changed["rpm_limit"] == 3
    assert json.loads(run("key", "block", "by-alias", "--json").stdout)["blocked"] is True
    assert json.loads(run("key", "unblock", "by-alias", "--json").stdout)["blocked"] is False
    renewed = json.loads(run("key", "regenerate", "by-alias", "--json").stdout)
    assert renewed["key"] != made["key"]
    assert run("key", "delete", "by-alias").exit_code == 0
    assert run("key", "info", "by-alias").exit_code == 1


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("user new user_id=u rpm_limit=4", {"user_id": "u"}),
        ("user update u tpm_limit=20", {"user_id": "u"}),
        ("user info u", {"user_id": "u"}),
        ("user list", {"total": 1}),
        ("team new team_id=t", {"team_id": "t"}),
        ("team update t rpm_limit=99", {"team_id": "t"}),
        ("team member-add t ishaan max_budget_in_team=0.5 role=admin", {"rpm_limit": 99}),
        (
            "team member-update t ishaan rpm_limit=1",
            {"rpm_limit": 1, "max_budget_in_team": 0.5, "role": "admin"},
        ),
        ("team info t", {"team_id": "t"}),
        ("team member-delete t ishaan", {"members_with_roles": []}),
        ("team block t", {"blocked": True}),
        ("team unblock t", {"blocked": False}),
        ("team list", [{"team_id": "t"}]),
        ("budget new free-tier tpm_limit=5", {"tpm_limit": 5}),
        ("budget update free-tier rpm_limit=1", {"tpm_limit": 5, "rpm_limit": 1}),
        ("budget info free-tier", [{"budget_id": "free-tier"}]),
        ("budget list", [{"budget_id": "free-tier"}]),
        (
            "customer new palantir budget_id=free-tier",
            {"user_id": "palantir", "budget_id": "free-tier"},
        ),
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
        (
            (
                "spend logs --team-id t --end-user c --model m --status failure --limit 5 --end"
                " 2027-01-15"
            ),
            [],
        ),
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
        answer = [
            {name: each[name] for name in want} for each, want in zip(answer, expected, strict=True)
        ]
    assert answer == expected


def test_people_read_tables(run: Run) -> None:
    """Without --json the secret stands on its line, and lists are tables."""
    made = run("key", "generate", "key_alias=[prod]")
    assert any(line.split()[:1] == ["key"] and "sk-" in line for line in made.stdout.splitlines())
    assert "[prod]" in made.stdout
    assert "[prod]" in run("key", "list").stdout


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            "budget new budget_id=by-field max_budget=1",
            {"budget_id": "by-field", "max_budget": 1.0},
        ),
        ("budget new max_budget=2 budget_id=later", {"budget_id": "later", "max_budget": 2.0}),
        ("budget update budget_id=by-field rpm_limit=3", {"budget_id": "by-field", "rpm_limit": 3}),
        ("budget info budget_id=by-field", [{"budget_id": "by-field"}]),
        ("customer new user_id=7 alias=seven", {"user_id": "7", "alias": "seven"}),
        ("customer update user_id=7 rpm_limit=1", {"user_id": "7", "rpm_limit": 1}),
        ("customer info user_id=7", {"user_id": "7"}),
        ("customer block user_id=7", {}),
        ("customer new user_id=a=b", {"user_id": "a=b"}),
        ("user new user_id=byfield", {"user_id": "byfield"}),
        ("user new byplace", {"user_id": "byplace"}),
        ("user info user_id=byplace", {"user_id": "byplace"}),
        ("team new byplace rpm_limit=4", {"team_id": "byplace", "rpm_limit": 4}),
        ("team new team_id=byfield", {"team_id": "byfield"}),
        ("team member-add user_id=byplace team_id=byfield", {"team_id": "byfield"}),
        (
            "team member-update team_id=byfield byplace rpm_limit=1",
            {"user_id": "byplace", "rpm_limit": 1},
        ),
        ("team member-delete byfield user_id=byplace", {"members_with_roles": []}),
        ("team block team_id=byfield", {"blocked": True}),
        ("team delete team_id=byfield byplace", {"deleted_teams": ["byfield", "byplace"]}),
    ],
)
def test_an_id_is_given_by_its_place_or_as_a_field(run: Run, command: str, expected: Any) -> None:
    """FIELD=VALUE means the same after every command."""
    test_each_command_asks_its_path(run, command, expected)


def test_every_command_asks_where_the_environment_says(url: str) -> None:
    """TOLLGATE_URL, for `top` as well, with or without a slash at its end."""
    for address in (url, f"{url}/"):
        environment = {"TOLLGATE_URL": address, "TOLLGATE_MASTER_KEY": MASTER}
        for command in ("key list", "top --times 1 --every 0.2"):
            result = CliRunner().invoke(whole, command.split(), env=environment)
            assert (result.exit_code, result.stderr) == (0, "")


def test_ids_are_printed_whole_within_80_columns(run: Run) -> None:
    """A table that does not fit is printed field by field; what is shown can be copied."""
    made = json.loads(
        run(
            "key", "generate", "key_alias=a-name-of-some-forty-characters-0123456789", "--json"
        ).stdout
    )
    for columns in ("80", "400"):
        result = run("key", "list", columns=columns)
        assert hash_of(made["key"]) in result.stdout.split()
        assert "a-name-of-some-forty-characters-0123456789" in result.stdout.split()
    narrow = run("key", "list", columns="80").stdout
    assert max(map(len, narrow.splitlines())) <= 80


def test_a_name_cannot_write_to_the_terminal(run: Run) -> None:
    """Line breaks and escape sequences are shown, not sent."""
    run("key", "generate", r"metadata={\"a\": \"\u001b[31m\"}", "key_alias=escape", "user_id=e")
    shown = run("key", "list", "--user-id", "e", columns="400").stdout
    assert "\x1b" not in shown


def test_a_bill_is_asked_for_and_compared(url: str, tmp_path: Path) -> None:
    """OpenAI's costs; the rate goes to Prometheus too, and may fail a job."""
    result = {"amount": {"value": 0.06, "currency": "usd"}, "line_item": "gpt-4o, input"}
    bucket = {"start_time": 1_763_942_400, "results": [result]}
    page = json.dumps({"data": [bucket], "has_more": False}).encode()
    metrics = tmp_path / "capture.prom"
    days = ("--since", "2025-11-24", "--until", "2025-11-24", "--url", url, "--master-key", MASTER)
    asked = ("--admin-key", "sk-admin", "--metrics", str(metrics), "--least", "0.9", "--json")
    with answering(page) as openai:
        command = ("reconcile", "--provider", "openai", "--api-base", openai, *asked, *days)
        told = CliRunner().invoke(whole, command)
    rows, _ = json.JSONDecoder().raw_decode(told.output)
    assert [(each["day"], each["billed"]) for each in rows] == [
        ("2025-11-24", "0.060000"),
        ("total", "0.060000"),
    ]
    assert (told.exit_code, "below 0.9" in told.output) == (1, True)
    assert 'tollgate_capture_rate{provider="openai"} 0.0' in metrics.read_text()
    nothing = CliRunner().invoke(whole, ("reconcile", "--provider", "vertex", *days))
    assert (nothing.exit_code, "no bill" in nothing.output) == (1, True)


def test_an_export_goes_to_a_file(run: Run, tmp_path: Path) -> None:
    """As it came."""
    file = tmp_path / "focus.csv"
    assert run("spend", "export", "--format", "focus", "-o", str(file)).exit_code == 0
    assert file.read_text().startswith("AvailabilityZone,BilledCost,")
    assert "provider_model" in run("spend", "export").output


@pytest.mark.parametrize("noun", ["team", "organization"])
def test_teams_and_organizations_are_named_by_their_alias(run: Run, noun: str) -> None:
    """In every command; an id comes before an alias, and an alias of two is refused with both."""

    def asked(verb: str, *words: str) -> Any:
        return json.loads(run(noun, verb, *words, "--json").stdout)

    place, alias = f"{noun}_id", f"{noun}_alias"
    made = asked("new", f"{alias}=Research")[place]
    assert made != "Research"
    assert asked("update", "Research", "rpm_limit=3")
    run("user", "new", "bob")
    assert run(noun, "member-add", "Research", "bob").exit_code == 0
    assert made in run(noun, "info", "Research").stdout
    assert run(noun, "member-delete", "Research", "bob").exit_code == 0
    asked("new", "Research", "rpm_limit=9")
    assert made not in run(noun, "info", "Research").stdout
    second, third = (asked("new", f"{alias}=Two")[place] for _ in range(2))
    refused = run(noun, "delete", "Two")
    assert (refused.exit_code, second in refused.stderr, third in refused.stderr) == (1, True, True)
    assert run(noun, "info", "Nobody").exit_code == 1


@pytest.mark.parametrize(("noun", "alias"), [("user", "user_alias"), ("customer", "alias")])
def test_users_and_customers_are_named_by_their_alias(run: Run, noun: str, alias: str) -> None:
    """An id comes before an alias; an alias of two is refused with both; a new id is no alias."""

    def asked(verb: str, *words: str) -> Any:
        return json.loads(run(noun, verb, *words, "--json").stdout)

    asked("new", f"{noun}-1", f"{alias}=Ann of {noun}s")
    asked("new", f"{noun}-2", f"{alias}=Ann")
    assert asked("update", "Ann", "rpm_limit=3")
    assert f"{noun}-2" in run(noun, "info", "Ann").stdout
    assert asked("new", "Ann", "rpm_limit=9")
    assert f"{noun}-2" not in run(noun, "info", "Ann").stdout
    for number in (3, 4):
        asked("new", f"{noun}-{number}", f"{alias}=Two")
    refused = run(noun, "delete", "Two")
    told = [f"{noun}-{number}" in refused.stderr for number in (3, 4)]
    assert (refused.exit_code, told) == (1, [True, True])
    assert run(noun, "delete", f"Ann of {noun}s").exit_code == 0
    assert run(noun, "info", f"{noun}-1").exit_code == 1
