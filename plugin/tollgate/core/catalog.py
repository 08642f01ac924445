"""The models that there are: which deployments serve a public name, and what each costs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate

from tollgate.core.access import Model
from tollgate.core.endpoints import Wire, wires_of
from tollgate.core.entities import Deployment
from tollgate.core.pricing import Price

FindPrice = Callable[[Deployment, str], Price | None]
"""Finds what a model costs at a deployment's provider, by its name."""


def _unknown(_: Deployment, __: str) -> Price | None:
    return None


@dataclass(frozen=True, slots=True)
class Serving:
    """The deployments that can serve a model on a wire. `shares`: their weights, each with those before it."""

    deployments: tuple[Deployment, ...]
    shares: tuple[int, ...]

    @classmethod
    def of(cls, deployments: tuple[Deployment, ...]) -> Serving:
        """These deployments. Where all weights are 0, all are alike."""
        least = 0 if any(each.weight for each in deployments) else 1
        return cls(deployments, tuple(accumulate(max(least, each.weight) for each in deployments)))


@dataclass(slots=True)
class Catalog:
    """Deployments by public name, by id and by name and wire, and the models by name. `prices` lacks the deployments that nobody has a price for; they alone ever change."""

    by_name: Mapping[str, tuple[Deployment, ...]]
    by_id: Mapping[str, Deployment]
    models: Mapping[str, Model]
    serving: Mapping[tuple[str, Wire | None], Serving]
    prices: Mapping[str, Price]
    find_price: FindPrice = _unknown
    _costly: tuple[Mapping[str, Price], bool] | None = None

    @classmethod
    def of(
        cls,
        deployments: tuple[Deployment, ...],
        prices: Mapping[str, Price],
        find_price: FindPrice = _unknown,
    ) -> Catalog:
        """The catalog of these deployments. `find_price`: for models that only replies name."""
        by_name: dict[str, tuple[Deployment, ...]] = {}
        for each in deployments:
            by_name[each.model_name] = (*by_name.get(each.model_name, ()), each)
        models = {
            name: Model(name, frozenset(group for each in several for group in each.access_groups))
            for name, several in by_name.items()
        }
        serving = {
            (name, wire): Serving.of(tuple(each for each in several if wire is None or wire in wires_of(each.provider)))
            for name, several in by_name.items()
            for wire in (None, *Wire)
        }
        return cls(by_name, {each.id: each for each in deployments}, models, serving, prices, find_price)

    def model(self, name: str) -> Model | None:
        """The public model of that name, with its access groups."""
        return self.models.get(name)

    def choose(self, name: str, wire: Wire | None, draw: int) -> Deployment | None:
        """One of the deployments that serve the model on that wire (None: on any), by their weights; equal draws choose alike."""
        serving = self.serving[name, wire]
        if len(serving.deployments) < 2:
            return serving.deployments[0] if serving.deployments else None
        return serving.deployments[bisect_right(serving.shares, draw % serving.shares[-1])]

    def every_call_costs(self, *, free_unpriced: bool) -> bool:
        """Whether no call of any model is free. `free_unpriced`: those of a model without a price are."""
        if self._costly is None or self._costly[0] is not self.prices:
            priced = [self.prices.get(each) for each in self.by_id]
            costly = not any(free_unpriced if price is None else price.free for price in priced)
            # What a wildcard stands for has prices of its own.
            costly = costly and not any("*" in name for name in self.by_name)
            self._costly = self.prices, costly
        return self._costly[1]

    def reprice(self, prices: Mapping[str, Price]) -> None:
        """Let these be the prices from now on."""
        self.prices = prices

    def price_of_model(self, deployment_id: str, model: str) -> Price | None:
        """What another model costs at a deployment's provider; None when nobody knows."""
        deployment = self.by_id.get(deployment_id)
        return None if deployment is None else self.find_price(deployment, model)

    def trusts(self, deployment_id: str) -> bool:
        """Whether what a deployment's replies say that they cost is what is charged."""
        deployment = self.by_id.get(deployment_id)
        return deployment is not None and deployment.trust_provider_cost

    def price(self, deployment_id: str) -> Price | None:
        """What a deployment costs; None when nobody knows."""
        return self.prices.get(deployment_id)
