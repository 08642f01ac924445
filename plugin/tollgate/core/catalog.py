"""The models that there are: which deployments serve a public name, and what each costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tollgate.core.access import Model
from tollgate.core.dialects import Family, family_of_provider
from tollgate.core.entities import Deployment
from tollgate.core.pricing import Price


@dataclass(frozen=True, slots=True)
class Catalog:
    """Deployments by public name and by id. `prices` lacks the deployments that nobody has a price for."""

    by_name: Mapping[str, tuple[Deployment, ...]]
    by_id: Mapping[str, Deployment]
    prices: Mapping[str, Price]

    @classmethod
    def of(cls, deployments: tuple[Deployment, ...], prices: Mapping[str, Price]) -> Catalog:
        """The catalog of these deployments."""
        by_name: dict[str, tuple[Deployment, ...]] = {}
        for each in deployments:
            by_name[each.model_name] = (*by_name.get(each.model_name, ()), each)
        return cls(by_name, {each.id: each for each in deployments}, prices)

    def model(self, name: str) -> Model | None:
        """The public model of that name, with its access groups."""
        if not (deployments := self.by_name.get(name)):
            return None
        return Model(name, frozenset(group for each in deployments for group in each.access_groups))

    def choose(self, name: str, family: Family, draw: int) -> Deployment | None:
        """One of the deployments that serve the model in that family's format; equal draws choose alike."""
        fitting = [each for each in self.by_name[name] if family_of_provider(each.provider) is family]
        return fitting[draw % len(fitting)] if fitting else None

    def price(self, deployment_id: str) -> Price | None:
        """What a deployment costs; None when nobody knows."""
        return self.prices.get(deployment_id)
