"""The commands that an entity has: verbs of the management API over ids and fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from tollgate.commands.errors import fail
from tollgate.commands.gateway import Gateway, asks_gateway
from tollgate.commands.printing.words import body_of, id_of, ids_of, words

_Page = Annotated[int, typer.Option(min=1)]
_Size = Annotated[int, typer.Option(min=1, max=1000)]
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
    ) -> None:
        """Name the entity, the field that its id has in requests, and the id in examples.

        `alias_field`: the field of an alias, by which commands take an entity as well.
        """
        self.name = name
        self.app = typer.Typer(help=about, no_args_is_help=True)
        self._id_field = id_field
        self._example = example
        self._columns = columns
        self._alias_field = alias_field

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
            if not id_optional:
                self._name_in(gateway, body)
            gateway.show(gateway.send(method, f"/{self.name}/{verb}", body))

        self._add(verb, about, run, example)

    def of_one(self, verb: str, about: str, field: str | None = None, method: str = "POST") -> None:
        """Add a command on one id, which a GET sends as a parameter and others in a body."""
        argument = words(self._id_field.upper(), fields=False)

        def run(gateway: Gateway, given: str = argument) -> None:
            path = f"/{self.name}/{verb}"
            named = {field or self._id_field: self._named(gateway, id_of(given, self._id_field))}
            is_query = method == "GET"
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
        """Add `list`, of all entities."""

        def run(gateway: Gateway) -> None:
            gateway.show(gateway.get(f"/{self.name}/list"), self._columns)

        self._add("list", about, run, None)

    def listed_by_page(self, about: str, member: str | None = None) -> None:
        """Add `list`, of one page, which the answer has in `member` or is itself."""

        def run(gateway: Gateway, page: _Page = 1, size: _Size = 50) -> None:
            answer = gateway.get(f"/{self.name}/list", {"page": page, "page_size": size})
            if member is None:
                gateway.show(answer, self._columns)
            else:
                gateway.show_part(answer, member, self._columns)

        self._add("list", about, run, None)

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
        if gateway.find(f"/{self.name}/info", {self._id_field: given}) is not None:
            return given
        listed = gateway.get(f"/{self.name}/list")
        found = [each[self._id_field] for each in listed if each[self._alias_field] == given]
        if len(found) > 1:
            fail(f"{given!r} is the alias of several: {', '.join(found)}")
        return found[0] if found else given

    def _add(
        self, verb: str, about: str, run: Callable[..., None], example: str | None = ""
    ) -> None:
        """Register a command; its example is the entity's id and `example`, or nothing if None."""
        words_of_example = () if example is None else (self._example, example)
        shown = " ".join(filter(None, ("tollgate", self.name, verb, *words_of_example)))
        self.app.command(verb, help=f"{about}\n\nExample: `{shown}`")(asks_gateway(run))
