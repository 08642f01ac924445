"""What a file says of all calls: aliases, restrictions, prices and limits."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.settings.config_texts import about, faults, prices, read

from tollgate.app.base import terms
from tollgate.commands.printing import report


def test_an_alias_stands_for_a_model_of_the_list(tmp_path: Path) -> None:
    """Or for one that a wildcard serves; others are told."""
    found = read(
        tmp_path,
        """
model_list:
  - {model_name: mini, litellm_params: {model: openai/gpt-4o-mini}}
  - {model_name: eu-*, litellm_params: {model: openai/*}}
router_settings:
  model_group_alias: {gpt-4: mini, old: {model: mini, hidden: true}, far: eu-gpt-4o, lost: nobody}
litellm_settings: {model_alias_map: {nick: mini}}
""",
    )
    assert {name: (each.model, each.hidden) for name, each in found.aliases.items()} == {
        "nick": ("mini", False),
        "gpt-4": ("mini", False),
        "old": ("mini", True),
        "far": ("eu-gpt-4o", False),
    }
    assert len(about(found, "lost")) == 1


@pytest.mark.parametrize(
    "setting",
    [
        "general_settings: {allowed_ips: [10.0.0.1]}",
        "general_settings: {enforce_user_param: true}",
        "litellm_settings: {upperbound_key_generate_params: {models: [m]}}",
        "router_settings: {tag_budget_config: {t: {max_budget: 1, budget_duration: 1d}}}",
    ],
)
def test_what_restricts_and_is_not_served_is_a_fault(tmp_path: Path, setting: str) -> None:
    """Silence would be a hole. Whoever starts it all the same is told."""
    (told,) = faults(tmp_path, setting)
    assert "restricts calls" in told
    assert "--allow-unenforced" in told
    (notice,) = about(read(tmp_path, setting, allow_unenforced=True), "restricts")
    assert notice in told


def test_what_is_switched_off_restricts_nobody(tmp_path: Path) -> None:
    """It is a notice like any other."""
    assert about(
        read(tmp_path, "general_settings: {enforce_user_param: false, allowed_ips: []}"), "ignored"
    )


def test_a_limit_that_litellm_has_elsewhere_is_served(tmp_path: Path) -> None:
    """Unless our own section says the same."""
    text = "general_settings: {global_max_parallel_requests: 7}\n"
    assert read(tmp_path, text).tollgate.proxy_max_parallel_requests == 7
    assert (
        read(
            tmp_path, text + "tollgate: {proxy_max_parallel_requests: 3}"
        ).tollgate.proxy_max_parallel_requests
        == 3
    )


def test_callbacks_and_guardrails_are_told(tmp_path: Path) -> None:
    """One line each; a guardrail that always applies is told as one that calls pass without."""
    found = read(
        tmp_path,
        """
guardrails:
  - {guardrail_name: always, litellm_params: {guardrail: presidio, mode: pre_call,
      default_on: true, base: os.environ/P}}
  - {guardrail_name: asked, litellm_params: {guardrail: lakera_v2, mode: during_call,
      api_key: os.environ/L}}
callback_settings: {otel: {message_logging: false}}
litellm_settings: {callbacks: [prometheus], success_callback: [s3]}
""",
        LITELLM_MASTER_KEY="sk-a",
    )
    assert sorted(found.notices) == [
        "callback_settings: not served by Tollgate, ignored",
        "guardrails: always: not served by Tollgate: calls pass without it",
        "guardrails: asked: not served by Tollgate, ignored",
        "litellm_settings.callbacks: not served by Tollgate, ignored",
        "litellm_settings.success_callback: not served by Tollgate, ignored",
    ]


def test_prices_may_stand_under_model_info(tmp_path: Path) -> None:
    """Those of litellm_params win where both stand."""
    found = read(
        tmp_path,
        """
model_list:
  - model_name: rented
    litellm_params: {model: openai/x}
    model_info: {input_cost_per_token: 0.000001, output_cost_per_token: 0.000004}
  - model_name: both
    litellm_params: {model: openai/x, input_cost_per_token: 0.000001,
        output_cost_per_token: 0.000002}
    model_info: {input_cost_per_token: 0.5, output_cost_per_token: 0.5}
  - model_name: own
    litellm_params: {model: openai/x}
    model_info: {input_cost_per_token: 0, output_cost_per_token: 0}
""",
    )
    assert prices(found) == {"rented": ("1", "4"), "both": ("1", "2"), "own": ("0", "0")}
    assert not about(found, "cost_per_token")


def test_a_base_model_is_priced_whoever_serves_it(tmp_path: Path) -> None:
    """One that the table does not know is told."""
    found = read(
        tmp_path,
        """
model_list:
  - {model_name: sonnet, litellm_params: {model: openai/hub},
      model_info: {base_model: anthropic/claude-sonnet-4-5}}
  - {model_name: 4o, litellm_params: {model: hosted_vllm/y, api_base: "http://h"},
      model_info: {base_model: openai/gpt-4o}}
  - {model_name: lost, litellm_params: {model: openai/hub},
      model_info: {base_model: openai/nobodys-model}}
""",
    )
    assert prices(found) == {"sonnet": ("3", "15"), "4o": ("2.5", "10")}
    (line,) = [each for each in report.describe(found, {}) if "base_model" in each]
    assert "lost" in line
    assert "nobodys-model" in line


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        (
            'proxy_rpm_limit: 5, limits: [{meter: requests, amount: 9, per: "1m"}]',
            "tollgate: proxy_rpm_limit and limits limit the requests of one window differently",
        ),
        (
            "limits: [{meter: tokens, amount: 5, per: 1d}, {meter: tokens, amount: 9, per: 24h}]",
            "tollgate: limits and limits limit the tokens of one window differently",
        ),
    ],
)
def test_two_amounts_for_one_window_of_all_calls_are_a_fault(
    tmp_path: Path, ours: str, expected: str
) -> None:
    """Both would count with the same counter, each call twice."""
    assert [line.partition(" (got")[0] for line in faults(tmp_path, f"tollgate: {{{ours}}}")] == [
        expected
    ]


def test_a_limit_of_all_calls_that_is_said_twice_is_one(tmp_path: Path) -> None:
    """However it is spelled."""
    twice = 'proxy_rpm_limit: 5, limits: [{meter: requests, amount: 5, per: "1m"}]'
    policy = terms(read(tmp_path, f"tollgate: {{{twice}}}")).policy
    assert [each.amount for each in policy.proxy.limits] == [5]
