"""Define the served sections of LiteLLM's configuration file.

Unknown keys in such a section are kept and reported, one line each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
)

from tollgate.core.limits.accounts import Meter
from tollgate.core.limits.bucket import MAX_LIMIT
from tollgate.settings.entries.creation_settings import (
    BudgetDuration,
    CreationSettings,
    Dollars,
    PageSection,
)
from tollgate.settings.entries.identity_settings import HeaderName
from tollgate.settings.entries.priority_settings import PriorityReservation, PrioritySettings
from tollgate.settings.entries.router_entries import (
    Fallbacks,
    ModelNames,
    Retried,
    RetryPolicy,
    Seconds,
)
from tollgate.settings.entries.upstream_limits import UpstreamLimitSetting
from tollgate.settings.own_section import TollgateSettings

WEIGHING = ("rpm", "tpm")
"""Rates by which LiteLLM's simple-shuffle shares out calls where no weight is given."""
RATES: Mapping[str, str] = MappingProxyType(
    {"rpm": "rpm_limit", "tpm": "tpm_limit", "rpd": "rpd_limit", "tpd": "tpd_limit"}
)
"""Rates of a deployment, as LiteLLM's files name them, and the kinds of limits that they are."""
TOKEN_RATES: Mapping[str, Meter] = MappingProxyType(
    {"itpm": Meter.INPUT_TOKENS, "otpm": Meter.OUTPUT_TOKENS}
)
"""Rates per minute of a deployment that have no field of their own elsewhere."""


class LitellmParams(PageSection):
    """How to reach a deployment."""

    model: str
    custom_llm_provider: str | None = Field(
        None, description="the provider, if `model` does not begin with it"
    )
    api_base: str | None = Field(
        None,
        validation_alias=AliasChoices("api_base", "base_url", "aws_bedrock_runtime_endpoint"),
    )
    api_key: str | None = None
    weight: float | None = Field(
        None,
        ge=0,
        le=1_000_000,
        allow_inf_nan=False,
        description=(
            "share of the calls among the deployments of one model_name; default their `rpm` or"
            " `tpm` where all have one, else alike"
        ),
    )
    rpm: int | None = Field(
        None, ge=0, le=MAX_LIMIT, description="requests a minute that the deployment takes"
    )
    tpm: int | None = Field(
        None, ge=0, le=MAX_LIMIT, description="tokens a minute that the deployment takes"
    )
    rpd: int | None = Field(
        None, ge=0, le=MAX_LIMIT, description="requests a day that the deployment takes"
    )
    tpd: int | None = Field(
        None, ge=0, le=MAX_LIMIT, description="tokens a day that the deployment takes"
    )
    itpm: int | None = Field(
        None, ge=0, le=MAX_LIMIT, description="input tokens a minute that the deployment takes"
    )
    otpm: int | None = Field(
        None, ge=0, le=MAX_LIMIT, description="output tokens a minute that the deployment takes"
    )
    max_parallel_requests: int | None = Field(
        None, ge=0, le=MAX_LIMIT, description="calls at once that the deployment takes"
    )
    timeout: Seconds | None = Field(
        None, description="seconds in which the deployment must send something"
    )
    max_budget: Dollars | None = Field(None, description="dollars that the deployment may cost")
    budget_duration: BudgetDuration | None = None
    limits: tuple[UpstreamLimitSetting, ...] = Field(
        (), description="further limits of the deployment (docs/routing.md)"
    )
    api_version: str | None = Field(None, description="Azure: without it, calls use the v1 surface")
    aws_region_name: str | None = None
    aws_access_key_id: str | None = None
    aws_secret_access_key: str | None = None
    aws_session_token: str | None = None
    model_id: str | None = Field(
        None, description="Bedrock: the inference profile that is called in place of the model"
    )
    vertex_project: str | None = Field(
        None, validation_alias=AliasChoices("vertex_project", "vertex_ai_project")
    )
    vertex_location: str | None = Field(
        None, validation_alias=AliasChoices("vertex_location", "vertex_ai_location")
    )
    pass_credentials: bool = Field(
        default=False,
        description="pass the client's own credential to the provider, and none of the gateway's",
    )
    additional_drop_params: tuple[str, ...] | None = None
    litellm_credential_name: str | None = Field(
        None, description="an entry of `credential_list`, whose values count where none is given"
    )
    mock_response: Any = Field(
        None, description="LiteLLM answers itself; Tollgate leaves such a deployment out"
    )

    base_model: str | None = None

    @field_validator("api_version", mode="before")
    @classmethod
    def _as_it_is_written(cls, value: object) -> object:
        """Undo YAML's reading of a bare 2024-10-21 as a date."""
        if isinstance(value, date):
            return value.isoformat()
        return value


class ModelInfo(PageSection):
    """Further facts about a deployment."""

    id: str | None = None
    access_groups: tuple[str, ...] = ()
    max_output_tokens: int | None = Field(None, ge=1)
    max_input_tokens: int | None = Field(
        None,
        ge=1,
        description=(
            "the longest prompt of the model; longer ones are served by its"
            " `context_window_fallbacks`"
        ),
    )
    mode: str | None = None
    trust_provider_cost: bool | None = Field(
        None,
        description=(
            "charge the cost that replies report; on by default for OpenRouter, Perplexity, xAI and"
            " Vercel"
        ),
    )
    pass_credentials: bool = False
    blocked: bool = Field(default=False, description="the deployment is left out")
    db_model: bool = Field(default=False, description="the deployment was added over the API")
    base_model: str | None = Field(
        None, description="the model's name in the price table, if different"
    )


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One entry of `model_list`."""

    model_name: str
    litellm_params: LitellmParams
    model_info: ModelInfo
    extra: tuple[str, ...] = ()
    paused: bool = False


class HeaderMapping(BaseModel):
    """A request header that names a user or a customer."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    header_name: HeaderName
    litellm_user_role: str

    @property
    def names_customers(self) -> bool:
        """Whether its values are customers."""
        return self.litellm_user_role.lower() == "customer"


def _several(value: object) -> object:
    return [value] if isinstance(value, Mapping) else value


class GeneralSettings(PageSection):
    """The served part of `general_settings`."""

    master_key: str | None = None
    user_header_name: HeaderName | None = Field(None, description="a header that names customers")
    user_header_mappings: Annotated[tuple[HeaderMapping, ...], BeforeValidator(_several)] = ()
    max_request_size_mb: float | None = Field(None, gt=0, description="of a body, in MiB")
    ui_access_mode: str = Field("all", description="`admin_only`: who may use the console")
    fail_closed_budget_enforcement: bool = False
    fail_closed_rate_limit_enforcement: bool = False
    max_parallel_requests: int | None = Field(
        None, ge=0, le=MAX_LIMIT, description="calls at once of each deployment without its own"
    )
    global_max_parallel_requests: int | None = Field(None, ge=0, le=MAX_LIMIT)
    proxy_budget_rescheduler_min_time: float | None = None
    proxy_budget_rescheduler_max_time: float | None = None

    @property
    def customer_headers(self) -> tuple[str, ...]:
        """Return the headers that name customers; LiteLLM reads the older setting only where no
        mapping does.
        """
        mapped = tuple(
            each.header_name for each in self.user_header_mappings if each.names_customers
        )
        return mapped or ((self.user_header_name,) if self.user_header_name else ())


class LitellmSettings(CreationSettings):
    """The served part of `litellm_settings`."""

    max_budget: Dollars | None = None
    budget_duration: BudgetDuration | None = None
    max_end_user_budget: Dollars | None = None
    max_end_user_budget_id: str | None = Field(
        None, description="the budget of each customer without limits of its own"
    )
    model_alias_map: dict[str, str] = Field(default_factory=dict)
    fallbacks: Fallbacks = Field(default_factory=dict)
    default_fallbacks: ModelNames = ()
    context_window_fallbacks: Fallbacks = Field(
        default_factory=dict,
        description="models that serve prompts that are too long for one",
    )
    num_retries: Retried | None = None
    request_timeout: Seconds | None = None
    allowed_fails: int | None = Field(None, ge=0)
    cooldown_time: float | None = Field(None, ge=0, le=86_400)
    priority_reservation: PriorityReservation
    priority_reservation_settings: PrioritySettings = PrioritySettings()


class ModelAlias(BaseModel):
    """The target of an alias; a hidden alias appears in no list of models."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    model: str
    hidden: bool = False


def _alias(value: object) -> object:
    if isinstance(value, str):
        return {"model": value}
    return value


class ProviderBudget(BaseModel):
    """Limits of all deployments of one provider together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_budget: Dollars | None = Field(
        None, validation_alias=AliasChoices("budget_limit", "max_budget")
    )
    budget_duration: BudgetDuration | None = Field(
        None, validation_alias=AliasChoices("time_period", "budget_duration")
    )
    rpm_limit: int | None = Field(None, ge=0, le=MAX_LIMIT)
    tpm_limit: int | None = Field(None, ge=0, le=MAX_LIMIT)
    rpd_limit: int | None = Field(None, ge=0, le=MAX_LIMIT)
    tpd_limit: int | None = Field(None, ge=0, le=MAX_LIMIT)
    limits: tuple[UpstreamLimitSetting, ...] = ()


class RouterSettings(PageSection):
    """The served part of `router_settings`."""

    routing_strategy: str = "simple-shuffle"
    provider_budget_config: dict[str, ProviderBudget] = Field(
        default_factory=dict, description="limits of each provider's deployments together"
    )
    default_max_parallel_requests: int | None = Field(
        None, ge=0, le=MAX_LIMIT, description="calls at once of each deployment without its own"
    )
    fallbacks: Fallbacks = Field(
        default_factory=dict,
        description="models that serve in place of one that is exhausted or cooling down",
    )
    default_fallbacks: ModelNames = Field(
        (), description="fallbacks of the models that have none of their own"
    )
    context_window_fallbacks: Fallbacks = Field(
        default_factory=dict,
        description="models that serve prompts that are too long for one",
    )
    num_retries: Retried | None = Field(
        None, description="how often Envoy repeats a call that failed before its reply began"
    )
    retry_policy: RetryPolicy | None = Field(None, description="the same by the kind of failure")
    timeout: Seconds | None = Field(
        None, description="seconds in which a provider must send something"
    )
    allowed_fails: int | None = Field(
        None, ge=0, description="failures a minute; after more of them a deployment cools down"
    )
    cooldown_time: float | None = Field(
        None,
        ge=0,
        le=86_400,
        description="seconds for which a deployment that cools down gets no calls; 0: none does",
    )
    disable_cooldowns: bool = False
    model_group_alias: dict[str, Annotated[ModelAlias, BeforeValidator(_alias)]] = Field(
        default_factory=dict
    )


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """The whole file. `others`: unknown sections, as written."""

    models: tuple[ModelEntry, ...]
    general: GeneralSettings
    litellm: LitellmSettings
    router: RouterSettings
    tollgate: TollgateSettings
    others: Mapping[str, Any]
