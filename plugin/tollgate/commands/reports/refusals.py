"""tollgate refusals"""

from __future__ import annotations

from typing import Annotated

import typer

from tollgate.commands.gateway import Gateway, asks_gateway

_COLUMNS = (
    "time",
    "request_id",
    "key_name",
    "user_id",
    "team_id",
    "customer_id",
    "model",
    "status",
    "reason",
    "times",
    "arithmetic",
    "until",
)


@asks_gateway
def refusals(
    gateway: Gateway,
    key: Annotated[str | None, typer.Option(help="only this key: alias, secret or hash")] = None,
    user: Annotated[str | None, typer.Option(help="only this user")] = None,
    team: Annotated[str | None, typer.Option(help="only this team")] = None,
    customer: Annotated[str | None, typer.Option(help="only this customer")] = None,
    model: Annotated[str | None, typer.Option(help="only this model")] = None,
    since: Annotated[
        str | None, typer.Option(help="how long ago, as 90m or 7d, or a day or time of UTC")
    ] = None,
    until: Annotated[str | None, typer.Option(help="likewise; a day is included")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="how many at most")] = 100,
    cursor: Annotated[
        str | None, typer.Option(help="cursor printed at the end of the previous part")
    ] = None,
) -> None:
    """List refused requests, latest first: who, by which limit, and until when.

    Example: `tollgate refusals --key laptop --since 7d`
    """
    whose = {"key": key, "user_id": user, "team_id": team, "customer_id": customer}
    when = {"since": since, "until": until, "limit": limit, "cursor": cursor}
    answer, headers = gateway.page("/refusals", {**whose, "model": model, **when})
    if gateway.as_json:
        gateway.show(answer)
    else:
        rows = [
            {**row, "arithmetic": limit["arithmetic"], "until": limit["until"]}
            if (limit := row["limit"])
            else row
            for row in answer
        ]
        gateway.show(rows, _COLUMNS)
    if following := headers.get("x-tollgate-next-cursor"):
        typer.echo(f"more refusals follow: continue with --cursor {following}", err=True)
