"""Configuration files as people have them from LiteLLM: what each means here, and what is said of
the rest.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from tests.unit.settings.config_texts import ONE, about, faults, read

from tollgate.commands.printing import report
from tollgate.settings import Credential


@pytest.mark.parametrize(
    "section",
    [
        "litellm_settings",
        "general_settings",
        "router_settings",
        "tollgate",
        "model_list",
        "environment_variables",
        "include",
    ],
)
def test_an_empty_section_is_as_if_absent(tmp_path: Path, section: str) -> None:
    """YAML makes null of a name with nothing after it."""
    text = (
        f"general_settings: {{master_key: sk-a}}\n{section}:\n"
        if section != "general_settings"
        else f"{section}:\n"
    )
    assert read(tmp_path, text, LITELLM_MASTER_KEY="sk-a") == read(
        tmp_path, "{}", LITELLM_MASTER_KEY="sk-a"
    )


def test_a_null_in_a_section_is_as_if_absent(tmp_path: Path) -> None:
    """In our own section too, and in what is not served: it asks for nothing."""
    found = read(
        tmp_path,
        "tollgate: {port: null}\ngeneral_settings: {database_url: null, allowed_routes: null}\n",
    )
    assert (found.tollgate.port, about(found, "database_url"), about(found, "allowed_routes")) == (
        4000,
        [],
        [],
    )


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    """A line for each, with its place, what it is, and what would be right."""
    told = faults(
        tmp_path,
        """
model_list:
  - {model_name: a, litellm_params: {model: openai/x, api_base: os.environ/NOWHERE}}
  - {model_name: b, litellm_params: {model: openai/x, weight: -1}}
  - {model_name: c, litellm_params: {model: openai/x, api_base: "ftp://h"}}
  - {model_name: d, litellm_params: {model: openai/x, input_cost_per_token: much,
      output_cost_per_token: true, rpm: fast}, model_info: {output_cost_per_token: -1}}
  - {model_name: e, litellm_params: {model: openai/x, input_cost_per_token: os.environ/NO_PRICE}}
  - {litellm_params: {model: openai/x}}
  - text
litellm_settings: {max_budget: ten dollars, max_end_user_budget: -1}
general_settings: []
router_settings: {model_group_alias: {x: {hidden: true}}}
tollgate: {port: often, colour: red, redis_url: os.environ/NO_STORE}
""",
    )
    for wanted in (
        "model_list: a: litellm_params.api_base: the environment variable NOWHERE is not set",
        "model_list: b: litellm_params.weight: must be a number from 0 up (got -1)",
        "model_list: c: api_base: must be an http:// or https:// address",
        "model_list: d: litellm_params.rpm: must be a whole number (got 'fast')",
        "model_list: d: litellm_params.input_cost_per_token: must be dollars, zero or more (got",
        "model_list: d: litellm_params.output_cost_per_token: must be dollars, zero or more (got",
        "model_list: d: model_info.output_cost_per_token: must be dollars, zero or more (got -1)",
        "model_list: e: litellm_params.input_cost_per_token: the environment variable NO_PRICE is",
        "model_list.5.model_name: must be a name (got None)",
        "model_list.6: must be a mapping",
        "litellm_settings.max_budget: must be an amount of dollars, 0 or more (got 'ten dollars')",
        "litellm_settings.max_end_user_budget: must be an amount of dollars, 0 or more (got -1)",
        "general_settings: must be a mapping of names to values (got [])",
        "router_settings.model_group_alias.x.model: must be given",
        "tollgate.port: must be a whole number (got 'often')",
        "tollgate.colour: is no setting",
        "tollgate.redis_url: the environment variable NO_STORE is not set",
    ):
        assert [line for line in told if line.startswith(wanted)], (wanted, told)
    assert len(told) == 17


@pytest.mark.parametrize(
    "address",
    [
        "http://h:70000/v1",
        "http://h:0",
        "http://a b/v1",
        "http://[::1",
        f"http://{'a' * 254}/",
        "h",
    ],
)
def test_an_address_that_envoy_cannot_call_is_a_fault(tmp_path: Path, address: str) -> None:
    """Rendering it would fail, or Envoy refuse what was rendered."""
    entry = f"{{model_name: c, litellm_params: {{model: openai/x, api_base: '{address}'}}}}"
    (told,) = faults(tmp_path, f"model_list: [{entry}]")
    assert told.startswith("model_list: c: api_base: must be an http:// or https:// address")
    assert told.endswith(f"(got {address!r})")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("prot: 1", "tollgate.prot: is no setting; did you mean port?"),
        ("proxy_rpm: 1", "tollgate.proxy_rpm: is no setting; did you mean proxy_rpm_limit?"),
        ("zzz: 1", "tollgate.zzz: is no setting"),
        ("mode: quick", "tollgate.mode: must be 'grpc' or 'native' (got 'quick')"),
        (
            "tls: {certificate: a, key: b, keys: c}",
            "tollgate.tls.keys: is no setting",
        ),
    ],
)
def test_a_fault_says_what_would_be_right(tmp_path: Path, given: str, told: str) -> None:
    assert faults(tmp_path, ONE + f"tollgate: {{{given}}}") == [told]


def test_no_fault_shows_a_secret(tmp_path: Path) -> None:
    """What stands where a key should is not printed."""
    (told,) = faults(
        tmp_path, "model_list: [{model_name: m, litellm_params: {model: x, api_key: [sk-secret]}}]"
    )
    assert "sk-secret" not in told


def test_variables_matter_only_where_they_are_served(tmp_path: Path) -> None:
    """What is not served is one notice, set or not."""
    found = read(
        tmp_path,
        ONE
        + """
litellm_settings:
  cache_params: {password: os.environ/CACHE_PASSWORD}
  default_team_settings: [{team_id: blue, langfuse_secret: os.environ/LANGFUSE}]
router_settings: {redis_host: os.environ/ROUTER}
general_settings: {master_key: sk-a, database_url: os.environ/DATABASE_URL}
files_settings: [{custom_llm_provider: azure, api_key: os.environ/FILES}]
""",
    )
    assert sorted(found.notices) == [
        "files_settings: not served by Tollgate, ignored",
        "general_settings.database_url: not served by Tollgate, ignored",
        "litellm_settings.cache_params: not served by Tollgate, ignored",
        "litellm_settings.default_team_settings: not served by Tollgate, ignored",
        "router_settings.redis_host: not served by Tollgate, ignored",
    ]


def test_included_files_are_read_as_if_they_stood_there(tmp_path: Path) -> None:
    """Lists are joined, of other sections the included one stands, paths are relative to their
    file, each is read once.
    """
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "models.yaml").write_text(
        "include: [more.yaml, ../file.yaml]\nmodel_list: [{model_name: b, litellm_params: {model:"
        " openai/x}}]"
    )
    (tmp_path / "deep" / "more.yaml").write_text(
        "model_list: [{model_name: c, litellm_params: {model: openai/x}}]\nlitellm_settings:"
        " {max_budget: 25}\n"
    )
    found = read(
        tmp_path,
        "include: [deep/models.yaml]\nlitellm_settings: {max_budget: 5, budget_duration: 30d}\n"
        "model_list: [{model_name: a, litellm_params: {model: openai/x}}]",
    )
    assert [each.model_name for each in found.entries] == ["a", "b", "c"]
    assert (found.litellm.max_budget, found.litellm.budget_duration) == (Decimal(25), None)


def test_an_included_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With the file that names it."""
    (told,) = faults(tmp_path, "include: [lost.yaml]")
    assert told.startswith("include: cannot read ")
    assert "lost.yaml" in told


def test_a_file_may_bring_variables_of_its_own(tmp_path: Path) -> None:
    """They win over the process's own, with a notice; one may name another; what changes programs
    is not taken.
    """
    found = read(
        tmp_path,
        """
environment_variables:
  KEY: sk-written-here
  BASE: os.environ/OUTSIDE
  AGAIN: os.environ/BASE
  LD_PRELOAD: /tmp/x.so
  PATH: /tmp
  LITELLM_MASTER_KEY: sk-inside
  NUMBER: 3
model_list:
  - {model_name: m, litellm_params: {model: openai/x, api_base: os.environ/AGAIN,
      api_key: os.environ/KEY, weight: os.environ/NUMBER}}
""",
        OUTSIDE="http://h/v1",
        KEY="sk-outside",
    )
    (served,) = found.entries
    assert (served.api_base, served.weight, found.master_key) == ("http://h/v1", 3, "sk-inside")
    assert found.credentials == {"m": Credential("KEY", "sk-written-here")}
    assert sorted(found.notices) == [
        "environment_variables.KEY: overrides the variable of the process",
        "environment_variables.LD_PRELOAD: not accepted from a file",
        "environment_variables.PATH: not accepted from a file",
    ]
    assert "sk-written-here" not in "\n".join(report.describe(found, {}))


def test_variables_that_name_each_other_are_not_set(tmp_path: Path) -> None:
    """No endless look-up."""
    assert faults(
        tmp_path,
        "environment_variables: {A: os.environ/B, B: os.environ/A}\n"
        "model_list: [{model_name: m, litellm_params: {model: x, api_base: os.environ/A}}]",
    ) == ["model_list: m: litellm_params.api_base: the environment variable A is not set"]


def test_the_master_key_may_come_from_outside(tmp_path: Path) -> None:
    """LITELLM_MASTER_KEY; where the file names another variable, that one is meant."""
    assert read(tmp_path, ONE, LITELLM_MASTER_KEY="sk-out").master_key == "sk-out"
    assert not about(read(tmp_path, ONE, LITELLM_MASTER_KEY="sk-out"), "administer")
    assert about(read(tmp_path, ONE), "administer")
    named = read(
        tmp_path,
        ONE + "general_settings: {master_key: os.environ/OTHER}",
        LITELLM_MASTER_KEY="sk-out",
    )
    assert named.master_key is None


def test_what_a_router_does_is_told_where_it_is_not_served(tmp_path: Path) -> None:
    """One notice each, also where it is served otherwise; weights are served.

    Numbers may be text.
    """
    found = read(
        tmp_path,
        """
model_list:
  - {model_name: m, litellm_params: {model: openai/gpt-4o, rpm: 600, weight: 3, max_retries: "2"}}
router_settings: {routing_strategy: simple-shuffle, num_retries: "2", cooldown_time: 30,
    fallbacks: [{m: [n]}]}
litellm_settings: {context_window_fallbacks: [{m: [n]}]}
""",
        LITELLM_MASTER_KEY="sk-a",
    )
    assert found.deployments[0].weight == 3
    (enforced,) = about(found, "litellm_params.rpm")
    assert "a limit of the deployment" in enforced
    others = set(found.notices) - {enforced}
    assert {
        each.rpartition(": ")[0].removesuffix(": not served by Tollgate") for each in others
    } == {
        "fallbacks",
        "context_window_fallbacks",
        "model_list: m: litellm_params.max_retries",
        "router_settings.num_retries",
        "router_settings.cooldown_time",
        "router_settings.fallbacks",
        "litellm_settings.context_window_fallbacks",
    }
