"""`tollgate apply`: entities as a file, through the API itself on a real port."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.commands.served_api import ServedApi, serving
from tests.unit.management_fixtures import MASTER
from typer.testing import CliRunner, Result

from tollgate.commands.main import app

FILE = """
name: production
budgets:
  - {budget_id: free, max_budget: 1.5, budget_duration: 1d}
organizations:
  - {organization_id: acme, max_budget: 1000, budget_duration: 1mo, budget_anchor: calendar}
users:
  - {user_id: ann, user_email: ann@example.com, max_budget: 20}
teams:
  - team_id: core
    organization_id: acme
    rpm_limit: 600
    team_member_budget: 5
    model_rpm_limit: {gpt-4o: 60}
    limits: [{meter: input_tokens, amount: 1000000, per: 1d}]
members:
  - {team_id: core, user_id: ann, role: admin, max_budget_in_team: 50}
organization_members:
  - {organization_id: acme, user_id: ann, role: org_admin}
customers:
  - {user_id: palantir, budget_id: free}
tags:
  - {name: nightly, max_budget: 20, budget_duration: 7d}
keys:
  - {key_alias: ci, team_id: core, models: [gpt-4o], max_budget: 5, duration: 30d}
"""
ENTITIES = 9


class Gateway:
    """A gateway, and a file that is applied to it."""

    def __init__(self, api: ServedApi, folder: Path) -> None:
        self.api = api
        self.path = folder / "entities.yaml"

    def apply(self, text: str, *options: str, **variables: str) -> Result:
        """Apply a file."""
        self.path.write_text(text, encoding="utf-8")
        own = ("--url", self.api.url, "--master-key", MASTER)
        return CliRunner().invoke(
            app, ["apply", "-f", str(self.path), *options, *own], env=variables
        )

    def applied(self, text: str, **members: Any) -> dict[str, Any]:
        """Apply a file as the command sends it; return what was done."""
        found: dict[str, Any] = self.api.post("/global/apply", **yaml.safe_load(text), **members)
        return found

    def planned(self, text: str, **members: Any) -> list[dict[str, Any]]:
        """Return the steps of a plan."""
        found: list[dict[str, Any]] = self.applied(text, dry_run=True, **members)["changes"]
        return found

    def key(self, alias: str) -> dict[str, Any]:
        """A key as the API tells it."""
        listed = self.api.get("/key/list", key_alias=alias, return_full_object=True)["keys"]
        found: dict[str, Any] = listed[0]
        return found


@pytest.fixture(scope="module")
def served() -> Iterator[ServedApi]:
    """An API for all tests."""
    with serving() as api:
        yield api


@pytest.fixture
def gateway(served: ServedApi, tmp_path: Path) -> Gateway:
    """An empty one."""
    served.forget()
    return Gateway(served, tmp_path)


def keys(*rows: dict[str, Any], name: str = "production") -> str:
    return yaml.safe_dump({"name": name, "keys": list(rows)})


def test_a_plan_changes_nothing(gateway: Gateway) -> None:
    """It names each entity, and each field that would be set."""
    told = gateway.apply(FILE, "--plan").output
    assert "+ teams: core\n" in told
    assert '    organization_id: "acme"\n' in told
    assert "    rpm_limit: 600\n" in told
    assert f"plan: {ENTITIES} to create, 0 unchanged" in told
    assert gateway.api.get("/team/list") == []


def test_what_is_applied_is_as_the_file_says(gateway: Gateway) -> None:
    """Of each kind."""
    changes = gateway.applied(FILE)["changes"]
    assert [each["action"] for each in changes] == ["create"] * ENTITIES
    assert [each["failure"] for each in changes] == [None] * ENTITIES
    key = gateway.key("ci")
    assert (key["team_id"], key["organization_id"], key["max_budget"]) == ("core", "acme", 5.0)
    team = gateway.api.get("/team/info", team_id="core")
    assert team["team_info"]["limits"] == [
        {"meter": "input_tokens", "amount": 1000000, "per": "1d"}
    ]
    (member,) = team["team_memberships"]
    assert (member["role"], member["litellm_budget_table"]["max_budget"]) == ("admin", 50.0)
    assert gateway.api.get("/customer/info", end_user_id="palantir")["budget_id"] == "free"
    (tag,) = gateway.api.get("/tag/list")
    assert (tag["name"], tag["budget_duration"]) == ("nightly", "7d")


def test_applied_again_it_does_nothing(gateway: Gateway) -> None:
    """Also not to the end of a key's life, or the beginning of a period."""
    gateway.applied(FILE)
    before = gateway.key("ci")
    gateway.api.clock.us += 3_600_000_000
    again = gateway.applied(FILE)
    assert (again["changes"], again["unchanged"]) == ([], ENTITIES)
    after = gateway.key("ci")
    assert (after["expires"], after["updated_at"]) == (before["expires"], before["updated_at"])
    assert "plan: 9 unchanged" in gateway.apply(FILE).output


SPELLINGS: list[dict[str, Any]] = [
    {"model_max_budget": {"gpt-4o": 0.5, "o3": {"budget_limit": 2, "time_period": "1d"}}},
    {"model_tpm_limit": {"gpt-4o": 5}, "model_rpm_limit": {"o3": 1}},
    {"budget_limits": [{"budget_duration": "1d", "max_budget": 5}], "max_budget": 9},
    {"limits": [{"meter": "usd", "amount": 5, "per": "1d", "calendar": "Europe/Berlin"}]},
    {"limits": [{"meter": "requests", "amount": 5, "per": "60s", "mode": "shadow"}]},
    {"limits": [{"meter": "tokens", "amount": 5, "per": "1d", "model": "gpt-4o"}]},
    {"limits": [{"meter": "tokens", "amount": 5, "per": "60s", "model": "o3"}]},
    {"limits": [{"meter": "usd", "amount": 7, "per": "7d", "alert_at": [0.5, 1]}]},
    {"metadata": {"b": [1, {"c": None}], "a": 1.0}, "config": {"x": "y"}, "permissions": {}},
    {"max_budget": 0, "rpm_limit": 0, "tpd_limit": 3, "max_parallel_requests": 2},
    {"duration": "1h", "aliases": {"fast": "gpt-4o"}, "allowed_cache_controls": ["no-cache"]},
    {"duration": None, "models": [], "blocked": False, "max_budget": None},
    {"max_budget_per_session": 1.25, "max_iterations": 4, "soft_budget": 0.1, "shadow": True},
    {"budget_duration": "30d", "max_budget": 0.1, "budget_anchor": "calendar"},
    {"blocked": True, "user_id": "somebody", "organization_id": "default"},
]


@pytest.mark.parametrize("fields", SPELLINGS, ids=lambda each: ",".join(each))
def test_a_field_is_set_once_and_cleared_when_the_file_no_longer_names_it(
    gateway: Gateway, fields: dict[str, Any]
) -> None:
    """However it is spelt, a second plan is empty; without it the key is as one that never had
    it.
    """
    plain, ci = {"key_alias": "plain"}, {"key_alias": "ci"}
    gateway.applied(keys(plain, {**ci, **fields}))
    assert gateway.planned(keys(plain, {**ci, **fields})) == []
    gateway.applied(keys(plain, ci))
    assert gateway.planned(keys(plain, ci)) == []
    blank, cleared = gateway.key("plain"), gateway.key("ci")
    differing = {name for name in blank if blank[name] != cleared[name]}
    assert differing == {"key_alias", "key_name", "token"}


def test_a_change_shows_the_values_before_and_after(gateway: Gateway) -> None:
    """Also those that somebody else set meanwhile; what no file names stays."""
    gateway.applied(FILE)
    gateway.api.post("/team/update", team_id="core", rpm_limit=1, tpm_limit=77)
    (change,) = gateway.planned(FILE)
    assert (change["action"], change["fields"]) == ("change", {"rpm_limit": [1, 600]})
    assert "    rpm_limit: 1 -> 600\n" in gateway.apply(FILE, "--plan").output
    gateway.applied(FILE)
    team = gateway.api.get("/team/info", team_id="core")["team_info"]
    assert (team["rpm_limit"], team["tpm_limit"]) == (600, 77)


def test_a_raise_for_a_time_is_not_undone(gateway: Gateway) -> None:
    """An operator raised a limit for a day; the file says nothing of it."""
    entry = {"meter": "input_tokens", "amount": 1000000, "per": "1d"}
    gateway.applied(FILE)
    raised = {**entry, "temp_increase": 500000, "temp_expiry": "1d"}
    gateway.api.post("/team/update", team_id="core", limits=[raised])
    assert gateway.planned(FILE) == []
    gateway.applied(FILE.replace("1000000", "2000000"))
    (limit,) = gateway.api.get("/team/info", team_id="core")["team_info"]["limits"]
    assert (limit["amount"], limit["temp_increase"]) == (2000000, 500000)


def test_a_secret_is_told_once(gateway: Gateway) -> None:
    """On the terminal, where no file is given for it."""
    told = gateway.apply(keys({"key_alias": "ci"}), "--yes").output
    secret = told.partition("key ci: ")[2].strip()
    assert gateway.api.get("/key/info", key=secret)["info"]["key_alias"] == "ci"
    again = gateway.apply(keys({"key_alias": "ci"}), "--yes").output
    assert "sk-" not in again


def test_secrets_go_to_a_file_that_only_its_owner_reads(gateway: Gateway, tmp_path: Path) -> None:
    """Beside those of an earlier run; the terminal shows none."""
    file = tmp_path / "secrets.json"
    file.write_text('{"old": "sk-old"}', encoding="utf-8")
    told = gateway.apply(keys({"key_alias": "ci"}), "--yes", "--secrets", str(file))
    assert (told.exit_code, "sk-" in told.output) == (0, False)
    found = json.loads(file.read_text(encoding="utf-8"))
    assert found["old"] == "sk-old"
    assert gateway.api.get("/key/info", key=found["ci"])["info"]["key_alias"] == "ci"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_nothing_is_applied_where_secrets_cannot_be_written(
    gateway: Gateway, tmp_path: Path
) -> None:
    """They would be lost."""
    for file in (tmp_path / "no" / "folder.json", tmp_path):
        told = gateway.apply(keys({"key_alias": "ci"}), "--yes", "--secrets", str(file))
        assert (told.exit_code, "cannot write secrets" in told.output) == (1, True)
    assert gateway.api.get("/key/list")["keys"] == []


def test_a_secret_of_ones_own_comes_from_the_environment(gateway: Gateway) -> None:
    """And is rotated when it changes: spend and limits stay."""
    text = keys({"key_alias": "ci", "key": "os.environ/CI_KEY", "max_budget": 3})
    first, second = "sk-0123456789abcdef", "sk-fedcba9876543210"
    gateway.apply(text, "--yes", CI_KEY=first)
    assert "plan: 1 unchanged" in gateway.apply(text, "--plan", CI_KEY=first).output
    rotated = gateway.apply(text, "--yes", CI_KEY=second).output
    assert '    key: "sk-...cdef" -> "sk-...3210"\n' in rotated
    assert gateway.api.get("/key/info", key=second)["info"]["max_budget"] == 3.0
    assert "plan: 1 unchanged" in gateway.apply(text, "--plan", CI_KEY=second).output
    missing = gateway.apply(text, "--plan")
    assert (missing.exit_code, "not set: CI_KEY" in missing.output) == (1, True)


def test_pruning_deletes_only_what_the_file_made(gateway: Gateway) -> None:
    """Not what was there before, what another file made, or what somebody made by hand."""
    gateway.api.post("/key/generate", key_alias="by hand")
    gateway.api.post("/key/generate", key_alias="adopted")
    gateway.applied(keys({"key_alias": "theirs"}, name="other"))
    gateway.applied(keys({"key_alias": "adopted"}, {"key_alias": "made"}, {"key_alias": "kept"}))
    left = keys({"key_alias": "kept"})
    assert gateway.planned(left) == []
    (change,) = gateway.planned(left, prune=True)
    assert (change["action"], change["kind"], change["id"]) == ("delete", "keys", "made")
    gateway.applied(left, prune=True)
    listed = gateway.api.get("/key/list", return_full_object=True)["keys"]
    assert {each["key_alias"] for each in listed} == {"by hand", "adopted", "theirs", "kept"}


def test_pruning_everything_leaves_nothing(gateway: Gateway) -> None:
    """What refers to another entity goes before it; a key of an owner's goes with it."""
    gateway.applied(FILE)
    gateway.api.post("/key/generate", key_alias="by hand", team_id="core")
    told = gateway.apply("name: production", "--plan", "--prune").output
    assert "- teams: core (with 1 keys that the file does not contain)" in told
    changes = gateway.applied("name: production", prune=True)["changes"]
    assert [each["failure"] for each in changes] == [None] * ENTITIES
    for path in ("/team/list", "/budget/list", "/customer/list", "/tag/list"):
        assert gateway.api.get(path) == []


def test_an_entity_that_was_there_is_adopted(gateway: Gateway) -> None:
    """Without a change, where it is as the file says; afterwards its fields are the file's."""
    gateway.api.post("/team/new", team_id="core", rpm_limit=5)
    text = "name: a\nteams: [{team_id: core, rpm_limit: 5}]"
    (change,) = gateway.planned(text)
    assert (change["action"], change["fields"]) == ("adopt", {})
    gateway.applied(text)
    assert gateway.planned(text) == []
    (change,) = gateway.planned("name: a\nteams: [{team_id: core}]")
    assert change["fields"] == {"rpm_limit": [5, None]}


def test_two_files_do_not_fight_over_an_entity(gateway: Gateway) -> None:
    """The second is refused, unless it takes over."""
    gateway.applied("name: a\nteams: [{team_id: core, rpm_limit: 5}]")
    second = "name: b\nteams: [{team_id: core, tpm_limit: 7}]"
    refused = gateway.apply(second, "--yes")
    assert (refused.exit_code, "teams: core: the file 'a' declares it" in refused.output) == (
        1,
        True,
    )
    gateway.applied(second, take_over=True)
    team = gateway.api.get("/team/info", team_id="core")["team_info"]
    assert (team["rpm_limit"], team["tpm_limit"]) == (None, 7)


FAULTS = {
    "keys: [{key_alias: a, rpm_limits: 5}]": "keys: a: rpm_limits is not a field",
    "keys: [{max_budget: 5}]": "keys: entry 1: key_alias is required",
    "keys: [{key_alias: a, max_budget: -1}]": "keys: a: max_budget must be a non-negative",
    "keys: [{key_alias: a, team_id: coer}]": "keys: a: there is no team 'coer'",
    "keys: [{key_alias: a, budget_id: b}]": "keys: a: there is no budget 'b'",
    "teams: [{team_id: a, organization_id: o}]": "teams: a: there is no organization 'o'",
    "members: [{team_id: a, user_id: u}]": "members: a/u: there is no team 'a'",
    "keys: [{key_alias: a}, {key_alias: a}]": "keys: a: the file contains it twice",
    "keys: [{key_alias: a, spend: 5}]": "keys: a: spend passes, so no file declares it",
    "keys: [{key_alias: a, limits: [{meter: usd, amount: 1, temp_increase: 1}]}]": (
        "limits: temp_increase passes"
    ),
    "keys: [{key_alias: a, key: short}]": "must begin with 'sk-'",
    "key: []": "key is not a field of this request",
    "keys: {a: b}": "keys must be a list",
    "keys: [1]": "keys.0",
    "[]": "must be an object",
    "keys: [": "is no YAML",
    "prune: true": "prune is an option",
}


@pytest.mark.parametrize("text", FAULTS)
def test_a_file_with_a_fault_changes_nothing(gateway: Gateway, text: str) -> None:
    """It is named with its place; the rest of the file is not applied either."""
    whole = f"{text}\ntags: [{{name: nightly}}]" if text[0] not in "[" else text
    told = gateway.apply(whole, "--yes")
    assert told.exit_code == 1
    assert FAULTS[text] in told.output
    assert gateway.api.get("/tag/list") == []


def test_all_faults_are_told_at_once(gateway: Gateway) -> None:
    """One line each."""
    told = gateway.apply("keys: [{key_alias: a, x: 1}, {key_alias: b, spend: 1}]", "--yes").output
    assert "keys: a: x is not" in told
    assert "keys: b: spend passes" in told


def test_without_a_terminal_it_asks_for_yes(gateway: Gateway) -> None:
    """A pipeline that forgot it has seen the plan, and has changed nothing."""
    told = gateway.apply(FILE)
    assert told.exit_code == 1
    assert "give --yes" in told.output
    assert gateway.api.get("/team/list") == []


def test_what_fails_is_told_and_the_rest_is_done(gateway: Gateway) -> None:
    """An e-mail address belongs to one user only; the file can be applied again."""
    gateway.api.post("/user/new", user_id="other", user_email="ann@example.com")
    text = "users: [{user_id: ann, user_email: ann@example.com}]\ntags: [{name: nightly}]"
    told = gateway.apply(text, "--yes")
    assert told.exit_code == 1
    assert "users: ann: User with email ann@example.com already exists" in told.output
    assert [each["name"] for each in gateway.api.get("/tag/list")] == ["nightly"]
