"""What the pages of all kinds of entities but keys do alike: make one, change its limits, raise one
for a time, reset its spend, block and delete it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Response
from fastapi.params import Depends
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
from tollgate.adapters.http_api.console.page_rendering import HEADERS
from tollgate.adapters.http_api.console.visitors import Form, Managing, Posted
from tollgate.management import Management

Created = tuple[str, str]
"""The id of a new entity, and what its page says first."""


@dataclass(frozen=True, slots=True)
class PagedKind:
    """A kind of entity that has a page.

    - `word`: in paths and sentences; the list of all is the word with an s.
    - `id_field`, `fields`: how the API's requests name one, and what else they change.
    - `service`: the use cases of the kind.
    - `row`: a live entity as the API shows it.
    - `create`: makes one by a form. `delete`: deletes one; None: the console does not.
    - `warning`: what is asked before one is deleted.
    - `requests_by`: the filter that leads to its requests.
    """

    word: str
    id_field: str
    fields: Any
    service: Callable[[Management], Any]
    row: Callable[[Any], Any]
    create: Callable[[Form, Management], Awaitable[Created]]
    requests_by: str
    delete: Callable[[Management, str], Awaitable[object]] | None = None
    warning: str = ""

    @property
    def path(self) -> str:
        """The address of its pages."""
        return f"/ui/people/{self.word}"

    def values(self, live: Any, heading: str) -> Mapping[str, Any]:
        """Return what the template of a page is told of one and its kind."""
        return {"kind": self, "live": live, "entity": live.entity, "heading": heading}

    def to(self, identity: str, done: str) -> Response:
        """Send the visitor to the page of one, to read what was done."""
        query = urlencode({"id": identity, "done": done})
        return RedirectResponse(f"{self.path}?{query}", 303, HEADERS)

    async def make(self, form: Form, management: Management) -> Response:
        """Make one."""
        return self.to(*await self.create(form, management))

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

    async def block(self, form: Form, management: Management) -> Response:
        """Stop the calls of one."""
        await self._set_blocked(form, management, blocked=True)
        return self.to(id_of(form), "Blocked. Its calls are refused everywhere within a second.")

    async def unblock(self, form: Form, management: Management) -> Response:
        """Let one work again."""
        await self._set_blocked(form, management, blocked=False)
        return self.to(id_of(form), "Unblocked. It works again within a second.")

    async def remove(self, form: Form, management: Management) -> Response:
        """Delete one."""
        assert self.delete is not None
        await self.delete(management, id_of(form))
        return RedirectResponse(f"/ui/people?show={self.word}s", 303, HEADERS)

    async def _set_blocked(self, form: Form, management: Management, *, blocked: bool) -> None:
        await self.service(management).update(
            id_of(form), lambda each, _: replace(each, blocked=blocked)
        )


def entity_router(kind: PagedKind, dependencies: Sequence[Depends] = ()) -> APIRouter:
    """Return a router with what administrators do to a kind of entity."""
    router = APIRouter(prefix=f"/people/{kind.word}", dependencies=list(dependencies))

    def post(path: str, act: Callable[[Form, Management], Awaitable[Response]]) -> None:
        @router.post(path)
        async def acted(form: Posted, management: Managing) -> Response:
            return await act(form, management)

    post("/new", kind.make)
    post("", kind.update)
    post("/raise", kind.raise_limit)
    post("/reset", kind.reset)
    post("/block", kind.block)
    post("/unblock", kind.unblock)
    if kind.delete is not None:
        post("/delete", kind.remove)
    return router
