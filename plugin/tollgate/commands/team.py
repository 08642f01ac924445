"""tollgate team"""

from __future__ import annotations

from typing import Annotated

import typer

from tollgate.commands.gateway import DEFAULT_URL, AsJson, MasterKey, Url, get, post
from tollgate.commands.printing.tables import show
from tollgate.commands.printing.words import body_of, id_of, ids_of, words

app = typer.Typer(help="Teams, and their members.", no_args_is_help=True)

_ID, _USER_ID = "team_id", "user_id"
NewWords = Annotated[list[str] | None, words("[TEAM_ID]")]
Words = Annotated[list[str], words("TEAM_ID")]
MemberWords = Annotated[list[str], words("TEAM_ID", "USER_ID")]
Member = Annotated[list[str], words("TEAM_ID", "USER_ID", fields=False)]
Name = Annotated[str, words("TEAM_ID", fields=False)]
Names = Annotated[list[str], words("TEAM_ID...", fields=False)]
_COLUMNS = (
    "team_id",
    "team_alias",
    "models",
    "spend",
    "max_budget",
    "budget_duration",
    "rpm_limit",
    "tpm_limit",
    "blocked",
)


@app.command()
def new(
    given: NewWords = None,
    url: Url = DEFAULT_URL,
    master_key: MasterKey = None,
    as_json: AsJson = False,
) -> None:
    """Create a team.

    Example: `tollgate team new search max_budget=100 budget_duration=1mo`
    """
    show(post(url, master_key, "/team/new", body_of(given, _ID)), as_json=as_json)


@app.command()
def info(
    team_id: Name, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Show a team, its members and its keys.

    Example: `tollgate team info search`
    """
    show(get(url, master_key, "/team/info", {"team_id": id_of(team_id, _ID)}), as_json=as_json)


@app.command()
def update(
    given: Words, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Change a team; null clears a field.

    Example: `tollgate team update search rpm_limit=600`
    """
    show(post(url, master_key, "/team/update", body_of(given, _ID)), as_json=as_json)


@app.command()
def delete(
    team_ids: Names, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Delete teams with their keys and memberships.

    Example: `tollgate team delete search`
    """
    show(
        post(url, master_key, "/team/delete", {"team_ids": ids_of(team_ids, _ID)}), as_json=as_json
    )


@app.command()
def block(
    team_id: Name, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Block a team; takes effect everywhere within a second.

    Example: `tollgate team block search`
    """
    show(post(url, master_key, "/team/block", {"team_id": id_of(team_id, _ID)}), as_json=as_json)


@app.command()
def unblock(
    team_id: Name, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Unblock a team.

    Example: `tollgate team unblock search`
    """
    show(post(url, master_key, "/team/unblock", {"team_id": id_of(team_id, _ID)}), as_json=as_json)


@app.command("member-add")
def member_add(
    given: MemberWords,
    role: Annotated[str, typer.Option(help="admin or user")] = "user",
    url: Url = DEFAULT_URL,
    master_key: MasterKey = None,
    as_json: AsJson = False,
) -> None:
    """Add a user to a team; max_budget_in_team=... is the budget within the team.

    Example: `tollgate team member-add search bob max_budget_in_team=10`
    """
    body = body_of(given, _ID, _USER_ID)
    named = {name: body.pop(name) for name in (_USER_ID, "user_email") if name in body}
    body["member"] = {"role": body.pop("role", role), **named}
    show(post(url, master_key, "/team/member_add", body), as_json=as_json)


@app.command("member-update")
def member_update(
    given: MemberWords,
    url: Url = DEFAULT_URL,
    master_key: MasterKey = None,
    as_json: AsJson = False,
) -> None:
    """Change a membership; null clears a field.

    Example: `tollgate team member-update search bob max_budget_in_team=20`
    """
    show(
        post(url, master_key, "/team/member_update", body_of(given, _ID, _USER_ID)), as_json=as_json
    )


@app.command("member-delete")
def member_delete(
    given: Member, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """End a membership.

    Example: `tollgate team member-delete search bob`
    """
    show(
        post(url, master_key, "/team/member_delete", body_of(given, _ID, _USER_ID)), as_json=as_json
    )


@app.command("list")
def list_teams(
    url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """List teams, newest first.

    Example: `tollgate team list`
    """
    show(get(url, master_key, "/team/list"), as_json=as_json, columns=_COLUMNS)
