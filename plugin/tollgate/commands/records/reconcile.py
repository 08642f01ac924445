"""tollgate reconcile"""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from tollgate.commands.errors import fail, failing_clearly
from tollgate.commands.gateway import Gateway, asks_gateway, unreachable

_COLUMNS = ("day", "model", "charged", "billed", "capture_rate")
_SECONDS_A_DAY = 86_400
_MOST_DAYS_A_PAGE = 180


class Biller(StrEnum):
    """Providers whose bills are read."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    BEDROCK = "bedrock"
    VERTEX = "vertex"


@asks_gateway
def reconcile(
    gateway: Gateway,
    provider: Annotated[Biller, typer.Option(help="whose bill it is")],
    since: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="a UTC day, inclusive")],
    until: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="a UTC day, inclusive")],
    costs: Annotated[
        Path | None, typer.Option(help="the provider's costs: CSV, or OpenAI's JSON")
    ] = None,
    admin_key: Annotated[
        str | None,
        typer.Option(
            envvar="OPENAI_ADMIN_KEY", help="asks OpenAI for its costs, instead of a file"
        ),
    ] = None,
    api_base: Annotated[
        str, typer.Option(help="where OpenAI's API is")
    ] = "https://api.openai.com/v1",
    least: Annotated[
        float | None, typer.Option(help="exit with 1 if a smaller share was captured, such as 0.9")
    ] = None,
    metrics: Annotated[
        Path | None,
        typer.Option(help="also write the rate as a file for Prometheus's textfile collector"),
    ] = None,
) -> None:
    """Compare what was charged with a provider's own bill, by day and model.

    The capture rate is charged over billed: 1 means that every billed dollar was charged.

    Example: `tollgate reconcile --provider openai --since 2026-11-01 --until 2026-11-30`
    """
    from tollgate.reporting import reconciling

    with failing_clearly():
        if costs is not None:
            billed = reconciling.read_bill(provider.value, _content(costs))
        elif provider is Biller.OPENAI and admin_key is not None:
            pages = _ask_openai(api_base, admin_key, since, until)
            billed = reconciling.read_openai(pages)
        else:
            fail("no bill: name its file in --costs, or for OpenAI give --admin-key")
        query = {"format": "csv", "start_date": since, "end_date": until}
        exported = gateway.download("/spend/export", query).decode()
        charged = [
            reconciling.ChargedCost(row["day"], row["provider_model"], int(row["nanousd"]))
            for row in csv.DictReader(io.StringIO(exported))
            if row["provider"].startswith(provider.value)
        ]
        within = [each for each in billed if since <= each.day <= until]
        rows = reconciling.reconcile(charged, within)
        whole = reconciling.total(rows)
    printed = [_printed(each) for each in (*rows, whole)]
    gateway.show(printed, _COLUMNS)
    if metrics is not None:
        _write_metrics(metrics, provider, whole)
    if least is not None and (whole.capture_rate or 0.0) < least:
        fail(f"the capture rate is below {least:g}")


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        fail(f"{file}: {error.strerror}")


def _printed(row: Any) -> dict[str, Any]:
    rate = row.capture_rate
    return {
        "day": row.day,
        "model": row.model or ("all" if row.day == "total" else "(unmatched)"),
        "charged": f"{row.charged_nanousd / 1e9:.6f}",
        "billed": f"{row.billed_nanousd / 1e9:.6f}",
        "capture_rate": None if rate is None else round(rate, 4),
    }


def _ask_openai(api_base: str, admin_key: str, since: str, until: str) -> list[Any]:
    """Return the pages of OpenAI's organization costs by line item."""
    import httpx

    begin, end = (
        int(datetime.fromisoformat(each).replace(tzinfo=UTC).timestamp()) for each in (since, until)
    )
    query: dict[str, Any] = {
        "start_time": begin,
        "end_time": end + _SECONDS_A_DAY,
        "bucket_width": "1d",
        "group_by": ["line_item"],
        "limit": _MOST_DAYS_A_PAGE,
    }
    pages: list[Any] = []
    try:
        while True:
            answer = httpx.get(
                f"{api_base.rstrip('/')}/organization/costs",
                params=query,
                headers={"authorization": f"Bearer {admin_key}"},
                timeout=60,
            )
            if not answer.is_success:
                fail(f"OpenAI refuses to tell its costs ({answer.status_code})")
            pages.append(answer.json())
            if not pages[-1].get("has_more"):
                return pages
            query["page"] = pages[-1]["next_page"]
    except unreachable() as error:
        fail(f"cannot ask OpenAI for its costs: {error}")


def _write_metrics(file: Path, provider: Biller, whole: Any) -> None:
    label = f'{{provider="{provider.value}"}}'
    lines = [
        "# HELP tollgate_capture_rate Charged over billed dollars of a provider",
        "# TYPE tollgate_capture_rate gauge",
    ]
    if whole.capture_rate is not None:
        lines.append(f"tollgate_capture_rate{label} {whole.capture_rate}")
    # The collector must not read half a file.
    unfinished = file.with_name(f"{file.name}.part")
    unfinished.write_text("\n".join(lines) + "\n", encoding="utf-8")
    unfinished.replace(file)
