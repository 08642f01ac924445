"""The configuration file, as pydantic models: the page's own form, and our section `tollgate:`.

This is the only module that reads the file and the environment. What a LiteLLM file may hold and we do not serve is reported
in one line each (`Settings.notices`); an unknown key in our own section is an error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from tollgate.core.entities import Deployment
from tollgate.core.errors import SettingsError
from tollgate.core.presets import Preset

EXAMPLE_FILE = Path(__file__).with_name("example.yaml")
MOCK_HOST = "mock-llm"
"""A deployment whose api_base names this host is served by the built-in provider, which `tollgate up` then starts."""

DEFAULT_API_BASES = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
}
"""Where a provider is when the file does not say (reference: each provider's API documentation)."""

_ENVIRONMENT = re.compile(r"^os\.environ/([A-Za-z_][A-Za-z0-9_]*)$")


class _Page(BaseModel):
    """A section in the page's form: what we do not know is kept and reported, not refused."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())


class _Ours(BaseModel):
    """A section of our own: a key that we do not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LitellmParams(_Page):
    """How a deployment is reached."""

    model: str
    api_base: str | None = None
    api_key: str | None = None
    input_cost_per_token: Decimal | None = Field(None, ge=0, description="dollars; wins over the price table")
    output_cost_per_token: Decimal | None = Field(None, ge=0, description="dollars; wins over the price table")


class ModelInfo(_Page):
    """What else is known of a deployment."""

    id: str | None = None
    access_groups: tuple[str, ...] = ()
    max_output_tokens: int | None = Field(None, ge=1)


class ModelEntry(_Page):
    """One entry of `model_list`."""

    model_name: str
    litellm_params: LitellmParams
    model_info: ModelInfo = ModelInfo()


class GeneralSettings(_Page):
    """`general_settings`, as far as we serve it."""

    master_key: str | None = None
    proxy_budget_rescheduler_min_time: float | None = None
    proxy_budget_rescheduler_max_time: float | None = None


class LitellmSettings(_Page):
    """`litellm_settings`, as far as we serve it. Budgets are dollars."""

    max_budget: Decimal | None = Field(None, ge=0, allow_inf_nan=False)
    budget_duration: str | None = None
    max_end_user_budget: Decimal | None = Field(None, ge=0, allow_inf_nan=False)


class TollgateSettings(_Ours):
    """`tollgate:`, our own section. Every field has a safe default."""

    host: str = Field("127.0.0.1", description="address that the gateway listens on")
    port: int = Field(4000, ge=0, le=65535, description="port that the gateway listens on; 0 takes a free one")
    mode: Literal["grpc"] = Field("grpc", description="how Envoy talks to Tollgate")
    workers: int | None = Field(None, ge=1, le=256, description="worker processes; default one per core")
    state_dir: Path = Field(Path(".tollgate"), description="folder of the embedded Valkey's append-only file")
    redis_url: str | None = Field(None, description="Valkey or Redis to use instead of the embedded one")
    serve_grpc: str = Field("127.0.0.1:4001", description="`tollgate serve`: where the workers listen for Envoy")
    serve_http: str = Field("127.0.0.1:4002", description="`tollgate serve`: where the admin server listens")
    on_store_error: Literal["refuse", "allow"] = Field(
        "refuse", description="what happens to requests while the store is down"
    )
    errors: Preset = Field(
        Preset.PAGE, description="how refusals are worded: as the page, OpenAI or LiteLLM 1.109 does"
    )
    store_timeout_ms: int = Field(250, ge=10, le=10_000, description="a store command that takes longer has failed")
    unpriced_models: Literal["refuse", "free", "default_price"] = Field(
        "refuse", description="models without a price: refused where a budget applies, free, or at the default price"
    )
    default_input_cost_per_token: Decimal = Field(Decimal("0.00001"), ge=0, description="dollars, for `default_price`")
    default_output_cost_per_token: Decimal = Field(Decimal("0.00003"), ge=0, description="dollars, for `default_price`")
    default_output_tokens: int = Field(
        1024, ge=1, description="output held for a request that names no limit of its own"
    )
    max_request_bytes: int = Field(32 * 1024 * 1024, ge=1024, description="a longer body is answered with 413")
    lease_seconds: int = Field(
        60, ge=5, le=3600, description="a call that stops giving signs of life is settled as held after this"
    )
    upstream_timeout_seconds: int = Field(
        600, ge=1, description="a provider that sends nothing for this long is given up"
    )
    ledger_days: int = Field(30, ge=1, description="how long settled records are kept")


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """A price that the file itself gives, in dollars a token. None: ask the price table."""

    input: Decimal | None
    output: Decimal | None


@dataclass(frozen=True, slots=True)
class Credential:
    """A provider's key: a name in Envoy's environment, and the value to put there when the file holds it literally."""

    variable: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """A validated file. `credentials` and `prices` are by deployment id; `notices` are lines for whoever starts us."""

    master_key: str | None
    litellm: LitellmSettings
    tollgate: TollgateSettings
    deployments: tuple[Deployment, ...]
    credentials: Mapping[str, Credential]
    prices: Mapping[str, ModelPrice]
    notices: tuple[str, ...] = field(default=())

    @property
    def uses_mock(self) -> bool:
        """Whether some deployment is served by the built-in provider."""
        return any(urlsplit(d.api_base).hostname == MOCK_HOST for d in self.deployments)


class _File(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    model_list: tuple[ModelEntry, ...] = ()
    general_settings: GeneralSettings = GeneralSettings()
    litellm_settings: LitellmSettings = LitellmSettings()
    tollgate: TollgateSettings = TollgateSettings()

    @field_validator("model_list", mode="before")
    @classmethod
    def _none_is_empty(cls, value: object) -> object:
        return () if value is None else value


def load(path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read and validate a file. Raises SettingsError with one line per fault, naming the field and what would be right."""
    environment = os.environ if environment is None else environment
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise SettingsError(
            f"{path} must hold a mapping with model_list, general_settings, litellm_settings or tollgate"
        )
    try:
        parsed = _File.model_validate(_expanded(document, environment))
    except ValidationError as error:
        raise SettingsError("\n".join(f"{path}: {_fault(each)}" for each in error.errors())) from error
    return _settings(parsed, document)


def _expanded(value: Any, environment: Mapping[str, str]) -> Any:
    """The document with `os.environ/NAME` replaced, api_key excepted: provider keys go from the environment straight to Envoy."""
    if isinstance(value, dict):
        return {k: v if k == "api_key" else _expanded(v, environment) for k, v in value.items()}
    if isinstance(value, list):
        return [_expanded(each, environment) for each in value]
    if isinstance(value, str) and (match := _ENVIRONMENT.match(value)):
        if match[1] not in environment:
            raise SettingsError(f"{value}: the environment variable {match[1]} is not set")
        return environment[match[1]]
    return value


def _fault(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    shown = "" if isinstance(error.get("input"), dict) else f" (got {error.get('input')!r})"
    return f"{where}: {error['msg']}{shown}"


def _settings(parsed: _File, document: dict[str, Any]) -> Settings:
    deployments: list[Deployment] = []
    credentials: dict[str, Credential] = {}
    prices: dict[str, ModelPrice] = {}
    for entry in parsed.model_list:
        deployment = _deployment(entry, taken={d.id for d in deployments})
        deployments.append(deployment)
        params = entry.litellm_params
        if params.api_key:
            credentials[deployment.id] = _credential(params.api_key, len(credentials))
        prices[deployment.id] = ModelPrice(params.input_cost_per_token, params.output_cost_per_token)
    return Settings(
        master_key=parsed.general_settings.master_key,
        litellm=parsed.litellm_settings,
        tollgate=parsed.tollgate,
        deployments=tuple(deployments),
        credentials=credentials,
        prices=prices,
        notices=tuple(_notices(parsed, document)),
    )


def _deployment(entry: ModelEntry, taken: set[str]) -> Deployment:
    name, params = entry.model_name, entry.litellm_params
    # LiteLLM's rule: `provider/model`; a name without a provider is OpenAI's.
    provider, slash, model = params.model.partition("/")
    if not slash:
        provider, model = "openai", params.model
    api_base = (params.api_base or DEFAULT_API_BASES.get(provider, "")).rstrip("/")
    parts = urlsplit(api_base)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(
            f"model_list: {name}: api_base {params.api_base!r} is not an http or https address"
            if params.api_base
            else f"model_list: {name}: provider {provider!r} has no default address; set litellm_params.api_base"
        )
    identity = entry.model_info.id or name
    number = 2
    while identity in taken:
        identity, number = f"{entry.model_info.id or name}-{number}", number + 1
    return Deployment(
        id=identity,
        model_name=name,
        provider=provider,
        model=model,
        api_base=api_base,
        max_output_tokens=entry.model_info.max_output_tokens,
        access_groups=entry.model_info.access_groups,
    )


def _credential(api_key: str, number: int) -> Credential:
    if match := _ENVIRONMENT.match(api_key):
        return Credential(match[1])
    return Credential(f"TOLLGATE_PROVIDER_KEY_{number}", api_key)


def _notices(parsed: _File, document: dict[str, Any]) -> list[str]:
    """One line for each key of a LiteLLM file that we do not act on."""
    lines = [f"{key}: not served by Tollgate, ignored" for key in parsed.model_extra or {}]
    sections: dict[str, _Page] = {
        "general_settings": parsed.general_settings,
        "litellm_settings": parsed.litellm_settings,
    }
    for name, section in sections.items():
        lines += [f"{name}.{key}: not served by Tollgate, ignored" for key in section.model_extra or {}]
        rescheduler = ("proxy_budget_rescheduler_min_time", "proxy_budget_rescheduler_max_time")
        lines += [
            f"{name}.{key}: accepted; nothing to schedule, budgets reset exactly at the second"
            for key in rescheduler
            if key in (document.get(name) or {})
        ]
    for entry in parsed.model_list:
        for prefix, extra in (
            ("", entry.model_extra),
            ("litellm_params.", entry.litellm_params.model_extra),
            ("model_info.", entry.model_info.model_extra),
        ):
            lines += [
                f"model_list: {entry.model_name}: {prefix}{key}: not served by Tollgate, ignored" for key in extra or {}
            ]
    if parsed.general_settings.master_key is None:
        lines.append("general_settings.master_key: not set, so nobody can administer keys")
    return lines
