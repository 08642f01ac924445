"""The sections of LiteLLM's configuration file that we serve.

What such a section may hold and we do not know is kept, and reported in one line each.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tollgate.core.costs import costs_of
from tollgate.settings.own_section import TollgateSettings


class PageSection(BaseModel):
    """A section in the page's form: what we do not know is kept and reported, not refused."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())


class LitellmParams(PageSection):
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


class ModelInfo(PageSection):
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


class ModelEntry(PageSection):
    """One entry of `model_list`."""

    model_name: str
    litellm_params: LitellmParams
    model_info: ModelInfo = ModelInfo()


class GeneralSettings(PageSection):
    """`general_settings`, as far as we serve it."""

    master_key: str | None = None
    proxy_budget_rescheduler_min_time: float | None = None
    proxy_budget_rescheduler_max_time: float | None = None


class LitellmSettings(PageSection):
    """`litellm_settings`, as far as we serve it. Budgets are dollars."""

    max_budget: Decimal | None = Field(None, ge=0, allow_inf_nan=False)
    budget_duration: str | None = None
    max_end_user_budget: Decimal | None = Field(None, ge=0, allow_inf_nan=False)


class SettingsFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    model_list: tuple[ModelEntry, ...] = ()
    general_settings: GeneralSettings = GeneralSettings()
    litellm_settings: LitellmSettings = LitellmSettings()
    tollgate: TollgateSettings = TollgateSettings()

    @field_validator("model_list", mode="before")
    @classmethod
    def _none_is_empty(cls, value: object) -> object:
        return () if value is None else value
