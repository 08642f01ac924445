"""The fields of limits, which most nouns share, and how they are printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, Self
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    field_validator,
    model_validator,
)

from tollgate.adapters.http_api.wire.parts.base import RequestBody, patched
from tollgate.adapters.http_api.wire.parts.general_limits import (
    OWN_FIELDS_OF_MODELS,
    BudgetWindow,
    LimitEntry,
    check_entries,
    with_entries,
    with_windows,
)
from tollgate.adapters.http_api.wire.parts.raises import check_raise, raise_ends_us
from tollgate.adapters.http_api.wire.parts.types import (
    Count,
    DayCount,
    Dollars,
    DurationText,
    Identifier,
    wrong,
)
from tollgate.core.callers.limit_entries import find_contradiction
from tollgate.core.entities import NO_LIMITS, LimitSet, ModelLimits
from tollgate.core.errors import BadRequest
from tollgate.core.limits.limit import KINDS, Limit, Raise
from tollgate.core.money.dollars import dollars_of
from tollgate.management.spending.limits import restarted

_BUDGET = {
    "max_budget": "max_budget_nanousd",
    "budget_duration": "budget_duration",
    "shadow": "shadow",
}


def _timezone(value: str) -> str:
    if value not in available_timezones():
        raise wrong("must be the name of a time zone, such as UTC or Europe/Berlin")
    return value


Timezone = Annotated[str, AfterValidator(_timezone)]


class EntryFields(RequestBody):
    """Limits in their general form, of an entity and of single models."""

    limits: tuple[LimitEntry, ...] | None = None

    @field_validator("limits")
    @classmethod
    def _entries(cls, given: tuple[LimitEntry, ...] | None) -> tuple[LimitEntry, ...] | None:
        for model in {each.model for each in given or ()}:
            check_entries([each.limit for each in given or () if each.model == model])
            if model is not None and not issubclass(cls, ModelLimitFields):
                raise wrong("these limits are for all models: leave out 'model'")
        return given


class LimitFields(EntryFields):
    """The limits of an entity.

    `budget_anchor` and `budget_timezone` are ours: where periods begin (see core.duration).
    """

    max_budget: Dollars | None = None
    budget_duration: DurationText | None = None
    tpm_limit: Count | None = None
    rpm_limit: Count | None = None
    tpd_limit: DayCount | None = None
    rpd_limit: DayCount | None = None
    max_parallel_requests: Count | None = None
    budget_limits: tuple[BudgetWindow, ...] | None = None
    budget_anchor: Literal["rolling", "calendar"] | None = None
    budget_timezone: Timezone | None = None
    temp_budget_increase: Dollars | None = None
    temp_budget_expiry: str | None = None
    temp_budget_periods: int | None = None
    shadow: bool | None = None

    @field_validator("budget_limits")
    @classmethod
    def _windows(cls, given: tuple[BudgetWindow, ...] | None) -> tuple[BudgetWindow, ...] | None:
        check_entries([each.limit for each in given or ()])
        return given

    @model_validator(mode="after")
    def _said_once(self) -> Self:
        """Refuse two amounts for one counter: one of them would be lost without a word."""
        said = [
            (Limit(kind.meter, amount, kind.window), kind.field)
            for kind in KINDS.values()
            if (amount := getattr(self, kind.field, None)) is not None
        ]
        said += [(each.limit, "limits") for each in self.limits or () if each.model is None]
        said += [(each.limit, "budget_limits") for each in self.budget_limits or ()]
        if (contradiction := find_contradiction(said)) is not None:
            raise wrong(contradiction)
        try:
            check_raise(
                "temp_budget",
                self.temp_budget_increase,
                self.temp_budget_expiry,
                self.temp_budget_periods,
            )
        except BadRequest as error:
            raise wrong(str(error)) from error
        return self

    def limits_over(self, limits: LimitSet, now_us: int) -> LimitSet:
        """The limits that these fields make of others."""
        limits = with_amounts(patched(limits, self, _BUDGET), self)
        if "limits" in self.model_fields_set:
            entries = [
                each.limit_over(limits, now_us) for each in self.limits or () if each.model is None
            ]
            limits = with_entries(limits, entries)
        if "budget_limits" in self.model_fields_set:
            limits = with_windows(limits, [each.limit for each in self.budget_limits or ()])
        zone = limits.calendar_timezone
        if "budget_timezone" in self.model_fields_set and zone is not None:
            zone = self.budget_timezone or "UTC"
        if "budget_anchor" in self.model_fields_set:
            zone = (
                (self.budget_timezone or zone or "UTC")
                if self.budget_anchor == "calendar"
                else None
            )
        limits = replace(limits, calendar_timezone=zone)
        if "temp_budget_increase" in self.model_fields_set:
            limits = replace(limits, budget_increase=self._find_raise(limits, now_us))
        return limits

    def _find_raise(self, limits: LimitSet, now_us: int) -> Raise | None:
        """Return the raise of the budget; None ends one that there is."""
        if not self.temp_budget_increase:
            return None
        until_us = raise_ends_us(
            self.temp_budget_expiry,
            self.temp_budget_periods,
            limits.spend_period(now_us),
            now_us,
        )
        return Raise(self.temp_budget_increase, until_us)


def _as_object(value: object) -> object:
    # The page's form is a bare number of dollars; LiteLLM's later form is an object.
    if isinstance(value, dict):
        return value
    return {"max_budget": value}


class ModelBudget(RequestBody):
    """An entry of `model_max_budget`: a budget for one model, by LiteLLM's names for its fields
    too, and other limits for it.
    """

    max_budget: Dollars | None = Field(
        None, validation_alias=AliasChoices("max_budget", "budget_limit")
    )
    budget_duration: DurationText | None = Field(
        None, validation_alias=AliasChoices("budget_duration", "time_period")
    )
    rpm_limit: Count | None = None
    tpm_limit: Count | None = None
    max_parallel_requests: Count | None = None


ModelBudgets = dict[Identifier, Annotated[ModelBudget, BeforeValidator(_as_object)]]


class ModelLimitFields(EntryFields):
    """Limits for single models.

    Each field that is given replaces what it said before of all models.
    """

    model_max_budget: ModelBudgets | None = None
    model_rpm_limit: dict[Identifier, Count] | None = None
    model_tpm_limit: dict[Identifier, Count] | None = None

    @model_validator(mode="after")
    def _said_once_of_models(self) -> Self:
        """Refuse two amounts for one counter of a model likewise."""
        for model in {each.model for each in self.limits or () if each.model is not None}:
            said = [(each.limit, "limits") for each in self.limits or () if each.model == model]
            said += self._said_in_fields(model)
            if (contradiction := find_contradiction(said)) is not None:
                raise wrong(f"{contradiction}, for the model {model!r}")
        return self

    def _said_in_fields(self, model: str) -> list[tuple[Limit, str]]:
        """Return a model's limits that have a field of their own, each with the field."""
        budget = (self.model_max_budget or {}).get(model, _NO_BUDGET)
        said = []
        for kind in KINDS.values():
            # model_rpm_limit and model_tpm_limit win over the entries of model_max_budget.
            field = FIELDS_OF_MODELS.get(kind.field, "model_max_budget")
            own = {} if field == "model_max_budget" else getattr(self, field) or {}
            if model not in own:
                own, field = {model: getattr(budget, kind.field, None)}, "model_max_budget"
            if own[model] is not None:
                said.append((Limit(kind.meter, own[model], kind.window), field))
        return said

    def model_limits_over(
        self, before: tuple[ModelLimits, ...], now_us: int
    ) -> tuple[ModelLimits, ...]:
        """The limits for models that these fields make of others."""
        found = {each.model: each.limits for each in before}
        for field, name in FIELDS_OF_MODELS.items():
            if name in self.model_fields_set:
                _replace_each(found, field, getattr(self, name) or {})
        if "model_max_budget" in self.model_fields_set:
            self._set_budgets(found, self.model_max_budget or {}, now_us)
        if "limits" in self.model_fields_set:
            self._set_entries(found, now_us)
        return tuple(
            ModelLimits(model, limits) for model, limits in found.items() if limits.limited
        )

    def _set_entries(self, found: dict[str, LimitSet], now_us: int) -> None:
        """Replace every model's limits that have no field of their own."""
        entries: dict[str, list[Limit]] = {model: [] for model in found}
        for each in self.limits or ():
            if each.model is not None:
                before = found.get(each.model, NO_LIMITS)
                limit = each.limit_over(before, now_us)
                entries.setdefault(each.model, []).append(limit)
        for model, limits in entries.items():
            before = found.get(model, NO_LIMITS)
            found[model] = restarted(
                before, with_entries(before, limits, OWN_FIELDS_OF_MODELS), now_us
            )

    def _set_budgets(
        self, found: dict[str, LimitSet], budgets: Mapping[str, ModelBudget], now_us: int
    ) -> None:
        _replace_each(
            found,
            "max_parallel_requests",
            {model: each.max_parallel_requests for model, each in budgets.items()},
        )
        for model in {**found, **budgets}:
            entry, limits = budgets.get(model, _NO_BUDGET), found.get(model, NO_LIMITS)
            same = limits.budget_duration == entry.budget_duration
            found[model] = replace(
                limits,
                max_budget_nanousd=entry.max_budget,
                budget_duration=entry.budget_duration,
                budget_since_us=limits.budget_since_us if same else 0,
            )
            # LiteLLM's precedence: model_rpm_limit and model_tpm_limit win over the entries' own.
            for field, name in FIELDS_OF_MODELS.items():
                amount = getattr(entry, field)
                if amount is not None and model not in (getattr(self, name) or {}):
                    found[model] = found[model].with_amount(field, amount)
            if not found[model].budget_since_us:
                found[model] = replace(found[model], budget_since_us=now_us)


FIELDS_OF_MODELS = {"rpm_limit": "model_rpm_limit", "tpm_limit": "model_tpm_limit"}
"""The limits that have a field of their own for single models."""
_NO_BUDGET = ModelBudget()


def with_amounts(limits: LimitSet, body: RequestBody, prefix: str = "") -> LimitSet:
    """Return the limits with the amounts that a body gives those that have fields of their own."""
    for field in KINDS:
        if prefix + field in body.model_fields_set:
            limits = limits.with_amount(field, getattr(body, prefix + field))
    return limits


def _replace_each(
    found: dict[str, LimitSet], field: str, amounts: Mapping[str, int | None]
) -> None:
    """Set one limit of every model: to the amount given for it, or to none."""
    for model in {**found, **amounts}:
        found[model] = found.get(model, NO_LIMITS).with_amount(field, amounts.get(model))


def printed_dollars(nanousd: int | None) -> float | None:
    """An amount, as a float of dollars."""
    if nanousd is None:
        return None
    return dollars_of(nanousd)


def printed_model_budgets(limits: tuple[ModelLimits, ...]) -> dict[str, Any]:
    """`model_max_budget`: the page's bare number where there is no period, else an object."""
    found: dict[str, Any] = {}
    for each in limits:
        entry = {
            "max_budget": printed_dollars(each.limits.max_budget_nanousd),
            "budget_duration": each.limits.budget_duration,
            "max_parallel_requests": each.limits.amount("max_parallel_requests"),
        }
        said = {name: value for name, value in entry.items() if value is not None}
        if said:
            found[each.model] = said["max_budget"] if list(said) == ["max_budget"] else said
    return found


def printed_of_models(limits: tuple[ModelLimits, ...]) -> dict[str, dict[str, int]]:
    """The limits for models that have fields of their own, `model_rpm_limit` and
    `model_tpm_limit`.
    """
    return {
        name: {
            each.model: amount
            for each in limits
            if (amount := each.limits.amount(field)) is not None
        }
        for field, name in FIELDS_OF_MODELS.items()
    }
