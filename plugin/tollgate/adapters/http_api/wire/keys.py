"""Keys over HTTP. The answer of /key/generate is the page's, field for field."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import model_validator

from tollgate.adapters.http_api.wire.parts.base import Answer, Request, patched
from tollgate.adapters.http_api.wire.parts.limits import (
    LimitFields,
    ModelLimitFields,
    printed_dollars,
    printed_model_budgets,
    printed_model_rpm,
    printed_model_tpm,
)
from tollgate.adapters.http_api.wire.parts.types import (
    Dollars,
    Identifier,
    Lifetime,
    Names,
    ObjectText,
    PrintedObject,
    PrintedTime,
    TeamId,
    wrong,
)
from tollgate.core.entities import Key
from tollgate.core.limits.accounts import DEFAULT_ORGANIZATION
from tollgate.core.limits.duration import instant_after, parse_duration
from tollgate.core.money.dollars import dollars_of
from tollgate.management.spending.spending import Live
from tollgate.management.virtual_keys import Made

_FIELDS = {
    "key_alias": "alias",
    "user_id": "user_id",
    "team_id": "team_id",
    "organization_id": "organization",
    "models": "models",
    "blocked": "blocked",
    "budget_id": "budget_id",
    "soft_budget": "soft_budget_nanousd",
    "metadata": "metadata",
    "config": "config",
    "permissions": "permissions",
    "allowed_cache_controls": "allowed_cache_controls",
    "duration": "lifetime",
}


class KeyFields(LimitFields, ModelLimitFields):
    """What can be said of a key."""

    key_alias: Identifier | None = None
    duration: Lifetime = None
    models: Names | None = None
    spend: Dollars | None = None
    user_id: Identifier | None = None
    team_id: TeamId | None = None
    organization_id: Identifier | None = None
    metadata: ObjectText | None = None
    allowed_cache_controls: Names | None = None
    config: ObjectText | None = None
    permissions: ObjectText | None = None
    aliases: dict[Identifier, Identifier] | None = None
    blocked: bool | None = None
    budget_id: Identifier | None = None
    soft_budget: Dollars | None = None

    def change(self, key: Key, now_us: int) -> Key:
        """The key that these fields make of another."""
        after = replace(
            patched(key, self, _FIELDS),
            limits=self.limits_over(key.limits),
            model_limits=self.model_limits_over(key.model_limits, now_us),
        )
        if "aliases" in self.model_fields_set:
            after = replace(after, model_aliases=tuple((self.aliases or {}).items()))
        if "duration" in self.model_fields_set:
            never = self.duration is None
            expires_us = (
                None if never else instant_after(parse_duration(self.duration or ""), now_us)
            )
            after = replace(after, expires_us=expires_us)
        return after


class GenerateKey(KeyFields):
    """POST /key/generate. `key`: a secret of the caller's own."""

    key: str | None = None

    @property
    def is_anonymous(self) -> bool:
        """Whether it says nothing of whom the key belongs to."""
        return not {"user_id", "team_id"} & self.model_fields_set


class UpdateKey(KeyFields):
    """POST /key/update.

    The key by its secret, its hash, or else its alias; with a key, `key_alias` is the new alias.
    """

    key: str | None = None

    @model_validator(mode="after")
    def _named(self) -> UpdateKey:
        if self.key is None and self.key_alias is None:
            raise wrong("either key or key_alias must be provided")
        return self


class RegenerateKey(KeyFields):
    """POST /key/regenerate. `new_key`: the new secret, if it is to be the caller's own."""

    key: str | None = None
    new_key: str | None = None


class DeleteKeys(Request):
    """POST /key/delete."""

    keys: tuple[str, ...] | None = None
    key_aliases: Names | None = None


class NamedKey(Request):
    """POST /key/block and /key/unblock."""

    key: str


class ResetSpend(Request):
    """POST /key/{key}/reset_spend."""

    reset_to: Dollars


class GeneratedKey(Answer):
    """The answer of /key/generate, in the page's order.

    The last name and hash are null there; /key/info tells both.
    """

    key: str
    models: tuple[str, ...]
    spend: float
    max_budget: float | None
    user_id: str | None
    team_id: str | None
    max_parallel_requests: int | None
    metadata: PrintedObject
    tpm_limit: int | None
    rpm_limit: int | None
    budget_duration: str | None
    allowed_cache_controls: tuple[str, ...]
    soft_budget: float | None
    key_alias: str | None
    duration: str | None
    aliases: dict[str, str]
    config: PrintedObject
    permissions: PrintedObject
    model_max_budget: dict[str, Any]
    key_name: None = None
    expires: PrintedTime | None
    token_id: None = None


class KeyRow(Answer):
    """A key as /key/info and /key/list show it."""

    token: str
    key_name: str
    key_alias: str | None
    spend: float
    total_spend: float
    max_budget: float | None
    expires: PrintedTime | None
    models: tuple[str, ...]
    aliases: dict[str, str]
    config: PrintedObject
    user_id: str | None
    team_id: str | None
    max_parallel_requests: int | None
    metadata: PrintedObject
    tpm_limit: int | None
    rpm_limit: int | None
    model_rpm_limit: dict[str, int]
    model_tpm_limit: dict[str, int]
    budget_duration: str | None
    budget_reset_at: PrintedTime | None
    budget_anchor: str
    budget_timezone: str | None
    allowed_cache_controls: tuple[str, ...]
    permissions: PrintedObject
    model_spend: dict[str, float]
    model_max_budget: dict[str, Any]
    soft_budget: float | None
    blocked: bool
    budget_id: str | None
    organization_id: str | None
    created_at: PrintedTime
    updated_at: PrintedTime


class KeyInfo(Answer):
    """The answer of /key/info."""

    key: str
    info: KeyRow


class UpdatedKey(KeyRow):
    """The answer of /key/update: the row, with the key as it was named."""

    key: str


class DeletedKeys(Answer):
    """The answer of /key/delete."""

    deleted_keys: tuple[str, ...]


class KeyList(Answer):
    """The answer of /key/list."""

    keys: tuple[str | KeyRow, ...]
    total_count: int
    current_page: int
    total_pages: int


class SpendReset(Answer):
    """The answer of /key/{key}/reset_spend."""

    key_hash: str
    spend: float
    previous_spend: float
    max_budget: float | None
    budget_reset_at: PrintedTime | None


def generated(made: Made) -> GeneratedKey:
    """A key with its secret, as the page prints it."""
    key = made.live.entity
    return GeneratedKey(
        key=made.secret,
        models=key.models,
        spend=dollars_of(made.live.spend.used_nanousd),
        max_budget=printed_dollars(key.limits.max_budget_nanousd),
        user_id=key.user_id,
        team_id=key.team_id,
        max_parallel_requests=key.limits.parallel,
        metadata=key.metadata,
        tpm_limit=key.limits.tpm,
        rpm_limit=key.limits.rpm,
        budget_duration=key.limits.budget_duration,
        allowed_cache_controls=key.allowed_cache_controls,
        soft_budget=printed_dollars(key.soft_budget_nanousd),
        key_alias=key.alias,
        duration=key.lifetime,
        aliases=dict(key.model_aliases),
        config=key.config,
        permissions=key.permissions,
        model_max_budget=printed_model_budgets(key.model_limits),
        expires=key.expires_us,
    )


def row(live: Live[Key]) -> KeyRow:
    """A key with its live numbers."""
    key, limits, spend = live.entity, live.entity.limits, live.spend
    return KeyRow(
        token=key.hash,
        key_name=key.name,
        key_alias=key.alias,
        spend=dollars_of(spend.used_nanousd),
        total_spend=dollars_of(spend.total_nanousd),
        max_budget=printed_dollars(limits.max_budget_nanousd),
        expires=key.expires_us,
        models=key.models,
        aliases=dict(key.model_aliases),
        config=key.config,
        user_id=key.user_id,
        team_id=key.team_id,
        max_parallel_requests=limits.parallel,
        metadata=key.metadata,
        tpm_limit=limits.tpm,
        rpm_limit=limits.rpm,
        model_rpm_limit=printed_model_rpm(key.model_limits),
        model_tpm_limit=printed_model_tpm(key.model_limits),
        budget_duration=limits.budget_duration,
        budget_reset_at=live.reset_us,
        budget_anchor="rolling" if limits.calendar_timezone is None else "calendar",
        budget_timezone=limits.calendar_timezone,
        allowed_cache_controls=key.allowed_cache_controls,
        permissions=key.permissions,
        model_spend={
            model: dollars_of(nanousd) for model, nanousd in spend.by_model_nanousd.items()
        },
        model_max_budget=printed_model_budgets(key.model_limits),
        soft_budget=printed_dollars(key.soft_budget_nanousd),
        blocked=key.blocked,
        budget_id=key.budget_id,
        organization_id=None if key.organization == DEFAULT_ORGANIZATION else key.organization,
        created_at=key.created_us,
        updated_at=key.updated_us,
    )
