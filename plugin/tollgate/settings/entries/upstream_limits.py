"""Limits of deployments and of providers: what a provider grants to an account."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import Self

from msgspec import structs
from pydantic import model_validator

from tollgate.core.callers.limit_entries import MOST_LIMITS, find_contradiction
from tollgate.core.callers.rules import Upstream
from tollgate.core.entities import NO_LIMITS, LimitSet
from tollgate.core.errors import BadRequest
from tollgate.core.limits.accounts import Meter, Scope, ScopeKind
from tollgate.core.limits.limit import KINDS, Bucket, Forever, Limit, Recurring
from tollgate.core.limits.shares import Shares
from tollgate.core.models.deployment import Deployment
from tollgate.core.money.dollars import nanousd_of
from tollgate.settings.entries.limit_entry import LimitSetting


class UpstreamLimitSetting(LimitSetting):
    """A limit of a deployment or a provider. Calls that it refuses go to another deployment.

    `shares` divide it among callers while more of it is used than the `saturation_threshold`.
    """

    shares: dict[str, float] | None = None
    saturation_threshold: float | None = None

    @model_validator(mode="after")
    def _only_refuses(self) -> Self:
        for name in ("on_exceeded", "max_wait_ms"):
            if getattr(self, name) not in (None, "refuse", 0):
                raise ValueError(
                    f"{name} is for limits of callers: where this limit is reached, another"
                    " deployment of the model serves the call"
                )
        return self

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if not self.shares:
            if self.saturation_threshold is not None:
                raise ValueError("saturation_threshold needs shares: {NAME: PART}")
            return self
        limit = self.limit
        if not isinstance(limit.window, Bucket):
            raise ValueError("shares are for requests or tokens per some seconds, minutes or hours")
        if self.strict:
            raise ValueError("shares are of limits that are not strict")
        try:
            shares = Shares.read(self.shares, self.saturation_threshold)
        except BadRequest as error:
            raise ValueError(str(error)) from error
        if (name := shares.find_too_small(limit.amount)) is not None:
            raise ValueError(
                f"the share of {name!r} has no room for one of the {limit.amount}: raise the share"
                " or the amount, or lower saturation_threshold"
            )
        self._limit = structs.replace(limit, shares=shares)
        return self


def upstream_limits(
    *,
    kinds: Mapping[str, int | None],
    max_budget: Decimal | None,
    budget_duration: str | None,
    limits: Iterable[UpstreamLimitSetting],
    rates: Mapping[str, Limit] = MappingProxyType({}),
) -> LimitSet:
    """Return the limits that a section gives. `kinds`: amounts by the fields of `KINDS`; `rates`:
    others by the name of their field.

    Raises BadRequest if two of them contradict each other, or there are too many.
    """
    said = [
        (Limit(KINDS[field].meter, amount, KINDS[field].window), field)
        for field, amount in kinds.items()
        if amount is not None
    ]
    said += [(each, field) for field, each in rates.items()]
    if max_budget is not None:
        window = Forever() if budget_duration is None else Recurring(budget_duration)
        said.append((Limit(Meter.USD, nanousd_of(max_budget), window), "max_budget"))
    said += [(each.limit, "limits") for each in limits]
    if (contradiction := find_contradiction(said)) is not None:
        raise BadRequest(contradiction)
    found = {limit.counter: limit for limit, _ in said}
    if len(found) > MOST_LIMITS:
        raise BadRequest(f"at most {MOST_LIMITS} limits of one deployment or provider")
    return LimitSet(tuple(found.values())) if found else NO_LIMITS


def divided(limits: LimitSet, counters: Container[str], shares: Shares) -> LimitSet:
    """Return a deployment's limits, of which those with these counters are divided.

    A limit that says its own shares keeps them.
    """
    found = tuple(
        structs.replace(each, shares=shares)
        if each.counter in counters and each.shares is None
        else each
        for each in limits.limits
    )
    return replace(limits, limits=found)


def upstreams_of(
    deployments: Iterable[Deployment],
    by_deployment: Mapping[str, tuple[str, LimitSet]],
    by_provider: Mapping[str, LimitSet],
) -> dict[str, Upstream]:
    """Return by deployment the scopes that its calls belong to, with their limits.

    `by_deployment`: the id under which its limits are counted, which deployments of one entry
    share, and the limits.
    """
    found = {}
    for each in deployments:
        scopes: list[tuple[Scope, LimitSet]] = []
        if each.provider in by_provider:
            scopes.append((Scope(ScopeKind.PROVIDER, each.provider), by_provider[each.provider]))
        if each.id in by_deployment:
            counted_as, limits = by_deployment[each.id]
            scopes.append((Scope(ScopeKind.DEPLOYMENT, counted_as), limits))
        if scopes:
            found[each.id] = tuple(scopes)
    return found
