"""`tollgate.dimensions`: scopes whose ids requests tell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from msgspec import structs
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from tollgate.core.callers.customer_ids import HEADERS as CUSTOMER_HEADERS
from tollgate.core.callers.customer_ids import PLACES as CUSTOMER_PLACES
from tollgate.core.callers.dimensions import BUILT_IN, Dimension
from tollgate.core.callers.limit_entries import MOST_LIMITS
from tollgate.core.callers.rules import remembered_us
from tollgate.core.entities import LimitSet, ModelLimits
from tollgate.core.errors import BadRequest
from tollgate.core.limits.accounts import ScopeKind
from tollgate.core.limits.duration import parse_duration
from tollgate.core.limits.limit import Forever, window_us
from tollgate.settings.entries.identity_settings import HeaderName, SourceSetting
from tollgate.settings.entries.limit_entry import NarrowedLimitSetting

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_PLACE = re.compile(r"[A-Za-z_][\w-]{0,63}(\.[A-Za-z_][\w-]{0,63})?")
_REMEMBERED = "30d"
_SESSION_REMEMBERED = "1d"


def _remembered(text: str) -> str:
    try:
        parse_duration(text)
    except BadRequest as error:
        raise ValueError(str(error)) from error
    return text


MOST_VALUES, MOST_CUSTOMERS, MOST_VALUES_EVER = 100_000, 1_000_000, 100_000_000
"""How many values of a dimension, and customers, are told apart by default; and the largest bound.

A remembered value takes some hundred bytes of the store, and its counters some hundreds.
"""
_OF_CUSTOMERS = frozenset({"sources", "most", "beyond"})


class DimensionSource(SourceSetting):
    """One source of a dimension's values: a header, the body, or what Envoy vouches for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    header: HeaderName | None = None
    body: str | None = None

    def _choices(self) -> list[str]:
        return [*super()._choices(), "header", "body"]

    @model_validator(mode="after")
    def _check_place(self) -> Self:
        if self.body is not None and not _PLACE.fullmatch(self.body):
            raise ValueError(
                f"{self.body!r} is no place in a body: right is NAME or OBJECT.NAME, such as"
                " metadata.project"
            )
        return self


class DimensionSetting(BaseModel):
    """A dimension; docs/scopes.md describes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    sources: tuple[DimensionSource, ...] | None = Field(None, alias="from")
    several: bool | None = None
    limits: tuple[NarrowedLimitSetting, ...] = ()
    remember: Annotated[str, AfterValidator(_remembered)] | None = None
    most: int = Field(MOST_VALUES, ge=1, le=MOST_VALUES_EVER)
    beyond: Literal["share", "refuse"] = "share"

    def made(self, name: str) -> Dimension:
        """Return the dimension. Raises ValueError that names what is missing or wrong."""
        built_in = BUILT_IN.get(name)
        if built_in is None:
            _check_name(name)
            if not self.sources:
                raise ValueError(f"{name}: name its sources under `from`, such as header: x-{name}")
        dimension = built_in or Dimension(name)
        if self.sources is not None:
            dimension = structs.replace(
                dimension,
                headers=tuple(each.header for each in self.sources if each.header),
                places=tuple(each.body for each in self.sources if each.body),
                verified=tuple(each.made() for each in self.sources if each.is_verified),
            )
        limits = LimitSet(tuple(each.limit for each in self.limits if each.model is None))
        models = dict.fromkeys(each.model for each in self.limits if each.model is not None)
        narrowed = tuple(
            ModelLimits(
                model, LimitSet(tuple(each.limit for each in self.limits if each.model == model))
            )
            for model in models
        )
        for each in (limits, *(one.limits for one in narrowed)):
            _check_limits(name, each)
        return structs.replace(
            dimension,
            several=dimension.several if self.several is None else self.several,
            limits=limits,
            model_limits=narrowed,
            remember_us=self._remember_us(name, (limits, *(each.limits for each in narrowed))),
            most_values=self.most,
            refuses_more=self.beyond == "refuse",
        )

    def _remember_us(self, name: str, sets: tuple[LimitSet, ...]) -> int:
        """Return how long an idle value is kept: at least as long as a window of its limits."""
        default = _SESSION_REMEMBERED if name == ScopeKind.SESSION else _REMEMBERED
        asked_us = parse_duration(self.remember or default).length_us
        windows = [
            window_us(limit.window)
            for each in sets
            for limit in each.limits
            if not isinstance(limit.window, Forever)
        ]
        longest_us = max(windows, default=0)
        if self.remember is not None and asked_us < longest_us:
            raise ValueError(
                f"{name}: remember is shorter than the window of a limit, whose counts would be"
                " forgotten within it"
            )
        return max(asked_us, longest_us)


DimensionSettings = Mapping[str, DimensionSetting | Literal[True]]


def dimensions_of(given: DimensionSettings) -> tuple[Dimension, ...]:
    """Return the dimensions of a configuration, in the order in which a refusal names them.

    Raises ValueError for one that cannot be.
    """
    _check_customer(given.get(ScopeKind.CUSTOMER))
    found = [
        (DimensionSetting() if setting is True else setting).made(name)
        for name, setting in given.items()
        if name != ScopeKind.CUSTOMER
    ]
    taken = dict.fromkeys([*customer_headers(given), *CUSTOMER_PLACES], "customer")
    for each in found:
        for source in (*each.headers, *each.places):
            if source in taken:
                raise ValueError(f"{source!r} tells the {taken[source]} already")
            taken[source] = each.name
    order = {name: number for number, name in enumerate(BUILT_IN)}
    return tuple(sorted(found, key=lambda each: order.get(each.name, len(order))))


def with_customer_headers(given: DimensionSettings, headers: tuple[str, ...]) -> DimensionSettings:
    """Return dimensions with headers that name customers, unless they say such headers already."""
    setting = given.get(ScopeKind.CUSTOMER, True)
    if setting is True:
        setting = DimensionSetting(most=MOST_CUSTOMERS)
    if setting.sources is not None:
        return given
    sources = tuple(DimensionSource(header=each) for each in headers)
    return {**given, ScopeKind.CUSTOMER: setting.model_copy(update={"sources": sources})}


def bounded_customers(given: DimensionSettings, limits: LimitSet) -> Dimension:
    """Return which headers name customers, and how many that nobody registered are told apart.

    `limits`: of each.
    """
    setting = given.get(ScopeKind.CUSTOMER, True)
    bound = DimensionSetting(most=MOST_CUSTOMERS) if setting is True else setting
    return Dimension(
        ScopeKind.CUSTOMER,
        customer_headers(given),
        remember_us=remembered_us(limits),
        most_values=bound.most if "most" in bound.model_fields_set else MOST_CUSTOMERS,
        refuses_more=bound.beyond == "refuse",
    )


def customer_headers(given: DimensionSettings) -> tuple[str, ...]:
    """Return the headers that name customers, in their order."""
    setting = given.get(ScopeKind.CUSTOMER, True)
    further = () if setting is True else setting.sources or ()
    return (*CUSTOMER_HEADERS, *(each.header for each in further if each.header))


def _check_customer(setting: DimensionSetting | Literal[True] | None) -> None:
    if not isinstance(setting, DimensionSetting):
        return
    further = setting.sources or ()
    if not setting.model_fields_set <= _OF_CUSTOMERS or not all(each.header for each in further):
        raise ValueError(
            "customer: only `most`, `beyond` and further headers can be set; its limits are"
            " default_limits.customer, and a verified one is identity.customer"
        )


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name of a dimension: right are lower-case letters, digits and _"
        )
    if name in set(ScopeKind):
        raise ValueError(f"{name!r} is a scope already")


def _check_limits(name: str, limits: LimitSet) -> None:
    counters = [each.counter for each in limits.limits]
    if len(counters) > MOST_LIMITS or len(set(counters)) < len(counters):
        raise ValueError(f"{name}: at most {MOST_LIMITS} limits, of one meter and window only one")
