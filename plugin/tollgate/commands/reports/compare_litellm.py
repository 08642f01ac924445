"""tollgate compare-litellm"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tollgate.commands.errors import fail, failing_clearly
from tollgate.commands.gateway import Gateway, asks_gateway

if TYPE_CHECKING:
    from tollgate.import_litellm.calls import KeyAndModel, Outcomes

_COLUMNS = (
    *("key", "model", "calls_there", "calls_here", "refused_there", "refused_here"),
    *("dollars_there", "dollars_here", "limits"),
)
_CURSOR = "x-tollgate-next-cursor"
_PAGE = 10_000


@asks_gateway
def compare_litellm(
    gateway: Gateway,
    litellm_url: Annotated[str, typer.Option(help="where the LiteLLM server is")],
    litellm_key: Annotated[
        str, typer.Option(envvar="LITELLM_MASTER_KEY", help="LiteLLM's master key")
    ],
    since: Annotated[
        str | None, typer.Option(help="a time of UTC as 2026-11-28T09:00; default midnight")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="also keys and models that both treated alike")
    ] = False,
) -> None:
    """Compare what LiteLLM did with calls and what a Tollgate beside it decides on copies of them:
    how many each refused, by key and model.

    Example: `tollgate compare-litellm --litellm-url http://litellm:4000 --litellm-key sk-1`
    """
    from tollgate.import_litellm.calls import read_outcomes
    from tollgate.import_litellm.source import connected

    start = _start_of(since)
    with failing_clearly(), connected(litellm_url, litellm_key) as server:
        there = read_outcomes(server, start)
    here, limits = _decided(gateway, start)
    aliases = {each["token"]: each["key_alias"] or each["key_name"] for each in _keys(gateway)}
    rows = [
        _row(name, there.get(name), here.get(name), limits.get(name, set()), aliases)
        for name in {*there, *here}
    ]
    rows.sort(key=lambda each: (each["key"], each["model"]))
    differing = [each for each in rows if each["refused_there"] != each["refused_here"]]
    shown = rows if everything else differing
    if shown or gateway.as_json:
        gateway.show(shown, _COLUMNS)
    if not gateway.as_json:
        typer.echo(f"{len(differing)} of {len(rows)} keys and models are refused differently")


def _start_of(since: str | None) -> datetime:
    if since is None:
        return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        start = datetime.fromisoformat(since)
    except ValueError:
        fail(f"--since {since} is no time such as 2026-11-28T09:00")
    return start if start.tzinfo is not None else start.replace(tzinfo=UTC)


def _decided(
    gateway: Gateway, start: datetime
) -> tuple[dict[KeyAndModel, Outcomes], dict[KeyAndModel, set[str]]]:
    """Return what Tollgate decided, and the limits that would have refused."""
    from tollgate.import_litellm.calls import Outcomes

    found: dict[KeyAndModel, Outcomes] = {}
    limits: dict[KeyAndModel, set[str]] = {}
    for status in (None, "refused"):
        for row in _logs(gateway, start, status):
            name = row["api_key"], row["model"]
            outcomes = found.setdefault(name, Outcomes())
            outcomes.calls += 1
            outcomes.dollars += row["spend"]
            if row["shadow"] or status == "refused":
                outcomes.refused += 1
                limits.setdefault(name, set()).add(row["shadow"] or str(row["status"]))
    return found, limits


def _logs(gateway: Gateway, start: datetime, status: str | None) -> list[dict[str, Any]]:
    """Return the records since a time: settled calls, or refused ones."""
    query: dict[str, Any] = {
        "summarize": "false",
        "limit": _PAGE,
        "status": status,
        "start_date": start.date().isoformat(),
    }
    found: list[dict[str, Any]] = []
    while True:
        rows, headers = gateway.page("/spend/logs", query)
        found += [each for each in rows if datetime.fromisoformat(each["startTime"]) >= start]
        if not (cursor := headers.get(_CURSOR)):
            return found
        query["cursor"] = cursor


def _keys(gateway: Gateway) -> list[dict[str, Any]]:
    """Return all keys."""
    found: list[dict[str, Any]] = []
    page = 1
    while True:
        query = {"page": page, "size": 1000, "return_full_object": "true"}
        answer = gateway.get("/key/list", query)
        found += answer["keys"]
        if page >= answer["total_pages"]:
            return found
        page += 1


def _row(
    name: KeyAndModel,
    there: Outcomes | None,
    here: Outcomes | None,
    limits: set[str],
    aliases: dict[str, str],
) -> dict[str, Any]:
    key, model = name
    return {
        "key": aliases.get(key, key),
        "model": model,
        "calls_there": there.calls if there else 0,
        "calls_here": here.calls if here else 0,
        "refused_there": there.refused if there else 0,
        "refused_here": here.refused if here else 0,
        "dollars_there": round(there.dollars, 6) if there else 0,
        "dollars_here": round(here.dollars, 6) if here else 0,
        "limits": ", ".join(sorted(limits)),
    }
