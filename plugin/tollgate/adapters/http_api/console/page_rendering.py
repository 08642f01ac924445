"""Templates, how values are printed, and the headers that every page carries."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from itertools import count as count_from
from typing import Any
from urllib.parse import urlencode

import msgspec
from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from tollgate.adapters.http_api.console.limit_rows import METERS, MODES, limit_rows, raisable
from tollgate.core.calls.passed_limits import LimitPassed
from tollgate.core.limits.accounts import Meter
from tollgate.core.limits.limit import METERS as METER_ROWS
from tollgate.core.limits.limit import described
from tollgate.core.money.dollars import NANO
from tollgate.reporting.levels import Level
from tollgate.reporting.measuring.fullest_limits import FullLimit

HEADERS = {
    # Scripts, styles and pictures are our own files; no page may be framed or post elsewhere.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not `no-referrer`: browsers would then send `origin: null` with our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
_THOUSAND, _MILLION = 1_000, 1_000_000


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the templates, compiled when they are first asked for."""
    made = Environment(
        loader=PackageLoader("tollgate.adapters.http_api.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        dollars=dollars, exact_dollars=exact_dollars, moment=moment, span=span, count=count
    )
    made.filters.update(limit_words=limit_words, limit_used=limit_used, json=as_json)
    made.filters.update(grouped=grouped)
    made.filters.update(precise_dollars=precise_dollars, share=share, noun=noun, plain=plain)
    numbers = count_from(1)
    made.globals.update(limit_rows=limit_rows, meters=METERS, modes=MODES, raisable=raisable)
    made.globals.update(query=query, unique=lambda: f"field-{next(numbers)}")
    return made


def page(
    request: Request, template: str, values: Mapping[str, Any], status: int = 200
) -> HTMLResponse:
    """Render a page."""
    return HTMLResponse(rendered(request, template, values), status, HEADERS)


def rendered(request: Request, template: str, values: Mapping[str, Any]) -> str:
    """Render a page, or a part of one."""
    return environment().get_template(template).render({"request": request, **values})


def dollars(nanousd: int | None) -> str:
    """Print an amount for people: cents, or two digits that count where it is less."""
    if nanousd is None:
        return "-"
    amount = Decimal(nanousd) / NANO
    sign, amount = "-" if amount < 0 else "", abs(amount)
    if amount >= Decimal("0.995") or amount == 0:
        return f"{sign}${amount.quantize(Decimal('0.01'), ROUND_HALF_UP):,}"
    digits = max(2, 1 - amount.adjusted())
    return f"{sign}${amount.quantize(Decimal(1).scaleb(-min(digits, 9)), ROUND_HALF_UP):f}"


def exact_dollars(nanousd: int | None) -> str:
    """Print an amount to the nano-dollar."""
    if nanousd is None:
        return "-"
    return f"${Decimal(nanousd) / NANO:,.9f}"


def precise_dollars(nanousd: int) -> str:
    """Print an amount to the nano-dollar, without zeros at its end beyond cents."""
    whole, _, digits = f"{Decimal(nanousd) / NANO:,.9f}".partition(".")
    return f"${whole}.{digits.rstrip('0'):0<2}"


def share(limit: LimitPassed, amount: int) -> str:
    """Print an amount as its share of a limit, in whole percents: finer ones tell the limit."""
    return f"{100 * amount / limit.amount:.0f} %" if limit.amount else "-"


def moment(instant_us: int | None) -> str:
    """Print a time of UTC, to the second."""
    if instant_us is None:
        return "-"
    return f"{datetime.fromtimestamp(instant_us // 1_000_000, UTC):%Y-%m-%d %H:%M:%S}"


def span(seconds: float) -> str:
    """Print how long something takes, in its two largest units at most."""
    whole = int(seconds)
    if whole < _MINUTE_S:
        return f"{max(0, whole)} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S} min"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S} h"


def count(number: float) -> str:
    """Print a number for people: 950, 12,300, 4.2 M."""
    if abs(number) >= _THOUSAND * _MILLION:
        return f"{number / _MILLION:,.0f} M"
    if abs(number) >= 10 * _MILLION:
        return f"{number / _MILLION:,.1f} M"
    return f"{number:,.0f}"


def limit_words(level: Level) -> str:
    """Return what a limit is of: `requests per min (RPM)`."""
    return described(level.quota)


def limit_used(level: Level | FullLimit) -> str:
    """Return how much of a limit is used: `$1.20 of $5.00`."""
    meter = level.meter if isinstance(level, FullLimit) else level.quota.meter
    printed = dollars if meter == Meter.USD else count
    return f"{printed(level.used)} of {printed(level.amount)}"


def noun(meter: str) -> str:
    """Return what a meter counts, as messages call it."""
    return METER_ROWS[Meter(meter)].noun


def plain(value: object) -> str:
    """Print the value of a field: a whole number without decimals, none with an exponent."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{Decimal(repr(value)).normalize():f}"
    return str(value)


def as_json(value: Any) -> str:
    """Return a value as JSON."""
    return msgspec.json.encode(value).decode()


def grouped(number: str | float) -> str:
    """Print a number with all its digits, thousands apart."""
    return f"{Decimal(number):,f}"


def query(**values: object) -> str:
    """Return the query of a link, without what says nothing; of a list each value."""
    given = {name: value for name, value in values.items() if value not in (None, "", [])}
    if not given:
        return ""
    return f"?{urlencode(given, doseq=True)}"
