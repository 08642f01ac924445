"""What deployments take: their shares of a model's calls, and their limits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from tollgate.core.entities import LimitSet
from tollgate.core.errors import BadRequest
from tollgate.core.limits.limit import Bucket, Limit
from tollgate.settings.entries.upstream_limits import upstream_limits
from tollgate.settings.page_sections import (
    RATES,
    TOKEN_RATES,
    WEIGHING,
    LitellmParams,
    ModelEntry,
    ProviderBudget,
)

_FRACTIONS = 1_000_000


def weights_of(entries: Iterable[ModelEntry]) -> list[int]:
    """Return the share of each entry among those of its model.

    As LiteLLM's simple-shuffle: by `weight`, or else by the first rate that they have
    (https://docs.litellm.ai/docs/routing). A rate counts where every deployment of the model has
    it; a deployment without a `weight` beside one that has it weighs 1. Fractions are counted in
    millionths.
    """
    listed = list(entries)
    by_model: dict[str, list[LitellmParams]] = defaultdict(list)
    for each in listed:
        by_model[each.model_name].append(each.litellm_params)
    chosen = {name: _weighed_by(several) for name, several in by_model.items()}
    scales = {
        name: _FRACTIONS if any((each.weight or 0) % 1 for each in several) else 1
        for name, several in by_model.items()
    }
    found = []
    for each in listed:
        weight = getattr(each.litellm_params, chosen[each.model_name])
        found.append(round((1 if weight is None else weight) * scales[each.model_name]))
    return found


def _weighed_by(several: list[LitellmParams]) -> str:
    """Return the field that tells the shares of one model's deployments."""
    if any(each.weight is not None for each in several):
        return "weight"
    for name in WEIGHING:
        if all(getattr(each, name) is not None for each in several):
            return name
    return "weight"


def limits_of(params: LitellmParams, most_calls: int | None) -> LimitSet:
    """Return the limits of a deployment.

    `most_calls`: calls at once, if it does not say how many. Raises BadRequest.
    """
    calls = params.max_parallel_requests
    return upstream_limits(
        kinds={
            **{kind: getattr(params, name) for name, kind in RATES.items()},
            "max_parallel_requests": most_calls if calls is None else calls,
        },
        rates={
            name: Limit(meter, amount, Bucket(60))
            for name, meter in TOKEN_RATES.items()
            if (amount := getattr(params, name)) is not None
        },
        max_budget=params.max_budget,
        budget_duration=params.budget_duration,
        limits=params.limits,
    )


def provider_limits(
    given: Mapping[str, ProviderBudget],
) -> tuple[dict[str, LimitSet], list[str]]:
    """Return the limits of providers, and what is wrong with some, one line each."""
    found, faults = {}, []
    for name, each in given.items():
        kinds = {kind: getattr(each, kind) for kind in RATES.values()}
        try:
            limits = upstream_limits(
                kinds=kinds,
                max_budget=each.max_budget,
                budget_duration=each.budget_duration,
                limits=each.limits,
            )
        except BadRequest as error:
            faults.append(f"router_settings.provider_budget_config.{name}: {error}")
            continue
        if limits.limits:
            found[name] = limits
    return found, faults
