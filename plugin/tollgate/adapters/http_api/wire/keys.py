"""Keys over HTTP. The answer of /key/generate is that of LiteLLM's documentation,
field for field.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, model_validator

from tollgate.adapters.http_api.wire.parts.base import RequestBody, ResponseBody
from tollgate.adapters.http_api.wire.parts.entity_fields import OwnedFields
from tollgate.adapters.http_api.wire.parts.entity_rows import OwnedRow, owned_row
from tollgate.adapters.http_api.wire.parts.limits import printed_dollars
from tollgate.adapters.http_api.wire.parts.session_fields import (
    SessionFields,
    SessionRow,
    session_row,
)
from tollgate.adapters.http_api.wire.parts.types import (
    Dollars,
    DurationText,
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
from tollgate.core.limits.duration import instant_after, parse_duration
from tollgate.management.spending.spending import Live
from tollgate.management.virtual_keys import Made


class KeyFields(OwnedFields[Key], SessionFields):
    """The fields of a key in a request."""

    attributes: ClassVar = {
        "key_alias": "alias",
        "user_id": "user_id",
        "team_id": "team_id",
        "config": "config",
        "permissions": "permissions",
        "allowed_cache_controls": "allowed_cache_controls",
        "duration": "lifetime",
        "budget_id": "budget_id",
    }

    key_alias: Identifier | None = None
    duration: Lifetime = None
    user_id: Identifier | None = None
    team_id: TeamId | None = None
    allowed_cache_controls: Names | None = None
    config: ObjectText | None = None
    permissions: ObjectText | None = None
    aliases: dict[Identifier, Identifier] | None = None
    budget_id: Identifier | None = None
    soft_budget: Dollars | None = None

    def change(self, entity: Key, now_us: int) -> Key:
        """Return the key with these fields applied."""
        after = super().change(entity, now_us)
        if "aliases" in self.model_fields_set:
            after = replace(after, model_aliases=tuple((self.aliases or {}).items()))
        if "duration" in self.model_fields_set:
            never = self.duration is None
            expires_us = (
                None if never else instant_after(parse_duration(self.duration or ""), now_us)
            )
            after = replace(after, expires_us=expires_us)
        limits = self.session_limits_over(after.session_limits)
        return replace(after, session_limits=limits)


class GenerateKey(KeyFields):
    """POST /key/generate. `key`: a secret chosen by the caller."""

    key: str | None = None

    @property
    def is_anonymous(self) -> bool:
        """Return whether the request names neither the key nor whom it belongs to.

        Terraform would take a user that it did not ask for as a difference.
        """
        return not {"user_id", "team_id", "key_alias"} & self.model_fields_set


class GenerateServiceAccountKey(GenerateKey):
    """POST /key/service-account/generate: a key that belongs to a team and to no user."""

    team_id: TeamId


class UpdateKey(KeyFields):
    """POST /key/update.

    Names the key by its secret, its hash, or else its alias; with a key, `key_alias` is the new
    alias.
    """

    key: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _cleared(cls, data: Any) -> Any:
        """Take empty strings as null: LiteLLM's Terraform provider sends them for what is not set.

        Source: UpdateKey in litellm/client.go of github.com/BerriAI/terraform-provider-litellm.
        """
        if not isinstance(data, dict):
            return data
        return {name: None if value == "" else value for name, value in data.items()}

    @model_validator(mode="after")
    def _named(self) -> UpdateKey:
        if self.key is None and self.key_alias is None:
            raise wrong("either key or key_alias must be provided")
        return self


class RegenerateKey(KeyFields):
    """POST /key/regenerate. `new_key`: the new secret, if the caller chooses it. `grace_period`:
    how long the old one works beside it.
    """

    key: str | None = None
    new_key: str | None = None
    # LiteLLM's clients send an empty text for none.
    grace_period: Annotated[DurationText | None, BeforeValidator(lambda text: text or None)] = None


class DeleteKeys(RequestBody):
    """POST /key/delete."""

    keys: tuple[str, ...] | None = None
    key_aliases: Names | None = None


class NamedKey(RequestBody):
    """POST /key/block and /key/unblock."""

    key: str


class ResetSpend(RequestBody):
    """POST /key/{key}/reset_spend."""

    reset_to: Dollars


class GeneratedKey(ResponseBody):
    """The answer of /key/generate, in the order of LiteLLM's documentation.

    Key name and token id are null there; /key/info has both. Clients that sign in with `x-api-key`
    are told the token id: LiteLLM's Terraform provider does, and knows a key by it.
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
    token_id: str | None = None


class KeyRow(OwnedRow, SessionRow):
    """A key as /key/info and /key/list show it."""

    token: str
    key_name: str
    key_alias: str | None
    expires: PrintedTime | None
    aliases: dict[str, str]
    config: PrintedObject
    user_id: str | None
    team_id: str | None
    allowed_cache_controls: tuple[str, ...]
    permissions: PrintedObject
    soft_budget: float | None
    budget_id: str | None


class KeyInfo(ResponseBody):
    """The answer of /key/info."""

    key: str
    info: KeyRow


class UpdatedKey(KeyRow):
    """The answer of /key/update: the row, with the key as the request named it."""

    key: str


class DeletedKeys(ResponseBody):
    """The answer of /key/delete."""

    deleted_keys: tuple[str, ...]


class KeyList(ResponseBody):
    """The answer of /key/list."""

    keys: tuple[str | KeyRow, ...]
    total_count: int
    current_page: int
    total_pages: int


class SpendReset(ResponseBody):
    """The answer of /key/{key}/reset_spend."""

    key_hash: str
    spend: float
    previous_spend: float
    max_budget: float | None
    budget_reset_at: PrintedTime | None


def generated(made: Made, *, with_id: bool = False) -> GeneratedKey:
    """Return a key with its secret, as LiteLLM prints it. `with_id`: also with its hash."""
    shown = dict(row(made.live)) | {"key": made.secret, "duration": made.live.entity.lifetime}
    told_elsewhere = {"key_name", "token_id"}
    names = GeneratedKey.model_fields.keys() - told_elsewhere
    told_id = made.live.entity.hash if with_id else None
    return GeneratedKey(**{name: shown[name] for name in names}, token_id=told_id)


def row(live: Live[Key]) -> KeyRow:
    """Return a key with its spend."""
    key = live.entity
    return KeyRow(
        **owned_row(live),
        **session_row(live.entity.session_limits),
        token=key.hash,
        key_name=key.name,
        key_alias=key.alias,
        expires=key.expires_us,
        aliases=dict(key.model_aliases),
        config=key.config,
        user_id=key.user_id,
        team_id=key.team_id,
        allowed_cache_controls=key.allowed_cache_controls,
        permissions=key.permissions,
        soft_budget=printed_dollars(key.soft_budget_nanousd),
        budget_id=key.budget_id,
    )
