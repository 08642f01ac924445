"""The commands that an entity has: verbs of the management API over ids and fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Annotated, Any

import typer

from tollgate.commands.errors import fail
from tollgate.commands.gateway import Gateway, asks_gateway
from tollgate.commands.printing.words import body_of, id_of, ids_of, words

_Page = Annotated[int, typer.Option(min=1)]
_MOST_LISTED = 1000
_Size = Annotated[int, typer.Option(min=1, max=_MOST_LISTED)]
# Of these fields the API makes the object `member`; the others stay beside it.
_OF_MEMBER = ("role", "user_id", "user_email")


class EntityCommands:
    """A group of commands on the entities of one path: `tollgate NAME VERB` asks `/NAME/VERB`."""

    def __init__(
        self,
        name: str,
        about: str,
        *,
        id_field: str,
        example: str,
        columns: Sequence[str],
        alias_field: str | None = None,
        found_by: str | None = None,
        paged: bool = False,
        listed_in: str | None = None,
    ) -> None:
        """Name the entity, the field that its id has in requests, and the id in examples.

        - `alias_field`: the field of an alias, by which commands take an entity as well.
        - `found_by`: the parameter of `info` that takes an id, if it is not `id_field`.
        - `paged`: its list comes by pages, and is searched; `listed_in`: the member of the answer
          that holds it.
        """
        self.name = name
        self.app = typer.Typer(help=about, no_args_is_help=True)
        self._id_field = id_field
        self._example = example
        self._columns = columns
        self._alias_field = alias_field
        self._found_by = found_by or id_field
        self._paged = paged
        self._listed_in = listed_in

    def with_fields(
        self,
        verb: str,
        about: str,
        example: str,
        *,
        method: str = "POST",
        id_optional: bool = False,
    ) -> None:
        """Add a command that takes an id and FIELD=VALUE, and sends them as a body."""
        place = self._id_field.upper()
        argument = words(f"[{place}]" if id_optional else place, optional=id_optional)

        def run(gateway: Gateway, given: list[str] = argument) -> None:
            body = body_of(given, self._id_field)
            if verb != "new":
                self._name_in(gateway, body)
            gateway.show(gateway.send(method, f"/{self.name}/{verb}", body))

        self._add(verb, about, run, example)

    def of_one(self, verb: str, about: str, field: str | None = None, method: str = "POST") -> None:
        """Add a command on one id, which a GET sends as a parameter and others in a body as
        `field`.
        """
        argument = words(self._id_field.upper(), fields=False)

        def run(gateway: Gateway, given: str = argument) -> None:
            path = f"/{self.name}/{verb}"
            is_query = method == "GET"
            name = field or (self._found_by if is_query else self._id_field)
            named = {name: self._named(gateway, id_of(given, self._id_field))}
            gateway.show(
                gateway.get(path, named) if is_query else gateway.send(method, path, named)
            )

        self._add(verb, about, run)

    def of_many(self, verb: str, about: str, field: str, method: str = "POST") -> None:
        """Add a command on any number of ids, sent in a body."""
        argument = words(f"{self._id_field.upper()}...", fields=False)

        def run(gateway: Gateway, given: list[str] = argument) -> None:
            ids = ids_of(given, self._id_field)
            body = {field: [self._named(gateway, each) for each in ids]}
            gateway.show(gateway.send(method, f"/{self.name}/{verb}", body), self._columns)

        self._add(verb, about, run)

    def of_member(
        self,
        verb: str,
        about: str,
        example: str,
        *,
        method: str = "POST",
        fields: bool = True,
        role: str | None = None,
    ) -> None:
        """Add a command on the membership of a user; `role` is what one gets who is given none."""
        argument = words(self._id_field.upper(), "USER_ID", fields=fields)

        def run(gateway: Gateway, given: list[str] = argument) -> None:
            body = body_of(given, self._id_field, "user_id")
            self._name_in(gateway, body)
            if role is not None:
                body.setdefault("role", role)
            if verb == "member-add":
                body["member"] = {name: body.pop(name) for name in _OF_MEMBER if name in body}
            path = f"/{self.name}/{verb.replace('-', '_')}"
            gateway.show(gateway.send(method, path, body))

        self._add(verb, about, run, example)

    def listed(self, about: str) -> None:
        """Add `list`, of all entities, or of one page."""

        def run_whole(gateway: Gateway) -> None:
            gateway.show(gateway.get(f"/{self.name}/list"), self._columns)

        def run_page(gateway: Gateway, page: _Page = 1, size: _Size = 50) -> None:
            answer = gateway.get(f"/{self.name}/list", {"page": page, "page_size": size})
            if self._listed_in is None:
                gateway.show(answer, self._columns)
            else:
                gateway.show_part(answer, self._listed_in, self._columns)

        self._add("list", about, run_page if self._paged else run_whole, None)

    def _name_in(self, gateway: Gateway, body: dict[str, Any]) -> None:
        """Put the id into the body of a request that names an entity by its alias."""
        if self._id_field in body:
            body[self._id_field] = self._named(gateway, str(body[self._id_field]))

    def _named(self, gateway: Gateway, given: str) -> str:
        """Return the id of the entity with that alias, or what is given if it is an id, or no
        alias of any.
        """
        if self._alias_field is None:
            return given
        if gateway.find(f"/{self.name}/info", {self._found_by: given}) is not None:
            return given
        found = [
            each[self._id_field]
            for each in self._candidates(gateway, given)
            if each[self._alias_field] == given
        ]
        if len(found) > 1:
            fail(f"{given!r} is the alias of several: {', '.join(found)}")
        return found[0] if found else given

    def _candidates(self, gateway: Gateway, alias: str) -> Iterator[dict[str, Any]]:
        """Yield entities among which are all of an alias."""
        if not self._paged:
            yield from gateway.get(f"/{self.name}/list")
            return
        for page in count(1):
            asked = {"search": alias, "page": page, "page_size": _MOST_LISTED}
            answer = gateway.get(f"/{self.name}/list", asked)
            listed = answer if self._listed_in is None else answer[self._listed_in]
            yield from listed
            if len(listed) < _MOST_LISTED:
                return

    def _add(
        self, verb: str, about: str, run: Callable[..., None], example: str | None = ""
    ) -> None:
        """Register a command; its example is the entity's id and `example`, or nothing if None."""
        words_of_example = () if example is None else (self._example, example)
        shown = " ".join(filter(None, ("tollgate", self.name, verb, *words_of_example)))
        self.app.command(verb, help=f"{about}\n\nExample: `{shown}`")(asks_gateway(run))
