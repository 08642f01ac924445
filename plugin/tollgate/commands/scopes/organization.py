"""tollgate organization"""

from __future__ import annotations

from typing import Annotated

import typer

from tollgate.commands.gateway import DEFAULT_URL, AsJson, MasterKey, Url, get, post, send
from tollgate.commands.printing.tables import show
from tollgate.commands.printing.words import body_of, id_of, ids_of, words

app = typer.Typer(help="Organizations: teams and keys that share limits.", no_args_is_help=True)

_ID, _USER_ID = "organization_id", "user_id"
NewWords = Annotated[list[str] | None, words("[ORGANIZATION_ID]")]
Words = Annotated[list[str], words("ORGANIZATION_ID")]
MemberWords = Annotated[list[str], words("ORGANIZATION_ID", "USER_ID")]
Member = Annotated[list[str], words("ORGANIZATION_ID", "USER_ID", fields=False)]
Name = Annotated[str, words("ORGANIZATION_ID", fields=False)]
Names = Annotated[list[str], words("ORGANIZATION_ID...", fields=False)]
_COLUMNS = (
    "organization_id",
    "organization_alias",
    "models",
    "spend",
    "max_budget",
    "budget_duration",
    "rpm_limit",
    "tpm_limit",
)


@app.command()
def new(
    given: NewWords = None,
    url: Url = DEFAULT_URL,
    master_key: MasterKey = None,
    as_json: AsJson = False,
) -> None:
    """Create an organization.

    Example: `tollgate organization new acme max_budget=100 budget_duration=1mo`
    """
    show(post(url, master_key, "/organization/new", body_of(given, _ID)), as_json=as_json)


@app.command()
def info(
    organization_id: Name,
    url: Url = DEFAULT_URL,
    master_key: MasterKey = None,
    as_json: AsJson = False,
) -> None:
    """Show an organization, its members and its teams.

    Example: `tollgate organization info acme`
    """
    query = {_ID: id_of(organization_id, _ID)}
    show(get(url, master_key, "/organization/info", query), as_json=as_json)


@app.command()
def update(
    given: Words, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Change an organization; null clears a field.

    Example: `tollgate organization update acme rpm_limit=600`
    """
    answer = send("PATCH", url, master_key, "/organization/update", body_of(given, _ID))
    show(answer, as_json=as_json)


@app.command()
def delete(
    organization_ids: Names,
    url: Url = DEFAULT_URL,
    master_key: MasterKey = None,
    as_json: AsJson = False,
) -> None:
    """Delete organizations with their teams, keys and memberships.

    Example: `tollgate organization delete acme`
    """
    body = {"organization_ids": ids_of(organization_ids, _ID)}
    answer = send("DELETE", url, master_key, "/organization/delete", body)
    show(answer, as_json=as_json, columns=_COLUMNS)


@app.command("member-add")
def member_add(
    given: MemberWords,
    url: Url = DEFAULT_URL,
    master_key: MasterKey = None,
    as_json: AsJson = False,
) -> None:
    """Add a user; max_budget_in_organization=... is the budget within the organization.

    Example: `tollgate organization member-add acme ann max_budget_in_organization=10`
    """
    body = body_of(given, _ID, _USER_ID)
    body["member"] = {
        name: body.pop(name) for name in (_USER_ID, "user_email", "role") if name in body
    }
    show(post(url, master_key, "/organization/member_add", body), as_json=as_json)


@app.command("member-update")
def member_update(
    given: MemberWords,
    url: Url = DEFAULT_URL,
    master_key: MasterKey = None,
    as_json: AsJson = False,
) -> None:
    """Change a membership; null clears a field.

    Example: `tollgate organization member-update acme ann role=org_admin`
    """
    body = body_of(given, _ID, _USER_ID)
    show(
        send("PATCH", url, master_key, "/organization/member_update", body),
        as_json=as_json,
    )


@app.command("member-delete")
def member_delete(
    given: Member, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """End a membership.

    Example: `tollgate organization member-delete acme ann`
    """
    body = body_of(given, _ID, _USER_ID)
    show(send("DELETE", url, master_key, "/organization/member_delete", body), as_json=as_json)


@app.command("list")
def list_organizations(
    url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """List organizations, newest first.

    Example: `tollgate organization list`
    """
    show(get(url, master_key, "/organization/list"), as_json=as_json, columns=_COLUMNS)
