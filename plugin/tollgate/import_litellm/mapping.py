"""Map LiteLLM's rows to the lists of POST /global/import, and report what is lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tollgate.core.entities import OrganizationRole, Role
from tollgate.import_litellm.rows import Lost, Row, RowReader
from tollgate.import_litellm.source import Dump

KINDS = (
    *("budgets", "organizations", "users", "teams", "members", "organization_members"),
    *("customers", "tags", "keys"),
)
"""In order of creation: entities refer to budgets and organizations."""

_LIMITS = (
    "max_budget",
    "budget_duration",
    "tpm_limit",
    "rpm_limit",
    "tpd_limit",
    "max_parallel_requests",
    "budget_limits",
)
_MOMENTS = ("created_at", "budget_reset_at")
_KEY = (
    *(
        "token",
        "key_name",
        "key_alias",
        "user_id",
        "team_id",
        "models",
        "aliases",
        "config",
        "permissions",
        "blocked",
    ),
    *("allowed_cache_controls", "expires", *_LIMITS, *_MOMENTS),
)
_USER = ("user_id", "user_email", "user_alias", "models", *_LIMITS, *_MOMENTS)
_TEAM = (
    *("team_id", "team_alias", "models", "admins", "members", "blocked", "soft_budget"),
    *(*_LIMITS, *_MOMENTS),
)
_ORGANIZATION = (*("organization_id", "organization_alias", "models", "blocked", "created_at"),)
_MEMBERSHIP = ("spend", "created_at")
_TAG = ("name", "description", "models", "spend", "created_at")
_CUSTOMER = ("user_id", "alias", "blocked", "models", "spend", "created_at", "budget_reset_at")
_BUDGET = ("budget_id", "soft_budget", "model_max_budget", "created_at", *_LIMITS)
# Fields that repeat what other rows say, or that have no effect.
_TOLD = (
    "created_by*",
    "updated_*",
    "last_active",
    "total_spend",
    "settings_updated_at",
    "metadata",
    "status",
)
_TOLD_OF_KEYS = (
    *_TOLD,
    *(
        "team_*",
        "user_*",
        "end_user_*",
        "organization_*",
        "org_*",
        "user",
        "team",
        "soft_budget",
        "soft_budget_cooldown",
    ),
    *(
        "rotation_count",
        "last_rotation_at",
        "model_max_budget_usage",
        "budget_limits_usage",
        "litellm_*",
    ),
)
_TOLD_OF_USERS = (
    *_TOLD,
    "teams",
    "organization_memberships",
    "key_count",
    "password*",
    "last_breach_check_at",
    "team_id",
)
_TOLD_OF_TEAMS = (
    *_TOLD,
    "keys",
    "members_count",
    "keys_count",
    "model_id",
    "team_memberships",
    "members_with_roles",
    "litellm_*",
)
_TOLD_OF_ORGANIZATIONS = (*_TOLD, "members", "teams", "users", "keys")
# `model_info` repeats `models` by id; tags that only calls have named are no entities here either.
_TOLD_OF_TAGS = (*_TOLD, "model_info", "created_by")
_TOLD_OF_BUDGETS = (*_TOLD, "budget_reset_at")
_TOLD_OF_MEMBERS = (
    *_TOLD,
    "team_id",
    "organization_id",
    "user_*",
    "user",
    "budget_id",
    "litellm_*",
)
_TOLD_OF_MEMBERS_BUDGETS = (*_TOLD_OF_BUDGETS, "budget_id", "created_at")
# The user whose spend is that of all traffic.
_PROXY = "litellm-proxy-budget"
# LiteLLM's own UI creates a key for each session.
_SESSIONS = "litellm-dashboard"


@dataclass(slots=True)
class ImportPlan:
    """The entities to import, by kind, and what is lost on the way."""

    items: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {kind: [] for kind in KINDS}
    )
    lost: list[Lost] = field(default_factory=list)
    sessions: int = 0


@dataclass(frozen=True, slots=True)
class _Homes:
    """The organizations of a dump, and those of its teams."""

    organizations: set[str]
    of_teams: dict[str, str | None]

    def carried(self, reader: RowReader) -> dict[str, Any]:
        """Return the organization of a row, if it is in the dump."""
        given = reader.get("organization_id") or reader.get("org_id")
        if not given:
            return {}
        if str(given) not in self.organizations:
            reader.lose("organization_id", f"there is no organization {given}")
            return {}
        return {"organization_id": str(given)}

    def of_key(self, reader: RowReader) -> dict[str, Any]:
        """Return the organization of a key: that of its team, if it has one."""
        own, team_id = self.carried(reader), str(reader.get("team_id") or "")
        if team_id not in self.of_teams:
            return own
        team = self.of_teams[team_id]
        if own and own["organization_id"] != team:
            reader.lose("organization_id", f"its team {team_id} is in another organization")
        return {"organization_id": team} if team in self.organizations else {}


def plan_of(dump: Dump) -> ImportPlan:
    """Map everything in a dump."""
    plan = ImportPlan()
    budgets = _budgets(dump)
    for row in budgets.values():
        _take_budget(plan, row)
    emails = {
        row["user_email"]: row["user_id"]
        for row in dump.users
        if row.get("user_email") and row.get("user_id")
    }
    homes = _Homes(
        {str(row["organization_id"]) for row in dump.organizations if row.get("organization_id")},
        {str(row.get("team_id")): row.get("organization_id") for row in dump.teams},
    )
    for row in dump.organizations:
        _take_organization(plan, row, budgets)
    for row in dump.users:
        if row.get("user_id") != _PROXY:
            _take_user(plan, row, homes)
        elif row.get("spend"):
            reason = f"{row['spend']} of the budget of all traffic, which starts anew here"
            plan.lost.append(Lost("users", _PROXY, "spend", reason))
    for row in dump.models:
        _note_model(plan, row)
    for row in dump.teams:
        _take_team(plan, row, budgets, emails, homes)
    for row in dump.customers:
        _take_customer(plan, row, budgets)
    for row in dump.tags:
        _take_tag(plan, row, budgets)
    for row in dump.keys:
        _take_key(plan, row, budgets, homes)
    return plan


def _budgets(dump: Dump) -> dict[str, Row]:
    """Return budgets by id: those of the list, and those that only their users' rows contain."""
    found = {str(row["budget_id"]): row for row in dump.budgets if row.get("budget_id")}
    for row in (*dump.keys, *dump.customers, *dump.organizations, *dump.tags):
        budget = row.get("litellm_budget_table")
        if isinstance(budget, dict) and budget.get("budget_id"):
            found.setdefault(str(budget["budget_id"]), budget)
    return found


def _take_budget(plan: ImportPlan, row: Row) -> None:
    reader = RowReader("budgets", str(row["budget_id"]), row)
    plan.items["budgets"].append(reader.carried(_BUDGET))
    plan.lost += reader.finish(_TOLD_OF_BUDGETS)


def _take_organization(plan: ImportPlan, row: Row, budgets: Mapping[str, Row]) -> None:
    identity = str(row.get("organization_id"))
    reader = RowReader("organizations", identity, row)
    item = {**reader.carried(_ORGANIZATION), **reader.spend(), **reader.metadata()}
    item |= _budget_of(reader, budgets, item)
    plan.items["organizations"].append(item)
    for each in row.get("members") or ():
        _take_organization_member(plan, identity, each, budgets)
    plan.lost += reader.finish(_TOLD_OF_ORGANIZATIONS)


def _take_organization_member(
    plan: ImportPlan, organization_id: str, row: Row, budgets: Mapping[str, Row]
) -> None:
    reader = RowReader("organization_members", f"{organization_id}/{row.get('user_id')}", row)
    item = {"organization_id": organization_id, **reader.carried(("user_id", *_MEMBERSHIP))}
    role = reader.get("user_role")
    if role in {each.value for each in OrganizationRole}:
        item["role"] = role
    elif role:
        reader.lose("user_role", f"{role} is no role here; internal_user instead")
    budget = row.get("litellm_budget_table") or budgets.get(str(row.get("budget_id")), {})
    limits = RowReader("organization_members", f"{organization_id}/{row.get('user_id')}", budget)
    item |= limits.carried((*_LIMITS, "model_max_budget", "budget_reset_at"))
    if "max_budget" in item:
        item["max_budget_in_organization"] = item.pop("max_budget")
    plan.items["organization_members"].append(item)
    plan.lost += reader.finish(_TOLD_OF_MEMBERS) + limits.finish(_TOLD_OF_MEMBERS_BUDGETS)


def _take_tag(plan: ImportPlan, row: Row, budgets: Mapping[str, Row]) -> None:
    reader = RowReader("tags", str(row.get("name")), row)
    item = reader.carried(_TAG)
    item |= _budget_of(reader, budgets, item)
    plan.items["tags"].append(item)
    plan.lost += reader.finish(_TOLD_OF_TAGS)


def _take_user(plan: ImportPlan, row: Row, homes: _Homes) -> None:
    reader = RowReader("users", str(row.get("user_id")), row)
    item = {
        **reader.carried(_USER),
        **reader.spend(),
        **reader.metadata(),
        **homes.carried(reader),
    }
    role = reader.get("user_role")
    if role in {each.value for each in Role}:
        item["user_role"] = role
    elif role:
        reader.lose("user_role", f"{role} is no role here; internal_user instead")
    plan.items["users"].append(item)
    plan.lost += reader.finish(_TOLD_OF_USERS)


def _take_team(
    plan: ImportPlan,
    row: Row,
    budgets: Mapping[str, Row],
    emails: Mapping[str, str],
    homes: _Homes,
) -> None:
    team_id = str(row.get("team_id"))
    reader = RowReader("teams", team_id, row)
    item = {
        **reader.carried(_TEAM),
        **reader.spend(),
        **reader.metadata(),
        **homes.carried(reader),
    }
    model_table = row.get("litellm_model_table")
    if isinstance(model_table, dict):
        aliases = RowReader("teams", team_id, model_table).carried(("model_aliases",))
        item |= aliases
    metadata = item.get("metadata", {})
    shared = str(metadata.pop("team_member_budget_id", None) or "")
    if not metadata:
        item.pop("metadata", None)
    item |= _member_defaults(budgets.get(shared, {}))
    plan.items["teams"].append(item)
    _take_members(plan, row, budgets, emails, shared)
    plan.lost += reader.finish(_TOLD_OF_TEAMS)


def _member_defaults(budget: Row) -> dict[str, Any]:
    """Return the limits of each member who has none of their own."""
    names = {
        "max_budget": "team_member_budget",
        "budget_duration": "team_member_budget_duration",
        "rpm_limit": "team_member_rpm_limit",
        "tpm_limit": "team_member_tpm_limit",
    }
    return {
        ours: budget[theirs] for theirs, ours in names.items() if budget.get(theirs) is not None
    }


def _take_members(
    plan: ImportPlan, row: Row, budgets: Mapping[str, Row], emails: Mapping[str, str], shared: str
) -> None:
    team_id = str(row.get("team_id"))
    memberships = {each.get("user_id"): each for each in row.get("team_memberships") or ()}
    for each in row.get("members_with_roles") or ():
        user_id = each.get("user_id") or emails.get(each.get("user_email") or "")
        if not user_id:
            plan.lost.append(
                Lost("teams", team_id, "members_with_roles", f"{each.get('user_email')} is no user")
            )
            continue
        item = {"team_id": team_id, "user_id": user_id, "role": each.get("role") or "user"}
        membership = memberships.get(user_id, {})
        reader = RowReader("members", f"{team_id}/{user_id}", membership)
        item |= reader.carried(_MEMBERSHIP)
        budget = membership.get("litellm_budget_table") or budgets.get(
            str(membership.get("budget_id")), {}
        )
        item |= RowReader("members", f"{team_id}/{user_id}", budget).carried(("budget_reset_at",))
        if membership.get("budget_id") != shared or not shared:
            limits = RowReader("members", f"{team_id}/{user_id}", budget)
            own = limits.carried((*_LIMITS, "allowed_models"))
            if "max_budget" in own:
                own["max_budget_in_team"] = own.pop("max_budget")
            item |= own
            limits.get("model_max_budget")
            if budget.get("model_max_budget"):
                limits.lose("model_max_budget", "members have no budgets for single models")
            plan.lost += limits.finish(_TOLD_OF_MEMBERS_BUDGETS)
        plan.items["members"].append(item)
        plan.lost += reader.finish(_TOLD_OF_MEMBERS)


def _note_model(plan: ImportPlan, row: Row) -> None:
    """Record a model that LiteLLM keeps in its database: it tells nobody the model's key."""
    info = row.get("model_info")
    if isinstance(info, dict) and info.get("db_model"):
        reason = "it is in LiteLLM's database: add it with /model/new, or to the file"
        plan.lost.append(Lost("models", str(row.get("model_name")), "litellm_params", reason))


def _take_customer(plan: ImportPlan, row: Row, budgets: Mapping[str, Row]) -> None:
    reader = RowReader("customers", str(row.get("user_id")), row)
    item = reader.carried(_CUSTOMER)
    item |= _budget_of(reader, budgets, item)
    plan.items["customers"].append(item)
    plan.lost += reader.finish(_TOLD)


def _take_key(plan: ImportPlan, row: Row, budgets: Mapping[str, Row], homes: _Homes) -> None:
    if row.get("team_id") == _SESSIONS:
        plan.sessions += 1
        return
    reader = RowReader(
        "keys", str(row.get("key_alias") or row.get("key_name") or row.get("token")), row
    )
    item = {**reader.carried(_KEY), **reader.spend(), **reader.metadata()}
    item |= _budget_of(reader, budgets, item)
    item |= homes.of_key(reader)
    plan.items["keys"].append(item)
    plan.lost += reader.finish(_TOLD_OF_KEYS)


def _budget_of(reader: RowReader, budgets: Mapping[str, Row], item: Row) -> dict[str, Any]:
    """Return an entity's reference to its budget.

    The budget's period becomes the entity's if the entity has none.
    """
    embedded = reader.get("litellm_budget_table")
    budget_id = reader.get("budget_id") or (
        embedded.get("budget_id") if isinstance(embedded, dict) else None
    )
    if not budget_id:
        return {}
    found: dict[str, Any] = {"budget_id": str(budget_id)}
    resets = budgets.get(str(budget_id), {}).get("budget_reset_at")
    if resets and "budget_reset_at" not in item:
        found["budget_reset_at"] = resets
    return found
