"""tollgate audit"""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

import typer

from tollgate.commands.gateway import Gateway, asks_gateway
from tollgate.commands.printing.tables import write_csv

_COLUMNS = ("time", "by", "action", "kind", "entity_id", "name", "before", "after")
_AT_ONCE = 1_000


class AuditedKind(StrEnum):
    """Kinds of entities whose changes are kept."""

    KEY = "key"
    USER = "user"
    TEAM = "team"
    MEMBER = "member"
    CUSTOMER = "customer"
    BUDGET = "budget"
    ORGANIZATION = "organization"
    ORGANIZATION_MEMBER = "organization_member"
    TAG = "tag"
    ADDED_MODEL = "added_model"


@asks_gateway
def audit(
    gateway: Gateway,
    kind: Annotated[AuditedKind | None, typer.Option(help="only entities of this kind")] = None,
    entity_id: Annotated[str | None, typer.Option("--id", help="only this entity")] = None,
    since: Annotated[
        str | None, typer.Option(help="how long ago, as 90m or 7d, or a day or time of UTC")
    ] = None,
    until: Annotated[str | None, typer.Option(help="likewise; a day is included")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="how many at most; default all that are kept")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="print comma-separated values")] = False,
) -> None:
    """List what was changed, latest first: who, when, and each field before and after.

    Example: `tollgate audit --kind key --limit 20`
    Example: `tollgate audit --since 2026-11-01 --until 2026-11-30 --csv > november.csv`
    """
    query = {"kind": kind, "entity_id": entity_id, "since": since, "until": until}
    rows = list(_changes(gateway, query, limit))
    if gateway.as_json:
        gateway.show(rows)
        return
    told = [{**row, "before": _text(row["before"]), "after": _text(row["after"])} for row in rows]
    if as_csv:
        write_csv(told, _COLUMNS)
    else:
        gateway.show(told, _COLUMNS)


def _changes(
    gateway: Gateway, query: dict[str, Any], limit: int | None
) -> Iterator[dict[str, Any]]:
    """Yield the changes that a query finds, part by part."""
    cursor: str | None = None
    rest = limit
    while rest is None or rest > 0:
        count = _AT_ONCE if rest is None else min(rest, _AT_ONCE)
        part = {**query, "limit": count, "cursor": cursor}
        rows, headers = gateway.page("/audit", part)
        yield from rows
        rest = None if rest is None else rest - len(rows)
        if (cursor := headers.get("x-tollgate-next-cursor")) is None:
            return


def _text(fields: dict[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False, sort_keys=True)
