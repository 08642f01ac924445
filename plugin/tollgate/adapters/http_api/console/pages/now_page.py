"""*Now*: today against yesterday, what will be empty first, and whether all is well."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from prometheus_client.parser import text_string_to_metric_families

from tollgate.adapters.http_api.console.charts import Column, stacked
from tollgate.adapters.http_api.console.page_rendering import dollars, page
from tollgate.adapters.http_api.console.visitors import Administrating
from tollgate.adapters.http_api.dependencies import Managed
from tollgate.adapters.http_api.routes.health import Watched
from tollgate.adapters.http_api.routes.lookups.own_usage import Levelled
from tollgate.adapters.http_api.routes.reports import Summing
from tollgate.core.errors import StoreUnavailable
from tollgate.ports.history_ports import HOUR_US
from tollgate.reporting.usage_sums import Glance

_SHOWN_LIMITS = 10

router = APIRouter(prefix="/now")


@router.get("")
async def now(
    request: Request,
    visitor: Administrating,
    management: Managed,
    usage_sums: Summing,
    levels: Levelled,
) -> Response:
    """Show how things stand."""
    watched: Watched = request.app.state.watched
    glance = await usage_sums.glance()
    emptying = await levels.emptying(glance.last_hour, _SHOWN_LIMITS)
    values = {
        "visitor": visitor,
        "glance": glance,
        "chart": stacked(_hours(glance)),
        "hourly": lambda value: dollars(int(value)),
        "emptying": emptying,
        "key_names": await management.keys.names([each.level.scope.id for each in emptying]),
        "faults": await _faults(watched),
        **_counted(watched),
    }
    return page(request, "now.html", values)


def _hours(glance: Glance) -> list[Column]:
    """Return a column for each hour since yesterday began."""
    first_hour = glance.begin_us // HOUR_US
    columns = []
    for number, nanousd in enumerate(glance.hours):
        hour = (first_hour + number) % 24
        columns.append(Column(f"{hour:02}:00", ((nanousd, f"{hour:02}:00 {dollars(nanousd)}"),)))
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
    admitted, refused, errors = 0.0, dict[str, float](), 0.0
    for family in text_string_to_metric_families(watched.metrics().decode()):
        for each in family.samples:
            if each.name == "tollgate_requests_admitted_total":
                admitted += each.value
            elif each.name == "tollgate_requests_refused_total":
                reason = each.labels["reason"]
                refused[reason] = refused.get(reason, 0.0) + each.value
            elif each.name == "tollgate_store_errors_total":
                errors += each.value
    most_first = sorted(refused.items(), key=lambda item: -item[1])
    return {"admitted": admitted, "refused": most_first, "store_errors": errors}
