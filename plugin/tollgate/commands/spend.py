"""tollgate spend"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tollgate.commands.gateway import DEFAULT_URL, Gateway, MasterKey, Url, asks_gateway
from tollgate.commands.printing.tables import write_csv
from tollgate.commands.reports.explain import explain

app = typer.Typer(help="What was spent.", no_args_is_help=True)
app.command(
    help="The same as `tollgate explain`.\n\n"
    "Example: `tollgate spend explain 019ac3f0a1b2c3d4e5f6a7b8c9d0`"
)(explain)

Day = Annotated[str | None, typer.Option(metavar="YYYY-MM-DD", help="a UTC day, inclusive")]
_KEYS = (
    "token",
    "key_name",
    "key_alias",
    "user_id",
    "team_id",
    "spend",
    "total_spend",
    "max_budget",
)
_USERS = ("user_id", "user_email", "spend", "total_spend", "max_budget")
_LOGS = (
    "startTime",
    "request_id",
    "model",
    "status",
    "prompt_tokens",
    "completion_tokens",
    "spend",
    "user",
    "end_user",
)
_SUMS = (
    "group",
    "requests",
    "failures",
    "prompt_tokens",
    "completion_tokens",
    "spend",
    "nanousd",
)
_DAYS = ("startTime", "spend", "models", "users")


class GroupedBy(StrEnum):
    """What the history sums up by."""

    KEY = "key"
    TEAM = "team"
    USER = "user"
    CUSTOMER = "customer"
    MEMBER = "member"
    ORGANIZATION = "organization"
    MODEL = "model"
    TAG = "tag"
    DAY = "day"


@app.command()
@asks_gateway
def total(gateway: Gateway) -> None:
    """Show what the whole proxy has spent in its current period.

    Example: `tollgate spend total`
    """
    gateway.show(gateway.get("/global/spend"))


@app.command()
@asks_gateway
def keys(gateway: Gateway) -> None:
    """List keys by spend, highest first.

    Example: `tollgate spend keys`
    """
    gateway.show(gateway.get("/spend/keys"), _KEYS)


@app.command()
@asks_gateway
def users(gateway: Gateway) -> None:
    """List users by spend, highest first.

    Example: `tollgate spend users`
    """
    gateway.show(gateway.get("/spend/users"), _USERS)


@app.command()
@asks_gateway
def logs(
    gateway: Gateway,
    key: Annotated[str | None, typer.Option(help="only this key, or hash")] = None,
    user_id: Annotated[str | None, typer.Option(help="only this user")] = None,
    team_id: Annotated[str | None, typer.Option(help="only this team")] = None,
    end_user: Annotated[str | None, typer.Option(help="only this customer")] = None,
    model: Annotated[str | None, typer.Option(help="only this model")] = None,
    request_id: Annotated[str | None, typer.Option(help="only this request")] = None,
    status: Annotated[
        str | None, typer.Option(help="success, failure, or a status such as 429")
    ] = None,
    start: Day = None,
    end: Day = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="how many at most")] = 1_000,
    cursor: Annotated[
        str | None, typer.Option(help="cursor printed at the end of the previous part")
    ] = None,
) -> None:
    """List settled requests, latest first.

    Example: `tollgate spend logs --team-id search --start 2026-11-01`
    """
    filters = {
        "api_key": key,
        "user_id": user_id,
        "team_id": team_id,
        "end_user": end_user,
        "model": model,
    }
    when = {"request_id": request_id, "status": status, "start_date": start, "end_date": end}
    query = {**filters, **when, "limit": limit, "cursor": cursor, "summarize": False}
    answer, headers = gateway.page("/spend/logs", query)
    gateway.show(answer, _LOGS)
    if following := headers.get("x-tollgate-next-cursor"):
        typer.echo(f"more records follow: continue with --cursor {following}", err=True)


@app.command()
@asks_gateway
def days(
    gateway: Gateway,
    start: Annotated[str, typer.Argument(metavar="FIRST", help="a UTC day, YYYY-MM-DD")],
    end: Annotated[str, typer.Argument(metavar="LAST", help="a UTC day, inclusive")],
) -> None:
    """Show sums by day, newest first.

    Example: `tollgate spend days 2026-11-01 2026-11-07`
    """
    gateway.show(
        gateway.get("/spend/logs", {"start_date": start, "end_date": end}),
        _DAYS,
    )


@app.command()
@asks_gateway
def by(
    gateway: Gateway,
    group: Annotated[GroupedBy, typer.Argument(help="what to sum up by")],
    since: Day = None,
    until: Day = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="print comma-separated values")] = False,
) -> None:
    """What was spent by key, team, user, customer, member, organization, model, tag or day.

    Example: `tollgate spend by team --since 2026-11-01 --csv`
    """
    query = {"group_by": group.value, "start_date": since, "end_date": until}
    sums = gateway.get("/spend/sums", query)
    if as_csv:
        write_csv(sums, _SUMS)
    else:
        gateway.show(sums, _SUMS)


class ExportForm(StrEnum):
    """Forms of an export."""

    CSV = "csv"
    PARQUET = "parquet"
    FOCUS = "focus"


@app.command()
def export(
    form: Annotated[
        ExportForm, typer.Option("--format", help="CSV, Parquet, or FOCUS 1.2 as CSV")
    ] = ExportForm.CSV,
    since: Day = None,
    until: Day = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="the file to write; default standard output"),
    ] = None,
    url: Url = DEFAULT_URL,
    master_key: MasterKey = None,
) -> None:
    """Write what was used a day by key, team, user, model and deployment; in FOCUS by kind of
    token, too.

    Example: `tollgate spend export --format focus --since 2026-11-01 -o november.csv`
    """
    query = {"format": form.value, "start_date": since, "end_date": until}
    content = Gateway(url, master_key).download("/spend/export", query)
    if output is None:
        typer.echo(content, nl=False)
    else:
        output.write_bytes(content)
