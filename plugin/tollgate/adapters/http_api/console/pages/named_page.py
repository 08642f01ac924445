"""One customer, or one tag: what calls name themselves, and its limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from tollgate.adapters.http_api.console.forms import body_of
from tollgate.adapters.http_api.console.page_rendering import page
from tollgate.adapters.http_api.console.pages.entity_pages import (
    Created,
    PagedKind,
    entity_router,
)
from tollgate.adapters.http_api.console.visitors import Administrating, Form, administrator
from tollgate.adapters.http_api.dependencies import Managed
from tollgate.adapters.http_api.routes.lookups.own_usage import Levelled
from tollgate.adapters.http_api.wire.scopes import customers, tags
from tollgate.core.entities import Customer, Tag
from tollgate.management import Management

_WARNING = "Delete this {}? Calls may name it as before, without limits of its own."


def _named_router(kind: PagedKind, about: tuple[str, str]) -> APIRouter:
    """Return the pages of a kind, for administrators. `about`: the field that describes one, and
    its label.
    """
    router = entity_router(kind, [Depends(administrator)])

    @router.get("")
    async def show(
        id: str,  # noqa: A002 - the query's name
        request: Request,
        visitor: Administrating,
        management: Managed,
        levels: Levelled,
        done: str | None = None,
    ) -> Response:
        live = await kind.service(management).live_by_id(id)
        (own_levels,) = await levels.of([live.entity])
        field, label = about
        values = {
            **kind.values(live, live.entity.id),
            "visitor": visitor,
            "levels": own_levels,
            "fields": kind.row(live),
            "about": (field, label, getattr(live.entity, field)),
            "done": done,
        }
        return page(request, "people/named.html", values)

    return router


async def _register(
    form: Form,
    management: Management,
    fields: Any,
    service: Any,
    blank: Callable[[Any], object],
) -> Created:
    body = body_of(form, fields, blank=False)
    await management.budgets.check(body.budget_id)
    live = await service.create(blank(body), body.change)
    return live.entity.id, "It is registered. Its limits hold from now on."


async def _register_customer(form: Form, management: Management) -> Created:
    return await _register(
        form,
        management,
        customers.CustomerFields,
        management.customers,
        lambda body: Customer(body.user_id),
    )


async def _register_tag(form: Form, management: Management) -> Created:
    return await _register(
        form, management, tags.TagFields, management.tags, lambda body: Tag(body.name)
    )


_CUSTOMER = PagedKind(
    word="customer",
    id_field="user_id",
    fields=customers.CustomerFields,
    service=lambda management: management.customers,
    row=lambda live: customers.row(live, None),
    create=_register_customer,
    requests_by="customer_id",
    delete=lambda management, identity: management.customers.delete([identity]),
    warning=_WARNING.format("customer"),
)
_TAG = PagedKind(
    word="tag",
    id_field="name",
    fields=tags.TagFields,
    service=lambda management: management.tags,
    row=tags.row,
    create=_register_tag,
    requests_by="tag",
    delete=lambda management, identity: management.tags.delete(identity),
    warning=_WARNING.format("tag"),
)
customer_router = _named_router(_CUSTOMER, ("alias", "Name"))
tag_router = _named_router(_TAG, ("description", "Description"))
