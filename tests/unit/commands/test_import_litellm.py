"""`tollgate import-litellm`, from a LiteLLM server and from a dump, into the API itself on a real
port.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from tests.litellm_server import MASTER as LITELLM_MASTER
from tests.litellm_server import TOKEN, dump, litellm
from tests.unit.commands.served_api import ServedApi, serving
from tests.unit.management_fixtures import MASTER
from typer.testing import CliRunner, Result

from tollgate.commands.import_litellm import import_litellm
from tollgate.core.limits.bucket import MAX_LIMIT

app = typer.Typer()
app.command()(import_litellm)


class Gateway:
    """A gateway's management on a port."""

    def __init__(self, api: ServedApi) -> None:
        self.get = api.get
        self.post = api.post
        self._url = api.url

    def take(self, *options: str) -> Result:
        """Run the import."""
        own = ("--gateway", self._url, "--gateway-key", MASTER)
        return CliRunner().invoke(app, [*options, *own], env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def served() -> Iterator[ServedApi]:
    """An API for all tests."""
    with serving() as api:
        yield api


@pytest.fixture
def gateway(served: ServedApi) -> Gateway:
    """An empty gateway."""
    served.forget()
    return Gateway(served)


@pytest.fixture
def server() -> Iterator[str]:
    """A LiteLLM server."""
    with litellm() as url:
        yield url


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A dump of it."""
    path = tmp_path / "dump.json"
    path.write_text(json.dumps(dump()), encoding="utf-8")
    return str(path)


def counts(result: Result) -> dict[str, list[int]]:
    """The table of the report: created, unchanged, differs, failed."""
    rows = [line.split() for line in result.stdout.splitlines()]
    return {
        row[0]: [int(cell) for cell in row[1:]] for row in rows if row and row[0] in ALL_CREATED
    }


ALL_CREATED = {
    "budgets": [5, 0, 0, 0],
    "organizations": [1, 0, 0, 0],
    "users": [2, 0, 0, 0],
    "teams": [1, 0, 0, 0],
    "members": [2, 0, 0, 0],
    "organization_members": [2, 0, 0, 0],
    "customers": [2, 0, 0, 0],
    "tags": [1, 0, 0, 0],
    "keys": [2, 0, 0, 0],
}


def test_a_key_is_carried_with_limits_and_spend(gateway: Gateway, server: str) -> None:
    """By its hash; its period ends when LiteLLM's does."""
    assert gateway.take("--url", server, "--master-key", LITELLM_MASTER).exit_code == 0
    info = gateway.get("/key/info", key=TOKEN)["info"]
    wanted = {
        "key_name": "sk-...tllm",
        "key_alias": "production",
        "user_id": "ishaan",
        "team_id": "core",
        "spend": 0.75,
        "max_budget": 1.0,
        "budget_duration": "30d",
        "rpm_limit": 2,
        "model_rpm_limit": {"gpt-4o": 50},
        "model_max_budget": {"gpt-4o": {"max_budget": 3.0, "budget_duration": "1d"}, "fast": 0.5},
        "models": ["gpt-4o", "fast"],
        "aliases": {"best": "gpt-4o"},
        "metadata": {"owner": "ops"},
        "created_at": "2026-01-02T03:04:05.678000+00:00",
    }
    assert {name: info[name] for name in wanted} == wanted
    other = gateway.get("/key/info", key="0" * 64)["info"]
    assert (other["expires"], other["blocked"]) == ("2024-01-19T01:21:12.816168+00:00", True)


def test_users_teams_members_and_customers_are_carried(gateway: Gateway, file: str) -> None:
    """Each with what it spent; a member without a budget of their own has the team's."""
    assert gateway.take("--dump", file).exit_code == 0
    user = gateway.get("/user/info", user_id="ishaan")["user_info"]
    assert (user["user_email"], user["max_budget"], user["spend"], user["teams"]) == (
        "ishaan@example.com",
        10.0,
        1.25,
        ["core"],
    )
    team = gateway.get("/team/info", team_id="core")
    row = team["team_info"]
    assert (row["team_alias"], row["max_budget"], row["spend"], row["rpm_limit"]) == (
        "core-infra",
        100.0,
        20.5,
        99,
    )
    assert (row["team_member_budget"], row["model_aliases"], row["metadata"]) == (
        2.0,
        {"best": "gpt-4o"},
        {"cost_center": "x", "guardrails": ["pii"]},
    )
    members = {each["user_id"]: each for each in team["team_memberships"]}
    assert {name: (each["role"], each["spend"]) for name, each in members.items()} == {
        "ishaan": ("admin", 0.125),
        "krrish": ("user", 0.0),
    }
    assert [
        members[name]["litellm_budget_table"]["max_budget"] for name in ("ishaan", "krrish")
    ] == [0.5, 2.0]
    palantir, anduril = (
        gateway.get("/customer/info", end_user_id=name) for name in ("palantir", "anduril")
    )
    assert (palantir["budget_id"], palantir["spend"], anduril["blocked"]) == (
        "free-tier",
        0.25,
        True,
    )


def test_organizations_their_members_and_tags_are_carried(gateway: Gateway, server: str) -> None:
    """With limits and spend; a team and its keys are in their organization."""
    assert gateway.take("--url", server, "--master-key", LITELLM_MASTER).exit_code == 0
    acme = gateway.get("/organization/info", organization_id="acme")
    wanted = {
        "organization_alias": "Acme",
        "spend": 40.5,
        "budget_id": "acme-budget",
        "models": ["gpt-4o", "fast"],
        "metadata": {"region": "eu"},
    }
    assert {name: acme[name] for name in wanted} == wanted
    members = {each["user_id"]: each for each in acme["members"]}
    assert {name: (each["user_role"], each["spend"]) for name, each in members.items()} == {
        "ishaan": ("org_admin", 3.5),
        "krrish": ("internal_user", 0.0),
    }
    assert members["ishaan"]["litellm_budget_table"]["max_budget"] == 30.0
    assert [each["team_id"] for each in acme["teams"]] == ["core"]
    (tag,) = gateway.get("/tag/list")
    assert (tag["name"], tag["description"], tag["spend"], tag["budget_id"]) == (
        "nightly",
        "Batch runs",
        2.25,
        "nightly-budget",
    )
    key = gateway.get("/key/info", key=TOKEN)["info"]
    assert key["organization_id"] == "acme"
    assert key["budget_limits"] == [{"budget_duration": "1d", "max_budget": 0.9}]


def test_an_older_server_has_no_organizations(gateway: Gateway) -> None:
    """The rest is carried, and what refers to them is told."""
    with litellm("/organization/list", "/tag/list") as url:
        result = gateway.take("--url", url, "--master-key", LITELLM_MASTER)
    assert (result.exit_code, counts(result)["tags"]) == (0, [0, 0, 0, 0])
    assert "reading tags: this LiteLLM has no /tag/list" in result.stderr
    assert "not carried: teams core: organization_id: there is no organization acme" in (
        result.stdout
    )


def test_what_is_not_carried_is_told_by_entity_and_field(gateway: Gateway, file: str) -> None:
    """Nothing is lost in silence."""
    lines = [line for line in gateway.take("--dump", file).stdout.splitlines() if ":" in line]
    assert lines == [
        (
            "not carried: organization_members acme/krrish: user_role: admin is no role here;"
            " internal_user instead"
        ),
        (
            f"not carried: users krrish: tpm_limit: {2**62} is more than can be counted"
            f" ({MAX_LIMIT}), so no limit"
        ),
        "not carried: users krrish: user_role: team is no role here; internal_user instead",
        "not carried: users krrish: sso_user_id: not served by Tollgate",
        "not carried: teams core: members_with_roles: nobody@example.com is no user",
        "not carried: teams core: metadata.guardrails: kept as text, but not acted on",
        "not carried: customers anduril: default_model: not served by Tollgate",
        "not carried: keys production: tags: not served by Tollgate",
        "not carried: keys sk-...0000: organization_id: there is no organization gone",
        "skipped: 1 session keys of LiteLLM's own UI",
    ]


def test_a_second_run_changes_nothing(gateway: Gateway, server: str, file: str) -> None:
    """Whichever way the rows come, and whatever was spent meanwhile."""
    first = gateway.take("--url", server, "--master-key", LITELLM_MASTER)
    assert counts(first) == ALL_CREATED
    before = [
        gateway.get("/key/list", return_full_object="true"),
        gateway.get("/user/list"),
        gateway.get("/team/list"),
    ]
    second = gateway.take("--dump", file)
    assert counts(second) == {kind: [0, sum(row), 0, 0] for kind, row in ALL_CREATED.items()}
    assert before == [
        gateway.get("/key/list", return_full_object="true"),
        gateway.get("/user/list"),
        gateway.get("/team/list"),
    ]


def test_what_was_changed_here_stays_and_is_told(gateway: Gateway, file: str) -> None:
    """An import never overwrites."""
    gateway.take("--dump", file)
    gateway.post("/key/update", key=TOKEN, rpm_limit=9, models=[])
    again = gateway.take("--dump", file)
    assert counts(again)["keys"] == [0, 1, 1, 0]
    assert f"differs: keys {TOKEN}: differs here in models, limits; left as it is" in again.stdout
    assert gateway.get("/key/info", key=TOKEN)["info"]["rpm_limit"] == 9


def test_a_dry_run_changes_nothing(gateway: Gateway, file: str) -> None:
    """And tells the same counts."""
    result = gateway.take("--dump", file, "--dry-run")
    assert (counts(result), result.exit_code) == (ALL_CREATED, 0)
    assert gateway.get("/key/list")["total_count"] == 0


def test_progress_is_told(gateway: Gateway, server: str) -> None:
    """What is read and what is imported, apart from the report."""
    said = gateway.take("--url", server, "--master-key", LITELLM_MASTER).stderr.splitlines()
    assert "reading keys: 2" in said
    assert "reading keys: 3" in said
    assert "importing keys: 2 of 2" in said


def test_one_that_cannot_be_taken_keeps_out_no_other(gateway: Gateway, tmp_path: Path) -> None:
    """It is told what would be right, and the command fails."""
    path = tmp_path / "dump.json"
    keys = [
        {"token": "a" * 64, "key_alias": "same"},
        {"token": "b" * 64, "key_alias": "same"},
        {"token": "c" * 64, "budget_duration": "fortnight", "max_budget": 1},
        {"token": "sk-no-hash"},
        {"token": "d" * 64, "budget_id": "gone"},
    ]
    path.write_text(json.dumps({"keys": {"keys": keys}}), encoding="utf-8")
    result = gateway.take("--dump", str(path))
    assert result.exit_code == 1
    assert counts(result)["keys"] == [1, 0, 0, 4]
    assert "failed: keys " + "b" * 64 + ": Key with alias 'same' already exists." in result.stdout
    assert (
        "failed: keys " + "c" * 64 + ": budget_duration must be a whole number above 0 and one of"
        in result.stdout
    )
    assert "budget_id=gone does not exist" in result.stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "give either --url and --master-key, or --dump"),
        (("--url", "http://127.0.0.1:9"), "no LiteLLM master key"),
        (
            ("--url", "http://127.0.0.1:9", "--master-key", "sk-x"),
            "cannot reach LiteLLM at http://127.0.0.1:9",
        ),
        (("--dump", "/nowhere.json"), "cannot read /nowhere.json"),
    ],
)
def test_a_source_that_is_none_is_told(
    gateway: Gateway, options: tuple[str, ...], told: str
) -> None:
    """One sentence and exit 1."""
    result = gateway.take(*options)
    assert result.exit_code == 1
    assert told in result.stderr


def test_a_wrong_master_key_is_told(gateway: Gateway, server: str) -> None:
    """With what LiteLLM said."""
    result = gateway.take("--url", server, "--master-key", "sk-wrong")
    assert "LiteLLM answered /key/list with 401" in result.stderr


@pytest.mark.parametrize("text", ["[]", "{", '{"other": []}', '{"keys": ["hash"]}'])
def test_a_dump_that_is_none_is_told(gateway: Gateway, tmp_path: Path, text: str) -> None:
    """It must hold the lists, and keys whole."""
    path = tmp_path / "dump.json"
    path.write_text(text, encoding="utf-8")
    assert gateway.take("--dump", str(path)).exit_code == 1


def test_many_rows_are_sent_in_parts(gateway: Gateway, tmp_path: Path) -> None:
    """The gateway takes bodies of a mebibyte, and these are more."""
    path = tmp_path / "dump.json"
    keys = [{"token": f"{number:064x}", "metadata": {"x": "y" * 5000}} for number in range(300)]
    path.write_text(json.dumps({"keys": keys}), encoding="utf-8")
    result = gateway.take("--dump", str(path))
    assert counts(result)["keys"] == [300, 0, 0, 0]
    assert result.stderr.splitlines()[-1] == "importing keys: 300 of 300"
