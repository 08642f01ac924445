"""Files that declare entities, over HTTP: the fields of each kind's requests, and what a plan
changes of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from msgspec import structs
from pydantic import StringConstraints, ValidationError, field_validator

from tollgate.adapters.http_api.error_replies import fault
from tollgate.adapters.http_api.wire import budgets, keys, members, teams, users
from tollgate.adapters.http_api.wire.parts.base import RequestBody, ResponseBody
from tollgate.adapters.http_api.wire.parts.entity_rows import LimitsRow, limits_row
from tollgate.adapters.http_api.wire.parts.limits import FIELDS_OF_MODELS
from tollgate.adapters.http_api.wire.parts.types import Identifier, TeamId
from tollgate.adapters.http_api.wire.scopes import customers, organizations, tags
from tollgate.core.entities import (
    Budget,
    Customer,
    Key,
    LimitSet,
    Member,
    Organization,
    OrganizationMember,
    Tag,
    Team,
    User,
)
from tollgate.core.limits.accounts import DEFAULT_ORGANIZATION
from tollgate.core.limits.limit import KINDS, Limit
from tollgate.management.applying.declaration import (
    Declaration,
    DoneStep,
    EntityId,
    PlannedAction,
    PlannedStep,
)
from tollgate.management.spending.spending import Live
from tollgate.management.virtual_keys import checked_secret, shown_name

_MOST_ENTITIES = 5000
_PASSING = ("spend", "temp_budget_increase", "temp_budget_expiry", "temp_budget_periods")
_PASSING_OF_LIMITS = ("temp_increase", "temp_expiry", "temp_periods")
_NOT_SHOWN = {
    *("spend", "total_spend", "model_spend", "created_at", "updated_at", "budget_reset_at"),
    *("token", "key_name", "registered", "members_with_roles", "teams", "litellm_budget_table"),
}


class DeclaredUser(users.UserFields):
    """An internal user; no key is created for them."""

    user_id: Identifier


class DeclaredTeam(teams.TeamFields):
    """A team, without its members."""

    team_id: TeamId


class DeclaredBudget(budgets.BudgetFields):
    """A budget."""

    budget_id: Identifier


class DeclaredMember(members.MemberFields):
    """A user in a team."""

    user_id: Identifier


class DeclaredEmployee(organizations.OrganizationMemberFields):
    """A user in an organization."""

    user_id: Identifier


class DeclaredKey(keys.KeyFields):
    """A key, known by its alias. `key`: its secret, if the file chooses it."""

    key_alias: Identifier
    key: str | None = None

    @field_validator("key")
    @classmethod
    def _usable(cls, given: str | None) -> str | None:
        return None if given is None else checked_secret(given)

    def change(self, entity: Key, now_us: int) -> Key:
        """Return the key with these fields applied; the same lifetime as before begins when it
        did.
        """
        after = super().change(entity, now_us)
        if entity.lifetime is not None and entity.lifetime == after.lifetime:
            return replace(after, expires_us=entity.expires_us)
        return after


@dataclass(frozen=True, slots=True)
class _Kind:
    """A list of a file.

    `names`: the fields that identify an entity. `row`: how it is printed.
    """

    entity: type[Any]
    body: type[Any]
    names: tuple[str, ...]
    blank: Callable[[Any], Any]
    row: Callable[[Any], ResponseBody]


class _MemberRow(LimitsRow):
    """A membership, as a plan prints it."""

    role: str
    allowed_models: tuple[str, ...] = ()


def _member_row(entity: Member | OrganizationMember) -> _MemberRow:
    models = entity.models if isinstance(entity, Member) else ()
    return _MemberRow(**limits_row(Live(entity)), role=entity.role, allowed_models=models)


_KINDS = {
    "budgets": _Kind(
        Budget,
        DeclaredBudget,
        ("budget_id",),
        lambda body: Budget(body.budget_id),
        lambda entity: budgets.row(Live(entity)),
    ),
    "organizations": _Kind(
        Organization,
        organizations.UpdateOrganization,
        ("organization_id",),
        lambda body: Organization(body.organization_id),
        lambda entity: organizations.row(Live(entity)),
    ),
    "users": _Kind(
        User,
        DeclaredUser,
        ("user_id",),
        lambda body: User(body.user_id),
        lambda entity: users.row(Live(entity), ()),
    ),
    "teams": _Kind(
        Team,
        DeclaredTeam,
        ("team_id",),
        lambda body: Team(body.team_id),
        lambda entity: teams.row(Live(entity), ()),
    ),
    "members": _Kind(
        Member,
        DeclaredMember,
        ("team_id", "user_id"),
        lambda body: Member(body.team_id, body.user_id),
        _member_row,
    ),
    "organization_members": _Kind(
        OrganizationMember,
        DeclaredEmployee,
        ("organization_id", "user_id"),
        lambda body: OrganizationMember(body.organization_id, body.user_id),
        _member_row,
    ),
    "customers": _Kind(
        Customer,
        customers.CustomerFields,
        ("user_id",),
        lambda body: Customer(body.user_id),
        lambda entity: customers.row(Live(entity), None),
    ),
    "tags": _Kind(
        Tag,
        tags.TagFields,
        ("name",),
        lambda body: Tag(body.name),
        lambda entity: tags.row(Live(entity)),
    ),
    "keys": _Kind(
        Key,
        DeclaredKey,
        ("key_alias",),
        lambda body: Key("", "", alias=body.key_alias),
        lambda entity: keys.row(Live(entity)),
    ),
}
_LISTS = {kind.entity: name for name, kind in _KINDS.items()}
_REFERENCES: dict[str, type[Any]] = {
    "organization_id": Organization,
    "budget_id": Budget,
    "team_id": Team,
}

# Rows are validated one by one, so that all faults of a file are told at once.
Rows = tuple[dict[str, Any], ...]
FileName = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class ApplyFile(RequestBody):
    """POST /global/apply: what a file declares.

    `name` tells one file from another. `dry_run` changes nothing and returns the plan.
    """

    name: FileName = "default"
    dry_run: bool = False
    prune: bool = False
    take_over: bool = False
    budgets: Rows = ()
    organizations: Rows = ()
    users: Rows = ()
    teams: Rows = ()
    members: Rows = ()
    organization_members: Rows = ()
    customers: Rows = ()
    tags: Rows = ()
    keys: Rows = ()

    @property
    def is_too_long(self) -> bool:
        """Return whether it contains more entities than one call accepts."""
        return sum(len(getattr(self, name)) for name in _KINDS) > _MOST_ENTITIES

    def declarations(self, faults: list[str]) -> Iterator[Declaration]:
        """Yield the valid entities, and add the faults of the others to a list."""
        for name, kind in _KINDS.items():
            for number, row in enumerate(getattr(self, name)):
                place = _place(kind, name, number, row)
                faults += [
                    f"{place}: {each} passes, so no file declares it" for each in _passing(row)
                ]
                try:
                    yield _declaration(kind, row)
                except ValidationError as error:
                    faults += [f"{place}: {fault(each, each['loc'])}" for each in error.errors()]


def _place(kind: _Kind, name: str, number: int, row: Mapping[str, Any]) -> str:
    """Return how a fault names an entity: by its id, else by its number in the list."""
    identity = "/".join(str(row[each]) for each in kind.names if each in row)
    return f"{name}: {identity or f'entry {number + 1}'}"


def _declaration(kind: _Kind, row: dict[str, Any]) -> Declaration:
    """Return what a row declares. Raises ValidationError."""
    body = kind.body.model_validate(row)
    fields = {*body.model_fields_set, *_set_by_limits(body)} - {*kind.names, "key"}
    secret = body.key if isinstance(body, DeclaredKey) else None
    return Declaration(
        id="/".join(getattr(body, each) for each in kind.names),
        blank=kind.blank(body),
        change=_change_by(kind, row),
        fields=tuple(sorted(fields)),
        needs=_needs(kind, body),
        secret=secret,
    )


def _set_by_limits(body: Any) -> Iterator[str]:
    """Yield the fields of limits that the general form sets too, and that go with it."""
    fields = {kind.counter: kind.field for kind in KINDS.values()}
    for each in body.limits or ():
        field = fields.get(each.limit.counter)
        if field is not None and each.model is None:
            yield field
        elif field is not None and field in FIELDS_OF_MODELS:
            yield FIELDS_OF_MODELS[field]


def _passing(row: Mapping[str, Any]) -> list[str]:
    """Return the fields that no file may declare: what was spent, and raises for a time."""
    found = [name for name in _PASSING if row.get(name) is not None]
    limits = row.get("limits")
    for each in limits if isinstance(limits, list) else ():
        if isinstance(each, dict):
            found += [f"limits: {name}" for name in _PASSING_OF_LIMITS if each.get(name)]
    return found


def _change_by(kind: _Kind, row: dict[str, Any]) -> Callable[[Any, int, Sequence[str]], Any]:
    def change(entity: Any, now_us: int, cleared: Sequence[str]) -> Any:
        body = kind.body.model_validate({**dict.fromkeys(cleared), **row})
        after = body.change(entity, now_us)
        return replace(
            after,
            limits=_with_raises(entity.limits, after.limits),
        )

    return change


def _with_raises(before: LimitSet, after: LimitSet) -> LimitSet:
    """Return limits with the raises that somebody gave them for a time."""
    raised = {each.counter: each.increase for each in before.limits if each.increase is not None}

    def kept(limit: Limit) -> Limit:
        return structs.replace(limit, increase=raised.get(limit.counter, limit.increase))

    return replace(after, limits=tuple(map(kept, after.limits))) if raised else after


def _needs(kind: _Kind, body: Any) -> tuple[EntityId, ...]:
    """Return the entities that one refers to, which must exist or stand in the file."""
    found = []
    for field, entity in _REFERENCES.items():
        name = getattr(body, field, None)
        if name not in (None, DEFAULT_ORGANIZATION) and entity is not kind.entity:
            found.append((entity, name))
    return tuple(found)


class AppliedChange(ResponseBody):
    """One step: what becomes of an entity.

    `fields` has the values before and after of each that changes. `key`: the secret of a new key,
    which only this answer contains.
    """

    action: PlannedAction
    kind: str
    id: str
    fields: dict[str, tuple[Any, Any]]
    note: str | None
    key: str | None = None
    failure: str | None = None


class Applied(ResponseBody):
    """The answer of /global/apply: what was done, or with `dry_run` would be, in that order."""

    name: str
    unchanged: int
    changes: tuple[AppliedChange, ...]


def faults_of(steps: Iterable[PlannedStep]) -> list[str]:
    """Return why steps of a plan cannot be taken."""
    return [f"{_LISTS[each.kind]}: {each.id}: {each.fault}" for each in steps if each.fault]


def planned(step: PlannedStep) -> AppliedChange:
    """Return a step as printed."""
    kind = _LISTS[step.kind]
    fields = {} if step.action is PlannedAction.DELETE else _differences(step)
    return AppliedChange(action=step.action, kind=kind, id=step.id, fields=fields, note=step.note)


def done(result: DoneStep) -> AppliedChange:
    """Return a step that was taken as printed."""
    return planned(result.step).model_copy(update={"key": result.secret, "failure": result.failure})


def differ(before: Any, after: Any) -> bool:
    """Return whether two states of an entity are printed differently."""
    return _shown(before) != _shown(after)


def _differences(step: PlannedStep) -> dict[str, tuple[Any, Any]]:
    assert step.after is not None
    assert step.declaration is not None
    old = _shown(step.before or step.declaration.blank)
    new = _shown(step.after)
    found = {name: (old[name], new[name]) for name in new if old[name] != new[name]}
    secret = step.declaration.secret
    if step.rotates and secret is not None and isinstance(step.before, Key):
        found["key"] = step.before.name, shown_name(secret)
    return found


def _shown(entity: Any) -> dict[str, Any]:
    kind = _KINDS[_LISTS[type(entity)]]
    row = kind.row(entity).model_dump(mode="json")
    return {
        name: value
        for name, value in row.items()
        if name not in _NOT_SHOWN and name not in kind.names
    }
