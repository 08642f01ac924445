"""Define the base of all requests and answers, and apply a merge patch to an entity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, model_validator

from tollgate.adapters.http_api.wire.parts.not_served import asks_for_nothing

T = TypeVar("T")


class RequestBody(BaseModel):
    """A request body, in which an unknown field is an error naming it."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nothing(cls, data: Any) -> Any:
        """Drop fields that are not served and ask for nothing.

        With any other value such a field is refused by name.
        """
        if not isinstance(data, dict):
            return data
        return {
            name: value
            for name, value in data.items()
            if name in cls.model_fields or not asks_for_nothing(name, value)
        }


class ResponseBody(BaseModel):
    """An answer. Fields are printed in order, including nulls."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())


def patched(entity: T, body: RequestBody, table: Mapping[str, str]) -> T:
    """Return the entity with a body's fields applied.

    `table` maps the body's fields to the entity's. Omitted fields stay; null clears.
    """
    defaults = {each.name: each.default for each in fields(entity) if each.default is not MISSING}  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    for name, attribute in table.items():
        if name in body.model_fields_set:
            value = getattr(body, name)
            changes[attribute] = defaults[attribute] if value is None else value
    return replace(entity, **changes)  # type: ignore[type-var]
