"""Why a request did not fit into a limit, as a line of arithmetic."""

from __future__ import annotations

from decimal import Decimal

from tollgate.core.calls.refusal_records import LimitHit
from tollgate.core.limits.accounts import Meter
from tollgate.core.limits.limit import METERS
from tollgate.core.money.dollars import NANO


def why_it_did_not_fit(hit: LimitHit) -> str:
    """Return the sum that crossed the limit: `used 4 + asked 2 = 6 > 5 requests per 1m`.

    Rates count what the request asks for. Everything else refuses once what is used and held has
    reached the amount.
    """
    meter = Meter(hit.meter)
    per = f" per {hit.window}" if hit.window else ""
    of = f"{_printed(meter, hit.amount)}{_noun(meter)}{per}"
    if hit.share:
        of = f"{_printed(meter, hit.amount)}{_noun(meter)} at once, {hit.share}"
    terms = [f"used {_printed(meter, hit.used)}"]
    total = hit.used
    if hit.held:
        terms.append(f"held by calls in flight {_printed(meter, hit.held)}")
        total += hit.held
    if total >= hit.amount:
        sign = "=" if total == hit.amount else ">"
        return f"{_sum(terms, meter, total)} {sign} {of}: nothing is left"
    terms.append(f"asked {_printed(meter, hit.asked)}")
    return f"{_sum(terms, meter, total + hit.asked)} > {of}"


def _sum(terms: list[str], meter: Meter, total: int) -> str:
    if len(terms) == 1:
        return terms[0]
    return f"{' + '.join(terms)} = {_printed(meter, total)}"


def _noun(meter: Meter) -> str:
    return "" if meter is Meter.USD else f" {METERS[meter].noun}"


def _printed(meter: Meter, amount: int) -> str:
    if meter is not Meter.USD:
        return f"{amount:,}"
    whole, _, digits = f"{Decimal(amount) / NANO:,.9f}".partition(".")
    return f"${whole}.{digits.rstrip('0'):0<2}"
