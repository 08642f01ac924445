"""Share request fields between nouns, and apply them to an entity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Generic, TypeVar

from tollgate.adapters.http_api.wire.parts.base import patched
from tollgate.adapters.http_api.wire.parts.limits import LimitFields, ModelLimitFields
from tollgate.adapters.http_api.wire.parts.types import Dollars, Identifier, Names, ObjectText
from tollgate.core.entities import Budget, Customer, Key, Organization, Tag, Team, User

_Limited = TypeVar("_Limited", Key, User, Team, Customer, Budget, Organization, Tag)

_ATTRIBUTES = {
    "models": "models",
    "metadata": "metadata",
    "blocked": "blocked",
    "soft_budget": "soft_budget_nanousd",
}


class EntityFields(LimitFields, ModelLimitFields, Generic[_Limited]):
    """The fields of an entity with limits, in total and for single models.

    `attributes` maps the noun's own fields to the entity's attributes, beside the shared ones.
    """

    attributes: ClassVar[Mapping[str, str]] = {}
    belongs: ClassVar[Mapping[str, str]] = {}

    def change(self, entity: _Limited, now_us: int) -> _Limited:
        """Return the entity with these fields applied."""
        return replace(
            patched(entity, self, {**_ATTRIBUTES, **self.belongs, **self.attributes}),
            limits=self.limits_over(entity.limits, now_us),
            model_limits=self.model_limits_over(entity.model_limits, now_us),
        )


class PayerFields(EntityFields[_Limited], Generic[_Limited]):
    """The fields of an entity that calls are charged to.

    `spend`: its spend in the current period.
    """

    models: Names | None = None
    blocked: bool | None = None
    spend: Dollars | None = None


class OwnedFields(PayerFields[_Limited], Generic[_Limited]):
    """The fields of a payer that belongs to an organization."""

    belongs: ClassVar[Mapping[str, str]] = {"organization_id": "organization"}

    organization_id: Identifier | None = None
    metadata: ObjectText | None = None
