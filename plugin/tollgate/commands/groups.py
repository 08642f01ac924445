"""tollgate user, team, organization, customer, tag and budget"""

from __future__ import annotations

from tollgate.commands.entity_commands import EntityCommands

USER = EntityCommands(
    "user",
    "Internal users: whoever owns keys.",
    id_field="user_id",
    alias_field="user_alias",
    paged=True,
    listed_in="users",
    example="bob",
    columns=(
        "user_id",
        "user_alias",
        "user_email",
        "user_role",
        "teams",
        "spend",
        "max_budget",
        "rpm_limit",
        "tpm_limit",
        "key_count",
    ),
)
USER.with_fields("new", "Create a user, and a key for them.", "max_budget=20", id_optional=True)
USER.of_one("info", "Show a user with their keys and teams.", method="GET")
USER.with_fields("update", "Change a user; null clears a field.", "tpm_limit=100000")
USER.of_many("delete", "Delete users with their keys and memberships.", "user_ids")
USER.listed("List users, newest first.")

TEAM = EntityCommands(
    "team",
    "Teams, and their members.",
    id_field="team_id",
    alias_field="team_alias",
    example="search",
    columns=(
        "team_id",
        "team_alias",
        "models",
        "spend",
        "max_budget",
        "budget_duration",
        "rpm_limit",
        "tpm_limit",
        "blocked",
    ),
)
TEAM.with_fields("new", "Create a team.", "max_budget=100 budget_duration=1mo", id_optional=True)
TEAM.of_one("info", "Show a team, its members and its keys.", method="GET")
TEAM.with_fields("update", "Change a team; null clears a field.", "rpm_limit=600")
TEAM.of_many("delete", "Delete teams with their keys and memberships.", "team_ids")
TEAM.of_one("block", "Block a team; takes effect everywhere within a second.")
TEAM.of_one("unblock", "Unblock a team.")
TEAM.of_member(
    "member-add",
    "Add a user to a team; max_budget_in_team=... is the budget within the team.",
    "bob max_budget_in_team=10",
    role="user",
)
TEAM.of_member(
    "member-update",
    "Change a membership; null clears a field.",
    "bob max_budget_in_team=20",
)
TEAM.of_member("member-delete", "End a membership.", "bob", fields=False)
TEAM.listed("List teams, newest first.")

ORGANIZATION = EntityCommands(
    "organization",
    "Organizations: teams and keys that share limits.",
    id_field="organization_id",
    alias_field="organization_alias",
    example="acme",
    columns=(
        "organization_id",
        "organization_alias",
        "models",
        "spend",
        "max_budget",
        "budget_duration",
        "rpm_limit",
        "tpm_limit",
    ),
)
ORGANIZATION.with_fields(
    "new", "Create an organization.", "max_budget=100 budget_duration=1mo", id_optional=True
)
ORGANIZATION.of_one("info", "Show an organization, its members and its teams.", method="GET")
ORGANIZATION.with_fields(
    "update", "Change an organization; null clears a field.", "rpm_limit=600", method="PATCH"
)
ORGANIZATION.of_many(
    "delete",
    "Delete organizations with their teams, keys and memberships.",
    "organization_ids",
    method="DELETE",
)
ORGANIZATION.of_member(
    "member-add",
    "Add a user; max_budget_in_organization=... is the budget within the organization.",
    "ann max_budget_in_organization=10",
)
ORGANIZATION.of_member(
    "member-update",
    "Change a membership; null clears a field.",
    "ann role=org_admin",
    method="PATCH",
)
ORGANIZATION.of_member("member-delete", "End a membership.", "ann", method="DELETE", fields=False)
ORGANIZATION.listed("List organizations, newest first.")

CUSTOMER = EntityCommands(
    "customer",
    "Customers: the end users whom the user field of a request names.",
    id_field="user_id",
    alias_field="alias",
    found_by="end_user_id",
    paged=True,
    example="acme",
    columns=(
        "user_id",
        "alias",
        "budget_id",
        "spend",
        "max_budget",
        "rpm_limit",
        "tpm_limit",
        "blocked",
    ),
)
CUSTOMER.with_fields("new", "Register a customer.", "max_budget=50")
CUSTOMER.of_one("info", "Show a customer and its spend.", method="GET")
CUSTOMER.with_fields("update", "Change a customer; null clears a field.", "max_budget=null")
CUSTOMER.of_many("delete", "Delete customers.", "user_ids")
CUSTOMER.of_many("block", "Block customers; takes effect everywhere within a second.", "user_ids")
CUSTOMER.of_many("unblock", "Unblock customers.", "user_ids")
CUSTOMER.listed("List customers, newest first.")

TAG = EntityCommands(
    "tag",
    "Tags: labels of requests that have limits.",
    id_field="name",
    example="nightly",
    columns=("name", "description", "spend", "max_budget", "budget_duration", "rpm_limit"),
)
TAG.with_fields("new", "Register a tag.", "max_budget=20 budget_duration=1d")
TAG.of_many("info", "Show tags and their spend.", "names")
TAG.with_fields("update", "Change a tag; null clears a field.", "rpm_limit=60")
TAG.of_one("delete", "Delete a tag.")
TAG.listed("List registered tags, newest first.")

BUDGET = EntityCommands(
    "budget",
    "Budgets: limits that keys and customers share.",
    id_field="budget_id",
    example="free-tier",
    columns=(
        "budget_id",
        "max_budget",
        "budget_duration",
        "rpm_limit",
        "tpm_limit",
        "max_parallel_requests",
    ),
)
BUDGET.with_fields("new", "Create a budget.", "max_budget=1 budget_duration=1d")
BUDGET.of_many("info", "Show budgets.", "budgets")
BUDGET.with_fields(
    "update", "Change a budget and everything that uses it; null clears a field.", "max_budget=2"
)
BUDGET.of_one(
    "delete",
    "Delete an unused budget.\n\nA budget in use is refused, and its keys and customers are named.",
    "id",
)
BUDGET.listed("List budgets, newest first.")

GROUPS = (USER, TEAM, ORGANIZATION, CUSTOMER, TAG, BUDGET)
