"""Limits of deployments and providers as a file gives them, and the shares of deployments."""

from __future__ import annotations

from pathlib import Path

import pytest

from tollgate.core.errors import SettingsError
from tollgate.core.limits.accounts import Meter
from tollgate.core.limits.limit import Bucket, Forever, InFlight, Limit, Recurring
from tollgate.core.limits.shares import Shares
from tollgate.settings import Settings, load

DOLLAR = 1_000_000_000


def read(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "file.yaml"
    file.write_text(text)
    return load(file, {"LITELLM_MASTER_KEY": "sk-a", "KEY": "k"})


def entry(params: str, name: str = "m", beside: str = "") -> str:
    served = f"litellm_params: {{model: openai/x, api_key: k, {params}}}"
    return f"  - {{model_name: {name}, {served}{beside}}}\n"


def limits(settings: Settings, identity: str) -> dict[str, tuple[Limit, ...]]:
    """The limits of what serves, by scope."""
    return {
        f"{scope.kind}:{scope.id}": each.limits
        for scope, each in settings.upstreams.get(identity, ())
    }


@pytest.mark.parametrize(
    ("params", "beside", "wanted"),
    [
        ("rpm: 6", "", Limit(Meter.REQUESTS, 6, Bucket(60))),
        ("tpm: '900'", "", Limit(Meter.TOKENS, 900, Bucket(60))),
        ("api_base: 'http://h'", ", rpm: 7", Limit(Meter.REQUESTS, 7, Bucket(60))),
        ("max_parallel_requests: 3", "", Limit(Meter.CALLS, 3, InFlight())),
        ("max_budget: 0.5", "", Limit(Meter.USD, DOLLAR // 2, Forever())),
        ("max_budget: 2, budget_duration: 1d", "", Limit(Meter.USD, 2 * DOLLAR, Recurring("1d"))),
        (
            "limits: [{meter: input_tokens, amount: 5, per: 1h}]",
            "",
            Limit(Meter.INPUT_TOKENS, 5, Bucket(3600)),
        ),
    ],
)
def test_a_deployment_says_its_limits_in_litellm_params(
    tmp_path: Path, params: str, beside: str, wanted: Limit
) -> None:
    """In LiteLLM's fields, or in the general form."""
    found = read(tmp_path, "model_list:\n" + entry(params, beside=beside))
    assert limits(found, "m") == {"deployment:m": (wanted,)}


@pytest.mark.parametrize(
    ("budget", "wanted"),
    [
        ("{budget_limit: 1, time_period: 1d}", Limit(Meter.USD, DOLLAR, Recurring("1d"))),
        ("{max_budget: 1, budget_duration: 30d}", Limit(Meter.USD, DOLLAR, Recurring("30d"))),
        ("{tpm_limit: 4}", Limit(Meter.TOKENS, 4, Bucket(60))),
        ("{limits: [{meter: calls, amount: 2}]}", Limit(Meter.CALLS, 2, InFlight())),
    ],
)
def test_provider_budget_config_limits_all_deployments_of_a_provider(
    tmp_path: Path, budget: str, wanted: Limit
) -> None:
    """And no other provider's."""
    found = read(
        tmp_path,
        "model_list:\n"
        + entry("weight: 1")
        + entry("custom_llm_provider: groq", "g")
        + f"router_settings: {{provider_budget_config: {{openai: {budget}}}}}\n",
    )
    assert limits(found, "m") == {"provider:openai": (wanted,)}
    assert limits(found, "g") == {}


def test_deployments_of_one_entry_share_its_limits(tmp_path: Path) -> None:
    """A vendor's second endpoint and the parts of a bare wildcard are one account."""
    found = read(
        tmp_path,
        "model_list:\n"
        "  - {model_name: c, litellm_params: {model: anthropic/claude-x, api_key: k, rpm: 3}}\n"
        "  - {model_name: '*', litellm_params: {model: '*', rpm: 5}}\n",
    )
    wildcard = [each.id for each in found.deployments if each.model_name != "c"]
    counted = {scope.id for each in wildcard for scope, _ in found.upstreams[each]}
    assert len(counted) == 1
    assert limits(found, "c") == limits(found, "c+openai") != {}


@pytest.mark.parametrize(
    "settings",
    [
        "router_settings: {default_max_parallel_requests: 4}",
        "general_settings: {max_parallel_requests: 4}",
    ],
)
def test_calls_at_once_of_every_deployment_have_a_default(tmp_path: Path, settings: str) -> None:
    """A deployment's own figure comes first."""
    text = "model_list:\n" + entry("weight: 1") + entry("max_parallel_requests: 9", "n")
    found = read(tmp_path, text + settings)
    assert limits(found, "m") == {"deployment:m": (Limit(Meter.CALLS, 4, InFlight()),)}
    assert limits(found, "n") == {"deployment:n": (Limit(Meter.CALLS, 9, InFlight()),)}


def test_a_file_without_such_limits_has_none(tmp_path: Path) -> None:
    """Its calls cost nothing more."""
    assert read(tmp_path, "model_list:\n" + entry("weight: 2")).upstreams == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rpm: -1", "rpm"),
        ("max_budget: much", "max_budget"),
        ("rpm: 3, limits: [{meter: requests, amount: 4, per: 1m}]", "differently"),
        ("limits: [{meter: tokens, amount: 4, per: 1m, max_wait_ms: 5}]", "max_wait_ms"),
        (
            "limits: [{meter: tokens, amount: 4, per: 1m, on_exceeded: {throttle: 10%}}]",
            "on_exceeded",
        ),
        ("limits: [{meter: tokens, amount: 4, per: 1m, model: m}]", "model"),
    ],
)
def test_a_limit_that_cannot_be_is_a_fault(tmp_path: Path, text: str, told: str) -> None:
    """It names the model and the field."""
    with pytest.raises(SettingsError) as raised:
        read(tmp_path, "model_list:\n" + entry(text))
    assert "model_list: m" in str(raised.value)
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("several", "wanted"),
    [
        (("weight: 3", "weight: 1"), [3, 1]),
        (("weight: 3", "rpm: 600"), [3, 1]),
        (("rpm: 600, tpm: 5", "rpm: 200, tpm: 90"), [600, 200]),
        (("tpm: 5", "tpm: 90"), [5, 90]),
        (("rpm: 600", "tpm: 90"), [1, 1]),
        (("rpm: 600", "timeout: 5"), [1, 1]),
        (("timeout: 4", "timeout: 5"), [1, 1]),
    ],
)
def test_calls_are_shared_out_as_litellm_shares_them(
    tmp_path: Path, several: tuple[str, str], wanted: list[int]
) -> None:
    """By weight, then by requests a minute, then by tokens a minute."""
    found = read(tmp_path, "model_list:\n" + "".join(map(entry, several)))
    assert [each.weight for each in found.deployments] == wanted


SHARED = (
    "limits: [{meter: tokens, amount: 900, per: 1m, shares: {t: 0.6}, saturation_threshold: 0.8}]"
)


def shares(settings: Settings, identity: str) -> dict[str, Shares | None]:
    """How the limits of a deployment are divided, by what they count."""
    (found,) = limits(settings, identity).values()
    return {each.meter.value: each.shares for each in found}


def test_a_limit_says_how_it_is_divided(tmp_path: Path) -> None:
    """Of a deployment or a provider."""
    found = read(tmp_path, "model_list:\n" + entry(SHARED))
    assert shares(found, "m") == {"tokens": Shares((("t", 600),), 800)}
    provider = f"router_settings: {{provider_budget_config: {{openai: {{{SHARED}}}}}}}\n"
    found = read(tmp_path, "model_list:\n" + entry("weight: 1") + provider)
    assert shares(found, "m") == {"tokens": Shares((("t", 600),), 800)}


@pytest.mark.parametrize(
    ("limit", "wrong"),
    [
        ("{meter: usd, amount: 9, per: 1d, shares: {t: 0.5}}", "shares are for requests or tokens"),
        ("{meter: calls, amount: 9, shares: {t: 0.5}}", "shares are for requests or tokens"),
        ("{meter: tokens, amount: 9, per: 1m, strict: true, shares: {t: 0.5}}", "not strict"),
        ("{meter: requests, amount: 9, per: 1m, shares: {t: 2}}", "from 0.001 to 1"),
        ("{meter: requests, amount: 9, per: 1m, shares: {t: 0.1}}", "no room for one of the 9"),
        ("{meter: requests, amount: 9, per: 1m, saturation_threshold: 0.5}", "needs shares"),
    ],
)
def test_shares_that_make_no_sense_are_faults(tmp_path: Path, limit: str, wrong: str) -> None:
    """The fault says what would be right."""
    with pytest.raises(SettingsError, match=wrong):
        read(tmp_path, "model_list:\n" + entry(f"limits: [{limit}]"))


def test_shares_are_not_for_limits_of_callers(tmp_path: Path) -> None:
    """Those of all calls are divided by limits of teams and keys."""
    text = "tollgate: {limits: [{meter: requests, amount: 9, per: 1m, shares: {t: 0.5}}]}\n"
    with pytest.raises(SettingsError, match="shares"):
        read(tmp_path, "model_list:\n" + entry("weight: 1") + text)


@pytest.mark.parametrize(
    ("reservation", "more", "wanted"),
    [
        ("{prod: 0.9, dev: 0.1}", "", Shares((("prod", 900), ("dev", 100)))),
        ("{prod: 0.5}", "", Shares((("prod", 500), ("*", 500)))),
        (
            "{prod: 0.5}",
            "{default_priority: 0.1, saturation_threshold: 0.8}",
            Shares((("prod", 500), ("*", 100)), 800),
        ),
        ("{a: 0.6, b: 0.9}", "", Shares((("a", 400), ("b", 600)))),
        (
            "{a: {type: rpm, value: 30}, b: {type: percent, value: 0.2}}",
            "{default_priority: 0}",
            Shares((("a", 300), ("b", 200))),
        ),
    ],
)
def test_priorities_of_litellm_are_shares_of_each_deployment_of_a_model(
    tmp_path: Path, reservation: str, more: str, wanted: Shares
) -> None:
    """Amounts are told of all deployments of the model together. More than all is scaled down."""
    both = entry("rpm: 60, tpm: 9000", beside=", model_info: {id: a}")
    both += entry("rpm: 40, max_parallel_requests: 3", beside=", model_info: {id: b}")
    text = f"litellm_settings:\n  priority_reservation: {reservation}\n"
    text += f"  priority_reservation_settings: {more}\n" if more else ""
    found = read(tmp_path, "model_list:\n" + both + text)
    assert shares(found, "a") == {"requests": wanted, "tokens": wanted}
    assert shares(found, "b") == {"requests": wanted, "calls": None}
