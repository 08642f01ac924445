"""One customer, or one tag: what calls name themselves, and its limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from tollgate.adapters.http_api.console.forms import (
    RAISED,
    RESET,
    as_seen,
    body_of,
    id_of,
    judged,
)
from tollgate.adapters.http_api.console.limit_rows import raise_members
from tollgate.adapters.http_api.console.page_rendering import HEADERS, page
from tollgate.adapters.http_api.console.visitors import (
    Administrating,
    Form,
    Managing,
    Posted,
    administrator,
)
from tollgate.adapters.http_api.dependencies import Managed
from tollgate.adapters.http_api.routes.lookups.own_usage import Levelled
from tollgate.adapters.http_api.wire.scopes import customers, tags
from tollgate.core.entities import Customer, Tag
from tollgate.management import Management


@dataclass(frozen=True, slots=True)
class NamedKind:
    """A kind of what calls name.

    - `word`: in paths and sentences; the list of all is the word with an s.
    - `id_field`, `fields`: how the API's requests name one, and what else they hold.
    - `about`: the field that describes one, and its label.
    - `service`: the use cases of the kind; `delete` deletes one.
    - `blank`: a new entity by its id. `row`: a live entity as the API shows it.
    """

    word: str
    id_field: str
    fields: Any
    about: tuple[str, str]
    service: Callable[[Management], Any]
    delete: Callable[[Management, str], Awaitable[object]]
    blank: Callable[[str], object]
    row: Callable[[Any], Any]

    def to(self, identity: str, done: str) -> Response:
        """Send the visitor to the page of one, to read what was done."""
        query = urlencode({"id": identity, "done": done})
        return RedirectResponse(f"/ui/people/{self.word}?{query}", 303, HEADERS)

    async def create(self, form: Form, management: Management) -> Response:
        """Register one."""
        body = body_of(form, self.fields, blank=False)
        await management.budgets.check(body.budget_id)
        new = self.blank(getattr(body, self.id_field))
        live = await self.service(management).create(new, body.change)
        return self.to(live.entity.id, "It is registered. Its limits hold from now on.")

    async def update(self, form: Form, management: Management) -> Response:
        """Change one."""
        body = body_of(form, self.fields, blank=True, **{self.id_field: id_of(form)})
        live = await self.service(management).update(id_of(form), as_seen(form, body.change))
        return self.to(live.entity.id, "Saved. It holds everywhere within a second.")

    async def raise_limit(self, form: Form, management: Management) -> Response:
        """Raise one limit for a time."""
        live = await self.service(management).live_by_id(id_of(form))
        members = raise_members(form, live.entity.limits, self.row(live).limits)
        body = judged(self.fields, {self.id_field: id_of(form), **members})
        await self.service(management).update(id_of(form), as_seen(form, body.change))
        return self.to(id_of(form), RAISED)

    async def reset(self, form: Form, management: Management) -> Response:
        """Set what was spent in the period to nothing."""
        await self.service(management).update(id_of(form), lambda each, _: each, 0)
        return self.to(id_of(form), RESET)

    async def set_blocked(self, form: Form, management: Management, blocked: bool) -> Response:
        """Stop the calls of one, or let it work again."""
        await self.service(management).update(
            id_of(form), lambda each, _: replace(each, blocked=blocked)
        )
        if blocked:
            return self.to(
                id_of(form), "Blocked. Its calls are refused everywhere within a second."
            )
        return self.to(id_of(form), "Unblocked. It works again within a second.")

    async def remove(self, form: Form, management: Management) -> Response:
        """Delete one: nothing of its own limits it any more."""
        await self.delete(management, id_of(form))
        return RedirectResponse(f"/ui/people?show={self.word}s", 303, HEADERS)


def named_router(kind: NamedKind) -> APIRouter:
    """Return the pages of a kind, for administrators."""
    router = APIRouter(prefix=f"/people/{kind.word}", dependencies=[Depends(administrator)])

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
        field, label = kind.about
        values = {
            "visitor": visitor,
            "live": live,
            "levels": own_levels,
            "fields": kind.row(live),
            "kind": kind.word,
            "about": (field, label, getattr(live.entity, field)),
            "done": done,
        }
        return page(request, "people/named.html", values)

    def post(path: str, act: Callable[[Form, Management], Awaitable[Response]]) -> None:
        @router.post(path)
        async def acted(form: Posted, management: Managing) -> Response:
            return await act(form, management)

    post("/new", kind.create)
    post("", kind.update)
    post("/raise", kind.raise_limit)
    post("/reset", kind.reset)
    post("/block", lambda form, management: kind.set_blocked(form, management, blocked=True))
    post("/unblock", lambda form, management: kind.set_blocked(form, management, blocked=False))
    post("/delete", kind.remove)
    return router


CUSTOMERS = NamedKind(
    word="customer",
    id_field="user_id",
    fields=customers.CustomerFields,
    about=("alias", "Name"),
    service=lambda management: management.customers,
    delete=lambda management, identity: management.customers.delete([identity]),
    blank=Customer,
    row=lambda live: customers.row(live, None),
)
TAGS = NamedKind(
    word="tag",
    id_field="name",
    fields=tags.TagFields,
    about=("description", "Description"),
    service=lambda management: management.tags,
    delete=lambda management, identity: management.tags.delete(identity),
    blank=Tag,
    row=tags.row,
)
