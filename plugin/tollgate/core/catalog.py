"""The models that there are: which deployments serve a public name, and what each costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tollgate.core.access import Model
from tollgate.core.endpoints import Wire, wires_of
from tollgate.core.entities import Deployment
from tollgate.core.pricing import Price


@dataclass(slots=True)
class Catalog:
    """Deployments by public name and by id. `prices` lacks the deployments that nobody has a price for; they alone ever change."""

    by_name: Mapping[str, tuple[Deployment, ...]]
    by_id: Mapping[str, Deployment]
    prices: Mapping[str, Price]
    models: Mapping[str, Model]

    @classmethod
    def of(cls, deployments: tuple[Deployment, ...], prices: Mapping[str, Price]) -> Catalog:
        """The catalog of these deployments."""
        by_name: dict[str, tuple[Deployment, ...]] = {}
        for each in deployments:
            by_name[each.model_name] = (*by_name.get(each.model_name, ()), each)
        models = {
            name: Model(name, frozenset(group for each in found for group in each.access_groups))
            for name, found in by_name.items()
        }
        return cls(by_name, {each.id: each for each in deployments}, prices, models)

    def model(self, name: str) -> Model | None:
        """The public model of that name, with its access groups."""
        return self.models.get(name)

    def choose(self, name: str, wire: Wire | None, draw: int) -> Deployment | None:
        """One of the deployments that serve the model on that wire (None: on any), by their weights; equal draws choose alike."""
        fitting = [each for each in self.by_name[name] if wire is None or wire in wires_of(each.provider)]
        if len(fitting) < 2:
            return fitting[0] if fitting else None
        # Where all weights are 0, all are alike.
        least = 0 if any(each.weight for each in fitting) else 1
        point = draw % sum(max(least, each.weight) for each in fitting)
        for each in fitting:
            point -= max(least, each.weight)
            if point < 0:
                return each
        raise AssertionError("a point below the sum of the weights is in one of them")

    def reprice(self, prices: Mapping[str, Price]) -> None:
        """Let these be the prices from now on."""
        self.prices = prices

    def price(self, deployment_id: str) -> Price | None:
        """What a deployment costs; None when nobody knows."""
        return self.prices.get(deployment_id)
