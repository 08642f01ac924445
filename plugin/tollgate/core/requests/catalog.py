"""The models that there are: which deployments serve a public name, and what each costs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate

from tollgate.core.callers.access import Model
from tollgate.core.models.deployment import Deployment
from tollgate.core.models.wildcards import Wildcards, fill, is_wildcard
from tollgate.core.money.pricing import Price
from tollgate.core.requests.endpoints import Wire, wires_of

FindNames = Callable[[Deployment], tuple[str, ...]]
"""Finds the models that a deployment's provider is known to have, by its own names."""
FindPrice = Callable[[Deployment, str], Price | None]
"""Finds what a model costs at a deployment's provider, by its name."""


def _unknown(_: Deployment, __: str) -> Price | None:
    return None


def _none_known(_: Deployment) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Alias:
    """A public name that stands for another one. A hidden one is in no list of models."""

    model: str
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Serving:
    """The deployments that can serve a model on a wire.

    `shares`: their weights, each with those before it.
    """

    deployments: tuple[Deployment, ...]
    shares: tuple[int, ...]

    @classmethod
    def of(cls, deployments: tuple[Deployment, ...]) -> Serving:
        """These deployments. Where all weights are 0, all are alike."""
        least = 0 if any(each.weight for each in deployments) else 1
        return cls(deployments, tuple(accumulate(max(least, each.weight) for each in deployments)))


@dataclass(slots=True)
class Catalog:
    """Deployments by public name, by id and by name and wire, and the models by name.

    Public names may hold `*` (core/models/wildcards.py). `prices` lacks the deployments that nobody has a
    price for; they alone ever change.
    """

    by_name: Mapping[str, tuple[Deployment, ...]]
    by_id: Mapping[str, Deployment]
    models: Mapping[str, Model]
    serving: Mapping[tuple[str, Wire | None], Serving]
    prices: Mapping[str, Price]
    find_price: FindPrice = _unknown
    find_names: FindNames = _none_known
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    wildcards: Wildcards = field(default_factory=lambda: Wildcards(()))
    _costly: tuple[Mapping[str, Price], bool] | None = None

    @classmethod
    def of(
        cls,
        deployments: tuple[Deployment, ...],
        prices: Mapping[str, Price],
        find_price: FindPrice = _unknown,
        find_names: FindNames = _none_known,
        aliases: Mapping[str, Alias] | None = None,
    ) -> Catalog:
        """The catalog of these deployments.

        `find_price`: for models that only requests or replies name. `find_names`: for lists of what
        a wildcard serves.
        """
        by_name: dict[str, tuple[Deployment, ...]] = {}
        for each in deployments:
            by_name[each.model_name] = (*by_name.get(each.model_name, ()), each)
        models = {
            name: Model(name, frozenset(group for each in several for group in each.access_groups))
            for name, several in by_name.items()
        }
        serving = {
            (name, wire): Serving.of(
                tuple(each for each in several if wire is None or wire in wires_of(each.provider))
            )
            for name, several in by_name.items()
            for wire in (None, *Wire)
        }
        catalog = cls(
            by_name,
            {each.id: each for each in deployments},
            models,
            serving,
            prices,
            find_price,
            find_names,
            aliases or {},
            Wildcards(by_name),
        )
        targets = {name: catalog.model(alias.model) for name, alias in catalog.aliases.items()}
        # Who may use either name may use the model.
        models |= {
            name: Model(each.name, each.groups | {name})
            for name, each in targets.items()
            if each is not None
        }
        return catalog

    def model(self, name: str) -> Model | None:
        """The public model that a name stands for, with its access groups: of an alias that of
        another name.
        """
        model = self.models.get(name)
        if model is not None and not is_wildcard(name):
            return model
        wildcard = self.wildcards.find(name)
        return None if wildcard is None else Model(name, self.models[wildcard].groups)

    def listed(self) -> Iterator[tuple[str, Model]]:
        """The names that lists show, each with its model.

        A wildcard is shown as the names that its provider is known to have.
        """
        for name, model in self.models.items():
            if name in self.aliases:
                if not self.aliases[name].hidden:
                    yield name, model
            elif is_wildcard(name):
                yield from ((each, Model(each, model.groups)) for each in self._known_names(name))
            else:
                yield name, model

    def _known_names(self, wildcard: str) -> list[str]:
        """What a wildcard serves, as far as anybody knows; else the wildcard itself."""
        deployment = self.by_name[wildcard][0]
        names: list[str] = []
        if wildcard.count("*") == deployment.model.count("*"):
            names = [
                fill(deployment.model, each, wildcard)
                for each in self.find_names(deployment)
                if fill(wildcard, fill(deployment.model, each, wildcard), deployment.model) == each
            ]
        return [
            each
            for each in dict.fromkeys(names)
            if each not in self.models and self.wildcards.find(each) == wildcard
        ] or [wildcard]

    def deployments(self, name: str) -> tuple[Deployment, ...]:
        """The deployments that serve a public name.

        Those of a wildcard are as if they were of this name.
        """
        found = self.by_name.get(name)
        if found is not None and not is_wildcard(name):
            return found
        wildcard = self.wildcards.find(name)
        return (
            () if wildcard is None else tuple(_named(each, name) for each in self.by_name[wildcard])
        )

    def choose(self, name: str, wire: Wire | None, draw: int) -> Deployment | None:
        """One of the deployments that serve the model on that wire (None: on any), by their
        weights; equal draws choose alike.
        """
        serving = (
            self.serving.get((name, wire)) or self.serving[self.wildcards.find(name) or name, wire]
        )
        if not serving.deployments:
            return None
        at = (
            0
            if len(serving.deployments) < 2
            else bisect_right(serving.shares, draw % serving.shares[-1])
        )
        deployment = serving.deployments[at]
        return deployment if deployment.model_name == name else _named(deployment, name)

    def every_call_costs(self, *, free_unpriced: bool) -> bool:
        """Whether no call of any model is free.

        `free_unpriced`: those of a model without a price are.
        """
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

    def price(self, deployment_id: str, name: str) -> Price | None:
        """What a public name costs at a deployment; None when nobody knows."""
        deployment = self.by_id.get(deployment_id)
        if deployment is None or not is_wildcard(deployment.model):
            return self.prices.get(deployment_id)
        return self.find_price(deployment, fill(deployment.model_name, name, deployment.model))

    def deployment(self, deployment_id: str, name: str) -> Deployment | None:
        """A deployment as it serves a public name."""
        deployment = self.by_id.get(deployment_id)
        return (
            deployment
            if deployment is None or deployment.model_name == name
            else _named(deployment, name)
        )


def _named(deployment: Deployment, name: str) -> Deployment:
    """A wildcard's deployment for one of the names that it serves."""
    return replace(
        deployment, model_name=name, model=fill(deployment.model_name, name, deployment.model)
    )
