"""The configuration file, as pydantic models: the page's own form, and our section `tollgate:`.

This is the only module that reads the file and the environment. What a LiteLLM file may hold and we do not serve is reported
in one line each (`Settings.notices`); an unknown key in our own section is an error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from tollgate.core.bucket import MAX_LIMIT
from tollgate.core.costs import OwnPrice, costs_of, find_cost_name
from tollgate.core.credentials import PAYER_HEADERS
from tollgate.core.entities import Deployment
from tollgate.core.errors import SettingsError
from tollgate.core.models.output_limits import DEFAULT_CEILING
from tollgate.core.presets import Preset
from tollgate.core.stream_usage import STREAM_OPTIONS, StreamUsage
from tollgate.grpc_settings import GrpcSettings

EXAMPLE_FILE = Path(__file__).with_name("example.yaml")
AWS_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""Where Envoy looks for AWS credentials by itself."""
MOCK_HOST = "mock-llm"
"""A deployment whose api_base names this host is served by the built-in provider, which `tollgate up` then starts."""

DEFAULT_API_BASES = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "bedrock": "https://bedrock-runtime.{region}.amazonaws.com",
    "cerebras": "https://api.cerebras.ai/v1",
    "cohere": "https://api.cohere.com",
    "cohere_chat": "https://api.cohere.com",
    "deepseek": "https://api.deepseek.com",
    "fireworks_ai": "https://api.fireworks.ai/inference/v1",
    "gemini": "https://generativelanguage.googleapis.com",
    "groq": "https://api.groq.com/openai/v1",
    "mistral": "https://api.mistral.ai/v1",
    "ollama": "http://localhost:11434",
    "ollama_chat": "http://localhost:11434",
    "openrouter": "https://openrouter.ai/api/v1",
    "perplexity": "https://api.perplexity.ai",
    "together_ai": "https://api.together.xyz/v1",
    "vertex_ai": "https://{vertex_location}-aiplatform.googleapis.com",
    "xai": "https://api.x.ai/v1",
}
"""Where a provider is when the file does not say (reference: each provider's API documentation). Azure's differs for each customer."""
# https://cloud.google.com/vertex-ai/generative-ai/docs/learn/locations: the global endpoint has no location in its name.
_VERTEX_GLOBAL = "https://aiplatform.googleapis.com"

# Their replies say in dollars what the account is charged:
# https://openrouter.ai/docs/guides/administration/usage-accounting, https://docs.perplexity.ai/api-reference/chat-completions-post,
# https://docs.x.ai/docs/guides/cost-tracking, https://vercel.com/docs/ai-gateway
_TELL_COST = frozenset({"openrouter", "perplexity", "vercel_ai_gateway", "xai"})
_AWS_CREDENTIALS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
_CREDENTIALS = ("api_key", *_AWS_CREDENTIALS)
_ENVIRONMENT = re.compile(r"^os\.environ/([A-Za-z_][A-Za-z0-9_]*)$")


def _payer_header(name: str) -> str:
    if name.lower() not in PAYER_HEADERS:
        raise ValueError(f"must be one of {', '.join(PAYER_HEADERS)}; others go on anyway, or never")
    return name.lower()


PayerHeader = Annotated[str, AfterValidator(_payer_header)]


class _Page(BaseModel):
    """A section in the page's form: what we do not know is kept and reported, not refused."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())


class LitellmParams(_Page):
    """How a deployment is reached."""

    model: str
    api_base: str | None = None
    api_key: str | None = None
    weight: int = Field(1, ge=0, le=1_000_000, description="share of the calls among the deployments of one model_name")
    api_version: str | None = Field(None, description="Azure: without one, calls go to its v1 surface")
    aws_region_name: str | None = None
    aws_access_key_id: str | None = None
    aws_secret_access_key: str | None = None
    aws_session_token: str | None = None
    vertex_project: str | None = None
    vertex_location: str | None = None
    pass_credentials: bool = Field(default=False, description="the client's own credential goes on, and none of ours")
    additional_drop_params: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _check_costs(self) -> Self:
        costs_of(self.model_extra or {})
        return self

    @field_validator("api_version", mode="before")
    @classmethod
    def _as_it_is_written(cls, value: object) -> object:
        """YAML reads a bare 2024-10-21 as a date."""
        return value.isoformat() if isinstance(value, date) else value


class ModelInfo(_Page):
    """What else is known of a deployment."""

    id: str | None = None
    access_groups: tuple[str, ...] = ()
    max_output_tokens: int | None = Field(None, ge=1)
    mode: str | None = None
    trust_provider_cost: bool | None = Field(
        None,
        description="whether what replies say that they cost is charged; by default OpenRouter's, Perplexity's, xAI's and Vercel's",
    )
    pass_credentials: bool = False
    base_model: str | None = Field(
        None, description="the model's name in the price table, where the deployment has another"
    )


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


class TollgateSettings(GrpcSettings):
    """`tollgate:`, our own section. Every field has a safe default."""

    mode: Literal["grpc", "native"] = Field("grpc", description="how Envoy talks to Tollgate")
    workers: int | None = Field(
        None, ge=1, le=256, description="worker processes; default one for two cores, with a stand-in if that is one"
    )
    state_dir: Path = Field(Path(".tollgate"), description="folder of the embedded Valkey's append-only file")
    redis_url: str | None = Field(None, description="Valkey or Redis to use instead of the embedded one")
    on_store_error: Literal["refuse", "allow"] = Field(
        "refuse", description="what happens to requests while the store is down"
    )
    errors: Preset = Field(
        Preset.PAGE, description="how refusals are worded: as the page, OpenAI or LiteLLM 1.109 does"
    )
    hold_wait_ms: int = Field(
        150, ge=0, le=5000, description="longest wait for calls in flight whose holds refuse a request; 0: none"
    )
    store_timeout_ms: int = Field(250, ge=10, le=10_000, description="a store command that takes longer has failed")
    unpriced_models: Literal["refuse", "free", "default_price"] = Field(
        "refuse", description="models without a price: refused where a budget applies, free, or at the default price"
    )
    default_input_cost_per_token: Decimal = Field(Decimal("0.00001"), ge=0, description="dollars, for `default_price`")
    default_output_cost_per_token: Decimal = Field(Decimal("0.00003"), ge=0, description="dollars, for `default_price`")
    price_file: Path | None = Field(
        None,
        description="prices in the form of LiteLLM's model_prices_and_context_window.json, over the built-in table",
    )
    default_output_tokens: int = Field(
        1024, ge=1, description="output held for a request that names no limit of its own"
    )
    max_output_ceiling: int = Field(
        DEFAULT_CEILING,
        ge=1,
        description="the most output tokens of a model whose own maximum nobody knows",
    )
    proxy_rpm_limit: int | None = Field(None, ge=0, le=MAX_LIMIT, description="requests a minute of all calls together")
    proxy_tpm_limit: int | None = Field(None, ge=0, le=MAX_LIMIT, description="tokens a minute of all calls together")
    proxy_max_parallel_requests: int | None = Field(None, ge=0, le=MAX_LIMIT, description="all calls at once")
    ietf_headers: bool = Field(default=False, description="tell every limit in `RateLimit` headers too (an IETF draft)")
    unknown_paths: Literal["refuse", "allow"] = Field(
        "refuse", description="paths that we do not know: answered with 404, or passed on and counted as requests only"
    )
    pass_client_headers: tuple[PayerHeader, ...] = Field(
        (), description="headers of clients that choose whose account pays, and go on to the provider all the same"
    )
    max_request_bytes: int = Field(32 * 1024 * 1024, ge=1024, description="a longer body is answered with 413")
    lease_seconds: int = Field(
        60, ge=5, le=3600, description="a call that stops giving signs of life is settled as held after this"
    )
    client_left: Literal["mean", "held", "seen"] = Field(
        "mean",
        description="what a call that is broken off is charged for output that nobody saw: the mean that its model had"
        " lately (at most what was held), what was held, or nothing",
    )
    upstream_timeout_seconds: int = Field(
        600, ge=1, description="a provider that sends nothing for this long is given up"
    )
    ledger_days: int = Field(30, ge=1, description="how long settled records are kept")


@dataclass(frozen=True, slots=True)
class Credential:
    """A provider's key: a name in Envoy's environment, and the value to put there when the file holds it literally.

    `aws`: it is no key but a file of AWS credentials, with which Envoy signs.
    """

    variable: str
    value: str | None = None
    aws: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """A validated file. `credentials` and `prices` are by deployment id; `notices` are lines for whoever starts us.

    Among the credentials, by their own names, are the variables from which Envoy takes AWS credentials by itself.
    """

    master_key: str | None
    litellm: LitellmSettings
    tollgate: TollgateSettings
    deployments: tuple[Deployment, ...]
    credentials: Mapping[str, Credential]
    prices: Mapping[str, OwnPrice]
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
    return _settings(parsed, document, environment)


def _expanded(value: Any, environment: Mapping[str, str]) -> Any:
    """The document with `os.environ/NAME` replaced, credentials excepted: they go from the environment straight to Envoy."""
    if isinstance(value, dict):
        return {
            k: v if k in _CREDENTIALS else _expanded(v, environment)
            for k, v in value.items()
            if not _is_unset_master_key(k, v, environment)
        }
    if isinstance(value, list):
        return [_expanded(each, environment) for each in value]
    if isinstance(value, str) and (match := _ENVIRONMENT.match(value)):
        if match[1] not in environment:
            raise SettingsError(f"{value}: the environment variable {match[1]} is not set")
        return environment[match[1]]
    return value


def _is_unset_master_key(name: object, value: object, environment: Mapping[str, str]) -> bool:
    """Whether the master key is to come from a variable that is not set here: nobody has it then, which is no fault of
    a file that is only looked at."""
    match = _ENVIRONMENT.match(value) if name == "master_key" and isinstance(value, str) else None
    return match is not None and match[1] not in environment


def _fault(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    shown = "" if isinstance(error.get("input"), dict) else f" (got {error.get('input')!r})"
    return f"{where}: {error['msg']}{shown}"


def _settings(parsed: _File, document: dict[str, Any], environment: Mapping[str, str]) -> Settings:
    deployments: list[Deployment] = []
    credentials: dict[str, Credential] = {}
    prices: dict[str, OwnPrice] = {}
    for entry in parsed.model_list:
        deployment = _deployment(entry, taken={d.id for d in deployments})
        deployments.append(deployment)
        params = entry.litellm_params
        credential = None
        if not deployment.pass_credentials:
            credential = _find_credential(params, environment, len(credentials))
        if credential is not None:
            credentials[deployment.id] = credential
        elif deployment.provider == "bedrock":
            credentials |= {name: Credential(name) for name in AWS_VARIABLES if name in environment}
        prices[deployment.id] = OwnPrice(costs_of(params.model_extra or {}), entry.model_info.base_model)
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
    api_base = _api_base(name, provider, params)
    trust = entry.model_info.trust_provider_cost
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
        mode=entry.model_info.mode,
        access_groups=entry.model_info.access_groups,
        weight=params.weight,
        api_version=params.api_version,
        region=params.aws_region_name,
        vertex_project=params.vertex_project,
        vertex_location=params.vertex_location,
        pass_credentials=params.pass_credentials or entry.model_info.pass_credentials,
        stream_usage=StreamUsage.of(provider, params.additional_drop_params or ()),
        trust_provider_cost=provider in _TELL_COST if trust is None else trust,
    )


def _api_base(name: str, provider: str, params: LitellmParams) -> str:
    """Where the deployment is. Raises SettingsError when neither the file nor the provider's own address says."""
    api_base, places = params.api_base, {"region": params.aws_region_name, "vertex_location": params.vertex_location}
    if api_base is None:
        api_base = DEFAULT_API_BASES.get(provider, "")
        if provider == "vertex_ai" and params.vertex_location == "global":
            api_base = _VERTEX_GLOBAL
        for place, value in places.items():
            if f"{{{place}}}" in api_base and value is None:
                option = "aws_region_name" if place == "region" else place
                raise SettingsError(f"model_list: {name}: set litellm_params.{option} or litellm_params.api_base")
            api_base = api_base.replace(f"{{{place}}}", value or "")
    parts = urlsplit(api_base)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(
            f"model_list: {name}: api_base {params.api_base!r} is not an http or https address"
            if params.api_base
            else f"model_list: {name}: provider {provider!r} has no default address; set litellm_params.api_base"
        )
    if provider == "bedrock" and params.api_key is None and params.aws_region_name is None:
        raise SettingsError(f"model_list: {name}: requests are signed for a region; set litellm_params.aws_region_name")
    return api_base.rstrip("/")


def _find_credential(params: LitellmParams, environment: Mapping[str, str], number: int) -> Credential | None:
    """What the file says of the deployment's credential, if it says anything."""
    if params.api_key:
        return _credential(params.api_key, number)
    given = {name: text for name in _AWS_CREDENTIALS if (text := getattr(params, name))}
    if not given:
        return None
    found = {
        name: environment.get(match[1]) if (match := _ENVIRONMENT.match(text)) else text for name, text in given.items()
    }
    # Workers are not told the providers' keys, so that one may be missing here is no fault; `up` reports it.
    whole = None if None in found.values() else "".join(f"{name}={text}\n" for name, text in found.items())
    return Credential(f"TOLLGATE_AWS_CREDENTIALS_{number}", whole and f"[default]\n{whole}", aws=True)


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
        lines += [
            f"model_list: {entry.model_name}: litellm_params.additional_drop_params: {name}: not dropped by Tollgate"
            for name in entry.litellm_params.additional_drop_params or ()
            if name != STREAM_OPTIONS
        ]
        for prefix, extra in (
            ("", entry.model_extra),
            ("litellm_params.", entry.litellm_params.model_extra),
            ("model_info.", entry.model_info.model_extra),
        ):
            lines += [
                f"model_list: {entry.model_name}: {prefix}{key}: not served by Tollgate, ignored"
                for key in extra or {}
                if not (prefix == "litellm_params." and find_cost_name(key))
            ]
    if parsed.general_settings.master_key is None:
        named = (document.get("general_settings") or {}).get("master_key")
        told = "not set" if named is None else f"{named} is not set"
        lines.append(f"general_settings.master_key: {told}, so nobody can administer keys")
    return lines
