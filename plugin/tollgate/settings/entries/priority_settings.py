"""LiteLLM's reservation of a model's rates by priority, as shares of its deployments' limits.

https://docs.litellm.ai/docs/proxy/dynamic_rate_limit describes the fields.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from tollgate.core.entities import LimitSet
from tollgate.core.limits.limit import KINDS
from tollgate.core.limits.shares import EVERYBODY_ELSE, MOST_SHARES, Shares
from tollgate.core.models.deployment import Deployment
from tollgate.settings.entries.creation_settings import PageSection
from tollgate.settings.entries.upstream_limits import divided

_RATES: Mapping[str, str] = {"rpm": "rpm_limit", "tpm": "tpm_limit"}
_WHOLE = 1000

Part = Annotated[float, Field(ge=0)]
Limits = Mapping[str, tuple[str, LimitSet]]
"""The limits of deployments by id, each with the id under which they are counted."""


class ReservedAmount(BaseModel):
    """A share as a part of 1, or as requests or tokens a minute of a model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["percent", "rpm", "tpm"]
    value: Part


PriorityReservation = Annotated[
    dict[str, Part | ReservedAmount], Field(max_length=MOST_SHARES - 1, default_factory=dict)
]
"""Shares by priority. One place is left for all who have none."""


class PrioritySettings(PageSection):
    """The served part of `priority_reservation_settings`. `default_priority`: the share of all
    together who have no priority.
    """

    default_priority: float = Field(0.5, ge=0, le=1)
    saturation_threshold: float = Field(0.5, ge=0, lt=1)


def prioritised(
    reservation: Mapping[str, float | ReservedAmount],
    settings: PrioritySettings,
    deployments: Iterable[Deployment],
    limits: Limits,
) -> Limits:
    """Return the limits of deployments, of which the rates are divided by priority.

    Each deployment of a model is divided alike, so a share of all is one of the model.
    """
    if not reservation:
        return limits
    listed = [each for each in deployments if each.id in limits]
    # Deployments that are counted as one are one.
    counted = {limits[each.id][0]: each for each in listed}
    totals: Counter[tuple[str, str]] = Counter()
    for each in counted.values():
        for name, field in _RATES.items():
            totals[each.model_name, name] += limits[each.id][1].amount(field) or 0
    found = dict(limits)
    for each in listed:
        counted_as, own = limits[each.id]
        rates = {name: totals[each.model_name, name] for name in _RATES}
        shares = _shares(reservation, settings, rates)
        counters = {KINDS[field].counter for field in _RATES.values()}
        found[each.id] = counted_as, divided(own, counters, shares)
    return found


def _shares(
    reservation: Mapping[str, float | ReservedAmount],
    settings: PrioritySettings,
    rates: Mapping[str, int],
) -> Shares:
    """Return the shares of a model with these rates. More than all of it is scaled down."""
    parts = {name: _part(each, rates) for name, each in reservation.items()}
    whole = max(1.0, sum(parts.values()))
    found = {name: int(part / whole * _WHOLE + 1e-9) for name, part in parts.items()}
    rest = _WHOLE - sum(found.values())
    found[EVERYBODY_ELSE] = min(round(settings.default_priority * _WHOLE), rest)
    threshold = min(_WHOLE - 1, round(settings.saturation_threshold * _WHOLE))
    return Shares(tuple((name, part) for name, part in found.items() if part), threshold)


def _part(each: float | ReservedAmount, rates: Mapping[str, int]) -> float:
    if isinstance(each, float | int):
        return each
    if each.type == "percent":
        return each.value
    return each.value / rates[each.type] if rates[each.type] else 0.0
