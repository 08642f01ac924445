"""Files as people write them: placeholders, empty texts, names that stand twice, keys in the wrong
section. Each is served as it is meant, or told about.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.settings.config_texts import ONE, about, deployment, faults, prices, read

from tollgate.app.creating import creation_of
from tollgate.core.errors import SettingsError

MODEL = "model_list: [{model_name: m, litellm_params: {model: openai/x}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model_list: []\nlitellm_settings: {}\nmodel_list: [1]\n", ["model_list", "1 and 3"]),
        (ONE + "litellm_settings:\n  max_budget: 1\n  max_budget: 2\n", ["max_budget", "3 and 4"]),
        (
            "model_list:\n- model_name: m\n  litellm_params:\n    api_key: k\n    model: x\n"
            "    api_key: l\n",
            ["api_key", "4 and 6"],
        ),
    ],
)
def test_a_name_with_two_values_is_a_fault(tmp_path: Path, text: str, told: list[str]) -> None:
    """A parser would take the last one, and models or limits would go without a word."""
    (fault,) = faults(tmp_path, text)
    name, lines = told
    assert fault == f"{name} stands twice, with different values (lines {lines}); leave one out"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model_list: &a [*a]", "an anchor contains itself"),
        ("general_settings: &a {master_key: k, b: {c: *a}}", "an anchor contains itself"),
        (f"model_list: {'[' * 500}{']' * 500}", "nested more than 100 deep"),
    ],
    ids=["list", "mapping", "deep"],
)
def test_a_value_without_an_end_is_a_fault(tmp_path: Path, text: str, told: str) -> None:
    """YAML allows an anchor within itself; nothing here could read it."""
    (fault,) = faults(tmp_path, text)
    assert told in fault


def test_the_same_value_twice_is_no_fault_nor_is_a_merged_one(tmp_path: Path) -> None:
    """A key beside `<<` overrides the merged one, also where both are merged further."""
    found = read(
        tmp_path,
        """
x-root: &root {api_key: k, model: openai/gpt-4o}
x-base: &base {<<: *root, model: openai/gpt-4o-mini}
litellm_settings: {drop_params: true, drop_params: true}
model_list:
  - {model_name: a, litellm_params: {<<: *base, model: openai/o3}}
  - {model_name: b, litellm_params: {<<: [*base, *root]}}
  - {model_name: c, litellm_params: *base}
""",
    )
    assert [each.model for each in found.entries] == ["o3", "gpt-4o-mini", "gpt-4o-mini"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty; it must hold a mapping with model_list"),
        ("# nothing yet\n---\n", "is empty; it must hold a mapping with model_list"),
        ("- a\n", "holds no mapping; it must hold"),
        ("model_list:\n{{- range .Values.models }}\n", "render that first (`helm template`)"),
        ("model_list:\n\t- model_name: m\n", "line 2, column 1"),
        ("model_list:\n\t- model_name: m\n", "by spaces, not by tabs"),
        ("model_list: []\n---\nmodel_list: []\n", "give one document alone"),
        ("apiVersion: v1\nkind: ConfigMap\ndata: {config.yaml: x}\n", "manifest's `data`"),
        ("model_list: !include x.yaml\n", "line 1, column 13"),
    ],
)
def test_a_text_that_is_no_configuration_says_what_it_is(
    tmp_path: Path, text: str, told: str
) -> None:
    """With the place, and with what would be right."""
    with pytest.raises(SettingsError) as raised:
        read(tmp_path, text)
    assert told in str(raised.value)
    assert "unicode string" not in str(raised.value)


def test_an_empty_text_is_as_if_left_out(tmp_path: Path) -> None:
    """Files that are made from a template are full of them."""
    empty = read(
        tmp_path,
        "model_list: [{model_name: m, litellm_params: {model: openai/gpt-4o, api_key: '',"
        " api_base: '', api_version: '', custom_llm_provider: ''}, model_info: {base_model: ''}}]\n"
        "general_settings: {master_key: ''}",
        LITELLM_MASTER_KEY="sk-a",
        OPENAI_API_KEY="sk-b",
    )
    absent = read(
        tmp_path,
        "model_list: [{model_name: m, litellm_params: {model: openai/gpt-4o}}]",
        LITELLM_MASTER_KEY="sk-a",
        OPENAI_API_KEY="sk-b",
    )
    assert empty == absent


def test_an_empty_number_is_a_fault(tmp_path: Path) -> None:
    """Left out, a limit would be gone."""
    (fault,) = faults(
        tmp_path, "model_list: [{model_name: m, litellm_params: {model: openai/x, rpm: ''}}]"
    )
    assert fault == "model_list: m: litellm_params.rpm: must be a whole number (got '')"


def test_an_empty_variable_is_a_fault_where_an_address_is(tmp_path: Path) -> None:
    """The call would go to somebody else. An empty key of administrators is none."""
    (fault,) = faults(
        tmp_path,
        "model_list: [{model_name: m, litellm_params: {model: openai/x, api_base: os.environ/A}}]",
        A="",
    )
    assert fault.endswith("litellm_params.api_base: the environment variable A is empty")
    found = read(tmp_path, "general_settings: {master_key: os.environ/A}", A="")
    assert found.master_key is None
    assert about(found, "nobody can administer keys")


@pytest.mark.parametrize("name", ["my-key", "team.key", "KEY_1 ", "vault/openai"])
def test_a_variable_has_any_name(tmp_path: Path, name: str) -> None:
    """Kubernetes allows dots and dashes, and managers of secrets allow slashes."""
    found = deployment(tmp_path, f"model: openai/x, api_key: 'os.environ/{name}'")
    assert [each.variable for each in found.credentials.values()] == [name.strip()]
    assert found.missing_variables({})


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("https://os.environ/HOST/v1", "must be an http:// or https:// address"),
        ("http://user:secret@h/v1", "holds a user or a password"),
        ("localhost:8000/v1", "must be an http:// or https:// address"),
    ],
)
def test_an_address_that_would_be_called_otherwise_is_a_fault(
    tmp_path: Path, address: str, told: str
) -> None:
    """A variable within a text is not replaced, and Envoy sends no password of an address."""
    (fault,) = faults(
        tmp_path,
        "model_list: [{model_name: m, litellm_params: {model: openai/x,"
        f" api_base: '{address}'}}}}]",
    )
    assert told in fault
    assert "secret" not in fault


@pytest.mark.parametrize("text", ["${OPENAI_API_KEY}", "$OPENAI_API_KEY", "{{ .Values.key }}"])
def test_a_placeholder_of_another_program_is_told(tmp_path: Path, text: str) -> None:
    """A provider would refuse such a key, and everybody could guess the administrators'."""
    found = read(
        tmp_path,
        f"model_list: [{{model_name: m, litellm_params: {{model: openai/x, api_key: '{text}'}}}}]\n"
        f"general_settings: {{master_key: '{text}'}}",
    )
    assert len(about(found, "os.environ/NAME")) == 2
    assert not about(
        deployment(tmp_path, "model: openai/gpt-4o, api_key: sk-a$b", LITELLM_MASTER_KEY="sk-c"),
        "os.environ/NAME",
    )


@pytest.mark.parametrize(
    ("key", "home"),
    [
        ("max_budget: 10", "litellm_settings"),
        ("general_settings: {max_budget: 10}", "litellm_settings"),
        ("general_settings: {num_retries: 3}", "litellm_settings"),
        ("general_settings: {retry_policy: {TimeoutErrorRetries: 2}}", "router_settings"),
        ("litellm_settings: {master_key: sk-1}", "general_settings"),
        ("litellm_settings: {timeout: 5}", "router_settings"),
        ("router_settings: {request_timeout: 5}", "litellm_settings"),
    ],
)
def test_a_key_in_the_wrong_section_is_told_where_it_belongs(
    tmp_path: Path, key: str, home: str
) -> None:
    """LiteLLM ignores it there without a word."""
    (told,) = about(read(tmp_path, ONE + key), "belongs in")
    assert told.endswith(f"has no effect here: it belongs in {home}")


@pytest.mark.parametrize("key", ["max_budget: 10", "timeout: 5", "input_cost_per_token: 1"])
def test_a_key_beside_litellm_params_is_told_where_it_belongs(tmp_path: Path, key: str) -> None:
    """Rates stand there in public files, and are served; these are not, in LiteLLM either."""
    (told,) = about(read(tmp_path, f"{MODEL}, {key}}}]"), "belongs in")
    assert (
        told
        == f"model_list: m: {key.split(':')[0]}: has no effect here: it belongs in litellm_params"
    )


@pytest.mark.parametrize(
    "setting",
    [
        "litellm_settings: {default_key_generate_params: {model_max_budget: {m: 1}}}",
        "litellm_settings: {default_internal_user_params: {budget_limits: [{max_budget: 1}]}}",
        "litellm_settings: {default_team_params: {team_member_budget: 5}}",
        "general_settings: {missing_session_id: reject}",
    ],
)
def test_limits_of_what_is_new_stop_the_start_where_they_are_not_served(
    tmp_path: Path, setting: str
) -> None:
    """A notice alone would leave new keys without them."""
    (fault,) = faults(tmp_path, setting)
    assert "restricts calls, and is not served by Tollgate" in fault
    assert not about(read(tmp_path, "general_settings: {missing_session_id: omit}"), "restricts")


@pytest.mark.parametrize(
    "key", ["access_windows: [{start: '08:00'}]", "enable_tag_filtering: true"]
)
def test_what_restricts_a_model_stops_the_start(tmp_path: Path, key: str) -> None:
    """Hours of the day, and tags of callers."""
    (fault,) = faults(tmp_path, f"{MODEL}, model_info: {{{key}}}}}]")
    assert f"model_info.{key.split(':')[0]}: restricts calls" in fault


def test_a_blocked_model_is_left_out(tmp_path: Path) -> None:
    """LiteLLM reads it in model_info, and lists of models have it beside that."""
    found = read(tmp_path, MODEL + ", model_info: {blocked: true}}]")
    assert (found.entries, found.warnings) == (
        (),
        ("model_list: m: blocked is true; it is left out",),
    )


@pytest.mark.parametrize(
    ("older", "newer", "nanousd"),
    [
        ("max_budget: 100.0", "{}", 100_000_000_000),
        ("max_budget: 7", "{rpm_limit: 1}", 7_000_000_000),
        ("max_budget: 7", "{max_budget: 5}", 5_000_000_000),
        ("langfuse_secret: os.environ/NOT_SET", "{}", None),
    ],
)
def test_new_teams_have_the_budget_that_older_files_give_them(
    tmp_path: Path, older: str, newer: str, nanousd: int | None
) -> None:
    """That of the first entry, where nothing newer says otherwise."""
    found = creation_of(
        read(
            tmp_path,
            f"litellm_settings: {{default_team_settings: [{{team_id: a, {older}}}],"
            f" default_team_params: {newer}}}",
        )
    )
    assert found.teams.limits.max_budget_nanousd == nanousd


@pytest.mark.parametrize("kind", ["rpd_limit", "tpd_limit"])
def test_limits_of_a_day_are_given_and_bounded(tmp_path: Path, kind: str) -> None:
    """As those of a minute."""
    found = creation_of(
        read(
            tmp_path,
            f"litellm_settings: {{default_key_generate_params: {{{kind}: 5}},"
            f" upperbound_key_generate_params: {{{kind}: 9}}}}",
        )
    ).keys
    assert (found.limits.amount(kind), found.most.amount(kind)) == (5, 9)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("auto_router/mine", "chooses a model by the prompt"),
        ("langfuse/gpt-4o", "takes the prompt from elsewhere"),
        ("dotprompt/gpt-4o", "takes the prompt from elsewhere"),
    ],
)
def test_what_litellm_does_itself_is_left_out_with_its_reason(
    tmp_path: Path, model: str, reason: str
) -> None:
    """It is no provider, so no address would help."""
    found = deployment(tmp_path, f"model: {model}, prompt_id: p")
    assert found.entries == ()
    (warning,) = found.warnings
    assert f"{reason}, which Tollgate does not do; it is left out" in warning


def test_a_provider_is_known_in_any_case(tmp_path: Path) -> None:
    """So its paths and headers are its own."""
    found = deployment(tmp_path, "model: Azure/x, api_base: 'https://x.openai.azure.com'")
    assert found.entries[0].provider == "azure"


def test_checks_that_are_not_made_are_told_as_such(tmp_path: Path) -> None:
    """Callbacks that only report are not."""
    found = read(
        tmp_path,
        ONE + "litellm_settings: {pre_call_rules: my.rule, callbacks: [otel, hide_secrets]}",
    )
    assert len(about(found, "calls pass without what it checks")) == 2
    assert not about(read(tmp_path, ONE + "litellm_settings: {callbacks: [otel]}"), "calls pass")


@pytest.mark.parametrize("name", ["output_cost_per_second", "output_cost_per_video_per_second"])
def test_zeros_beside_a_price_that_is_not_served_make_no_call_free(
    tmp_path: Path, name: str
) -> None:
    """Public files pay seconds so, with zeros for tokens."""
    zeros = "input_cost_per_token: 0, output_cost_per_token: 0"
    paid = read(tmp_path, f"{MODEL}, model_info: {{{zeros}, {name}: 0.06}}}}]")
    assert "m" not in prices(paid)
    assert about(paid, f"prices of zero are not taken beside {name}")
    free = read(tmp_path, f"{MODEL}, model_info: {{{zeros}, {name}: 0}}}}]")
    assert prices(free)["m"] == ("0", "0")


def test_parameters_that_litellm_adds_to_calls_are_told(tmp_path: Path) -> None:
    """A limit of output that nobody adds changes what calls cost."""
    found = deployment(tmp_path, "model: openai/gpt-4o, max_tokens: 500, temperature: 0")
    assert len(about(found, "bodies pass as clients send them")) == 2
