"""Internal users over HTTP. The answer of /user/new is that of LiteLLM's documentation, field for
field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar

from pydantic import BeforeValidator

from tollgate.adapters.http_api.wire.keys import KeyFields, KeyRow
from tollgate.adapters.http_api.wire.parts.base import RequestBody, ResponseBody
from tollgate.adapters.http_api.wire.parts.entity_fields import OwnedFields
from tollgate.adapters.http_api.wire.parts.entity_rows import OwnedRow, owned_row
from tollgate.adapters.http_api.wire.parts.limits import printed_dollars
from tollgate.adapters.http_api.wire.parts.types import (
    Dollars,
    Identifier,
    Lifetime,
    Names,
    ObjectText,
    PrintedTime,
    TeamId,
)
from tollgate.adapters.http_api.wire.teams import TeamRow
from tollgate.core.entities import Key, Member, MemberRole, Role, User
from tollgate.management.spending.spending import Live
from tollgate.management.users import Membership
from tollgate.management.virtual_keys import Made


class UserFields(OwnedFields[User]):
    """The fields of a user in a request. The limits apply to all the user's keys together."""

    attributes: ClassVar = {"user_alias": "alias", "user_email": "email", "user_role": "role"}

    user_id: Identifier | None = None
    user_email: Identifier | None = None
    user_alias: Identifier | None = None
    user_role: Role | None = None


class NewUserTeam(RequestBody):
    """A team that a new user joins."""

    team_id: TeamId
    user_role: MemberRole = MemberRole.USER
    max_budget_in_team: Dollars | None = None

    def membership(self) -> Membership:
        """Return the membership to create."""

        def change(member: Member, _: int) -> Member:
            limits = replace(member.limits, max_budget_nanousd=self.max_budget_in_team)
            return replace(member, role=self.user_role, limits=limits)

        return Membership(self.team_id, change)


def _as_team(value: object) -> object:
    if isinstance(value, str):
        return {"team_id": value}
    return value


class NewUser(UserFields):
    """POST /user/new.

    Fields of a key (`duration`, `key_alias`, ...) apply to the key created with the user.
    """

    auto_create_key: bool = True
    teams: tuple[Annotated[NewUserTeam, BeforeValidator(_as_team)], ...] | None = None
    team_id: TeamId | None = None
    key_alias: Identifier | None = None
    duration: Lifetime = None
    aliases: dict[Identifier, Identifier] | None = None
    config: ObjectText | None = None
    permissions: ObjectText | None = None
    allowed_cache_controls: Names | None = None

    def change(self, entity: User, now_us: int) -> User:
        """Return the user with these fields applied; without a role that of new users stays."""
        after = super().change(entity, now_us)
        return after if self.user_role is not None else replace(after, role=entity.role)

    def key_change(self, key: Key, now_us: int) -> Key:
        """Return the key created with the user.

        The limits are the user's and apply to the key without being repeated.
        """
        names = (
            "team_id",
            "key_alias",
            "duration",
            "aliases",
            "config",
            "permissions",
            "allowed_cache_controls",
        )
        fields = KeyFields.model_construct(
            _fields_set=self.model_fields_set & set(names),
            **{name: getattr(self, name) for name in names},
        )
        return fields.change(key, now_us)

    def memberships(self) -> list[Membership]:
        """Return the teams that the user joins."""
        return [each.membership() for each in self.teams or ()]


class UpdateUser(UserFields):
    """POST /user/update, by id or e-mail address."""


class DeleteUsers(RequestBody):
    """POST /user/delete."""

    user_ids: Names


class CreatedUser(ResponseBody):
    """The answer of /user/new, in the order of LiteLLM's documentation."""

    key: str | None
    expires: PrintedTime | None
    user_id: str
    max_budget: float | None


class UserRow(OwnedRow):
    """A user as /user/info and /user/list show it."""

    user_id: str
    user_alias: str | None
    user_email: str | None
    user_role: Role
    teams: tuple[str, ...]


class ListedUser(UserRow):
    """A user in /user/list."""

    key_count: int


class UserAnswer(ResponseBody):
    """The answer of /user/info."""

    user_id: str
    user_info: UserRow
    keys: tuple[KeyRow, ...]
    teams: tuple[TeamRow, ...]


class UpdatedUser(ResponseBody):
    """The answer of /user/update."""

    user_id: str
    data: UserRow


class UserList(ResponseBody):
    """The answer of /user/list."""

    users: tuple[ListedUser, ...]
    total: int
    page: int
    page_size: int
    total_pages: int


def created(live: Live[User], made: Made | None) -> CreatedUser:
    """Return a new user with their key, as in LiteLLM's documentation."""
    return CreatedUser(
        key=None if made is None else made.secret,
        expires=None if made is None else made.live.entity.expires_us,
        user_id=live.entity.id,
        max_budget=printed_dollars(live.entity.limits.max_budget_nanousd),
    )


def row(live: Live[User], team_ids: Sequence[str]) -> UserRow:
    """Return a user with their spend."""
    user = live.entity
    return UserRow(
        **owned_row(live),
        user_id=user.id,
        user_alias=user.alias,
        user_email=user.email,
        user_role=user.role,
        teams=tuple(team_ids),
    )
