"""tollgate team"""

from __future__ import annotations

from typing import Annotated

import typer

from tollgate.commands.gateway import DEFAULT_URL, AsJson, Fields, MasterKey, Url, get, parsed, post, show

app = typer.Typer(help="Teams, and their members.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="TEAM_ID")]
UserId = Annotated[str, typer.Argument(metavar="USER_ID")]
Names = Annotated[list[str], typer.Argument(metavar="TEAM_ID...")]
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
def new(fields: Fields = None, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False) -> None:
    """Make a team."""
    show(post(url, master_key, "/team/new", parsed(fields)), as_json=as_json)


@app.command()
def info(team_id: Name, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False) -> None:
    """A team, its members and its keys."""
    show(get(url, master_key, "/team/info", {"team_id": team_id}), as_json=as_json)


@app.command()
def update(
    team_id: Name, fields: Fields = None, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Change a team; null clears a field."""
    show(post(url, master_key, "/team/update", {**parsed(fields), "team_id": team_id}), as_json=as_json)


@app.command()
def delete(team_ids: Names, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False) -> None:
    """Delete teams with their keys and memberships."""
    show(post(url, master_key, "/team/delete", {"team_ids": team_ids}), as_json=as_json)


@app.command()
def block(team_id: Name, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False) -> None:
    """Stop a team, everywhere within a second."""
    show(post(url, master_key, "/team/block", {"team_id": team_id}), as_json=as_json)


@app.command()
def unblock(team_id: Name, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False) -> None:
    """Let a blocked team work again."""
    show(post(url, master_key, "/team/unblock", {"team_id": team_id}), as_json=as_json)


@app.command("member-add")
def member_add(
    team_id: Name,
    user_id: UserId,
    fields: Fields = None,
    role: Annotated[str, typer.Option(help="admin or user")] = "user",
    url: Url = DEFAULT_URL,
    master_key: MasterKey = None,
    as_json: AsJson = False,
) -> None:
    """Make a user a member; max_budget_in_team=... is their budget within the team."""
    body = {**parsed(fields), "team_id": team_id, "member": {"role": role, "user_id": user_id}}
    show(post(url, master_key, "/team/member_add", body), as_json=as_json)


@app.command("member-update")
def member_update(
    team_id: Name,
    user_id: UserId,
    fields: Fields = None,
    url: Url = DEFAULT_URL,
    master_key: MasterKey = None,
    as_json: AsJson = False,
) -> None:
    """Change a membership; null clears a field."""
    show(
        post(url, master_key, "/team/member_update", {**parsed(fields), "team_id": team_id, "user_id": user_id}),
        as_json=as_json,
    )


@app.command("member-delete")
def member_delete(
    team_id: Name, user_id: UserId, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """End a membership."""
    show(post(url, master_key, "/team/member_delete", {"team_id": team_id, "user_id": user_id}), as_json=as_json)


@app.command("list")
def list_teams(url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False) -> None:
    """Teams, newest first."""
    show(get(url, master_key, "/team/list"), as_json=as_json, columns=_COLUMNS)
