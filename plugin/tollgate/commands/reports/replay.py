"""tollgate replay"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from tollgate.commands.errors import fail
from tollgate.commands.gateway import Gateway, asks_gateway

_COLUMNS = ("scope", "id", "name", "calls", "refused", "refused_spend", "first_refused_at")


class Each(StrEnum):
    """What each would get the limit."""

    KEY = "key"
    USER = "user"
    TEAM = "team"
    MEMBER = "member"
    CUSTOMER = "customer"
    ORGANIZATION = "organization"
    PROXY = "proxy"


@asks_gateway
def replay(
    gateway: Gateway,
    limit: Annotated[str, typer.Option(help="the limit, as an entry of `limits` in JSON")],
    since: Annotated[str, typer.Option(help="how long ago, as 90m or 7d, or a time of UTC")] = "7d",
    until: Annotated[str | None, typer.Option(help="likewise")] = None,
    each: Annotated[Each, typer.Option(help="what each would get the limit")] = Each.KEY,
    key: Annotated[str | None, typer.Option(help="only this key: alias, secret or hash")] = None,
    user: Annotated[str | None, typer.Option(help="only this user")] = None,
    team: Annotated[str | None, typer.Option(help="only this team")] = None,
    customer: Annotated[str | None, typer.Option(help="only this customer")] = None,
) -> None:
    """Run settled calls against a limit that does not exist yet: how many it would have refused.

    Example: `tollgate replay --limit '{"meter": "usd", "amount": 5, "per": "1d"}' --since 7d`
    """
    whose = {"key": key, "user_id": user, "team_id": team, "customer_id": customer}
    when = {"since": since, "until": until}
    query: dict[str, Any] = {"limit": limit, "each": each.value, **whose, **when}
    answer = gateway.get("/spend/replay", query)
    if gateway.as_json:
        gateway.show(answer)
        return
    try:
        typer.echo(
            f"would have refused {answer['refused']:,} of {answer['calls']:,} calls"
            f" (${answer['refused_spend']:.2f})"
        )
        scopes = answer["scopes"]
    except (KeyError, TypeError, ValueError):
        fail(f"{gateway.url} answered with something else than a replay; is it Tollgate?")
    if scopes:
        gateway.show(scopes, _COLUMNS)
