"""*Now*: today against yesterday, what will be empty first, and whether all is well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from markupsafe import escape
from prometheus_client.parser import text_string_to_metric_families

from tollgate.adapters.http_api.console.charts import Column, Piece, stacked
from tollgate.adapters.http_api.console.page_rendering import (
    HEADERS,
    dollars,
    page,
    query,
    rendered,
)
from tollgate.adapters.http_api.console.visitors import Administrating, Visitor
from tollgate.adapters.http_api.routes.health import Watched
from tollgate.adapters.http_api.routes.lookups.refusals import Refused
from tollgate.adapters.http_api.routes.reports import Summing
from tollgate.core.calls.usage import Certainty
from tollgate.core.errors import HistoryUnavailable, StoreUnavailable
from tollgate.ports.history_ports import HOUR_US
from tollgate.reporting.measuring.fullest_limits import FullLimit
from tollgate.reporting.refused import Refusals
from tollgate.reporting.usage_sums import Glance, UsageSums

_SHOWN_LIMITS = 10
_NEAR_SHARE = 0.8
_LOOK_EVERY_S = 2
_MOST_LOOKS = 12
"""Envoy cuts answers of the management server after 30 seconds."""
_COUNTED = {
    "tollgate_requests_admitted_total": "admitted",
    "tollgate_requests_settled_total": "settled",
    "tollgate_replies_unseen_total": "unseen",
    "tollgate_store_errors_total": "store_errors",
}

router = APIRouter(prefix="/now")


@router.get("")
async def now(
    request: Request,
    visitor: Administrating,
    usage_sums: Summing,
    refused: Refused,
) -> Response:
    """Show how things stand."""
    values = await _values(request.app.state.watched, visitor, usage_sums, refused)
    return page(request, "now.html", values)


@router.get("/events")
async def events(
    request: Request,
    visitor: Administrating,
    usage_sums: Summing,
    refused: Refused,
) -> Response:
    """Send the page's figures whenever they change, as server-sent events.

    The browser asks again when the stream ends: before Envoy would cut it, or with this process.
    """
    watched, told_to_stop = request.app.state.watched, request.app.state.told_to_stop

    async def lines() -> AsyncIterator[str]:
        sent = ""
        for _ in range(_MOST_LOOKS):
            try:
                values = await _values(watched, visitor, usage_sums, refused)
            except (StoreUnavailable, HistoryUnavailable) as error:
                values = {}
                shown = str(escape(f"The figures cannot be read: {error}"))
                shown = f'<p class="fault" role="alert">{shown}</p>'
            if values:
                shown = rendered(request, "now_live.html", values)
            if shown != sent:
                yield "".join(f"data: {line}\n" for line in shown.splitlines()) + "\n"
                sent = shown
            with suppress(TimeoutError):
                await asyncio.wait_for(told_to_stop.wait(), _LOOK_EVERY_S)
            if told_to_stop.is_set():
                return

    return StreamingResponse(lines(), headers=HEADERS, media_type="text/event-stream")


async def _values(
    watched: Watched,
    visitor: Visitor,
    usage_sums: UsageSums,
    refused: Refusals,
) -> dict[str, Any]:
    glance = await usage_sums.glance()
    nearest = watched.nearest_limits()
    return {
        "visitor": visitor,
        "glance": glance,
        "refused_days": await refused.days(),
        "hours": (hours := _hours(glance)),
        "chart": stacked(hours),
        "hourly": lambda value: dollars(int(value)),
        "nearest": nearest if nearest is None else _shown(nearest),
        "faults": await _faults(watched),
        **_counted(watched),
    }


def _shown(nearest: list[FullLimit]) -> list[FullLimit]:
    """Return the limits that will be used up, and behind them those that are near their edge."""
    return [each for each in nearest if each.empty_s is not None or each.share >= _NEAR_SHARE][
        :_SHOWN_LIMITS
    ]


def _hours(glance: Glance) -> list[Column]:
    """Return a column for each hour since yesterday began."""
    first_hour = glance.begin_us // HOUR_US
    columns = []
    for number, nanousd in enumerate(glance.hours):
        hour = (first_hour + number) % 24
        begin = datetime.fromtimestamp((first_hour + number) * 3600, UTC)
        during = {"start_date": f"{begin:%Y-%m-%dT%H:00}", "end_date": f"{begin:%Y-%m-%dT%H:59:59}"}
        told = f"{hour:02}:00 {dollars(nanousd)}"
        columns.append(
            Column(f"{hour:02}:00", (Piece(nanousd, told, f"/ui/requests{query(**during)}"),))
        )
    return columns


async def _faults(watched: Watched) -> list[str]:
    """Return what keeps requests from being served, in sentences."""
    found = []
    try:
        await watched.write_to_store()
    except StoreUnavailable as error:
        found.append(f"The store takes no writes: {error}")
    if (why := watched.why_nobody_decides()) is not None:
        found.append(f"No worker decides: {why}")
    return found


def _counted(watched: Watched) -> Mapping[str, object]:
    """Return what the metrics count since the gateway was started."""
    found = dict.fromkeys(_COUNTED.values(), 0.0)
    refused: dict[str, float] = {}
    unused, exact, lag_seconds = 0.0, 0.0, None
    for family in text_string_to_metric_families(watched.metrics().decode()):
        for each in family.samples:
            if each.name in _COUNTED:
                found[_COUNTED[each.name]] += each.value
            if each.name == "tollgate_requests_refused_total":
                reason = each.labels["reason"]
                refused[reason] = refused.get(reason, 0.0) + each.value
            elif each.name == "tollgate_requests_settled_total":
                certainty = each.labels["certainty"]
                exact += each.value if certainty == Certainty.EXACT else 0
                unused += each.value if certainty == Certainty.NONE else 0
            elif each.name == "tollgate_history_lag_seconds":
                lag_seconds = each.value
    most_first = sorted(refused.items(), key=lambda item: -item[1])
    used = found["settled"] - unused
    return {
        **found,
        "used": used,
        "exact": exact,
        "refused": most_first,
        "lag_seconds": lag_seconds,
    }
