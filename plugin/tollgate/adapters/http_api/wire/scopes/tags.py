"""Tags over HTTP, as LiteLLM answers."""

from __future__ import annotations

from typing import Any, ClassVar

from tollgate.adapters.http_api.wire.parts.base import RequestBody, ResponseBody
from tollgate.adapters.http_api.wire.parts.entity_fields import PayerFields
from tollgate.adapters.http_api.wire.parts.entity_rows import (
    PayerRow,
    payer_row,
    printed_limits_with_models,
)
from tollgate.adapters.http_api.wire.parts.limits import printed_dollars
from tollgate.adapters.http_api.wire.parts.types import Dollars, Identifier, Names, PrintedTime
from tollgate.core.entities import Tag
from tollgate.management.spending.spending import Live


class TagFields(PayerFields[Tag]):
    """POST /tag/new and /tag/update."""

    attributes: ClassVar = {"description": "description", "budget_id": "budget_id"}

    name: Identifier
    description: str | None = None
    budget_id: Identifier | None = None
    soft_budget: Dollars | None = None


class QueryTags(RequestBody):
    """POST /tag/info."""

    names: Names


class DeleteTag(RequestBody):
    """POST /tag/delete."""

    name: Identifier


class TagRow(PayerRow):
    """A tag with its spend. `litellm_budget_table` contains its limits."""

    name: str
    description: str | None
    budget_id: str | None
    soft_budget: float | None
    litellm_budget_table: dict[str, Any]
    created_at: PrintedTime
    updated_at: PrintedTime


class ChangedTag(ResponseBody):
    """The answer of /tag/new and /tag/update."""

    message: str
    tag: TagRow


class DeletedTag(ResponseBody):
    """The answer of /tag/delete."""

    message: str


def row(live: Live[Tag]) -> TagRow:
    """Return a tag with its spend."""
    tag = live.entity
    return TagRow(
        **payer_row(live),
        name=tag.id,
        description=tag.description,
        budget_id=tag.budget_id,
        soft_budget=printed_dollars(tag.soft_budget_nanousd),
        litellm_budget_table=printed_limits_with_models(tag),
        created_at=tag.created_us,
        updated_at=tag.updated_us,
    )
