"""List the configured models: the deployments behind each public name, and their prices."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate

from tollgate.core.callers.access import Model
from tollgate.core.models.deployment import Deployment
from tollgate.core.models.probe_model import is_probe
from tollgate.core.models.wildcards import Wildcards, fill, is_wildcard
from tollgate.core.money.pricing import Price
from tollgate.core.requests.endpoints import Wire, wires_of

FindNames = Callable[[Deployment], tuple[str, ...]]
"""Return the models that a deployment's provider is known to offer, by the provider's names."""
FindPrice = Callable[[Deployment, str], Price | None]
"""Return the price of a model at a deployment's provider, by its name."""


def _unknown(_: Deployment, __: str) -> Price | None:
    return None


def _none_known(_: Deployment) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Alias:
    """A public name that stands for another one; a hidden alias appears in no list of models."""

    model: str
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Serving:
    """The deployments that can serve a model on one wire.

    `shares` holds cumulative weights: each deployment's own plus those before it. `only` is the
    deployment where there is no choice.
    """

    deployments: tuple[Deployment, ...]
    shares: tuple[int, ...]
    only: Deployment | None = field(init=False)

    def __post_init__(self) -> None:
        only = self.deployments[0] if len(self.deployments) == 1 else None
        object.__setattr__(self, "only", only)

    @classmethod
    def of(cls, deployments: tuple[Deployment, ...]) -> Serving:
        """Build from deployments; if all weights are 0, each gets the same share."""
        least = 0 if any(each.weight for each in deployments) else 1
        return cls(deployments, tuple(accumulate(max(least, each.weight) for each in deployments)))

    def draw(self, number: int) -> Deployment:
        """Return the deployment that a number stands for, by weight. There is one at least."""
        return self.only or self.deployments[bisect_right(self.shares, number % self.shares[-1])]

    def others(self, number: int, chosen: str) -> list[Deployment]:
        """Return the deployments in the order in which a number would draw them, without the one
        with this id. Those of weight 0 come last.
        """
        left, found = [each for each in self.deployments if each.id != chosen], []
        while left:
            deployment = Serving.of(tuple(left)).draw(number)
            left.remove(deployment)
            found.append(deployment)
        return found


@dataclass(slots=True)
class Catalog:
    """Deployments by public name, by id, and by name and wire; models by name.

    Public names may contain `*` (core/models/wildcards.py). `models` omits the model of probes
    (core/models/probe_model.py), `prices` deployments without a known price. Prices are the only
    part that ever changes.
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
        """Build the catalog of these deployments.

        `find_price` prices models that only requests or replies name. `find_names` lists what a
        wildcard serves.
        """
        grouped: dict[str, list[Deployment]] = {}
        for each in deployments:
            grouped.setdefault(each.model_name, []).append(each)
        by_name = {name: tuple(several) for name, several in grouped.items()}
        models = {
            name: Model(name, frozenset(group for each in several for group in each.access_groups))
            for name, several in by_name.items()
            if not is_probe(name)
        }
        serving = {
            (name, wire): Serving.of(tuple(each for each in several if _serves(each, wire)))
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
        # Access to either name gives access to the model.
        models |= {
            name: Model(each.name, each.groups | {name})
            for name, each in targets.items()
            if each is not None
        }
        return catalog

    def model(self, name: str) -> Model | None:
        """Return the model behind a public name, with its access groups; an alias yields its
        target.
        """
        model = self.models.get(name)
        if model is not None and not is_wildcard(name):
            return model
        wildcard = self.wildcards.find_wildcard(name)
        if wildcard is None:
            return None
        return Model(name, self.models[wildcard].groups)

    def listed(self) -> Iterator[tuple[str, Model]]:
        """Yield the names to show in lists, each with its model.

        A wildcard appears as the names that its provider is known to offer.
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
        """Return the known names that a wildcard serves, or the wildcard itself if
        none are known.
        """
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
            if each not in self.models and self.wildcards.find_wildcard(each) == wildcard
        ] or [wildcard]

    def deployments(self, name: str) -> tuple[Deployment, ...]:
        """Return the deployments that serve a public name.

        Deployments of a wildcard are returned as if they were configured under this name.
        """
        found = self.by_name.get(name)
        if found is not None and not is_wildcard(name):
            return found
        wildcard = self.wildcards.find_wildcard(name)
        if wildcard is None:
            return ()
        return tuple(_named(each, name) for each in self.by_name[wildcard])

    def choose(self, name: str, wire: Wire | None, draw: int) -> Deployment | None:
        """Choose a deployment of the model on a wire (None: any wire) by weight.

        Deterministic: the same `draw` chooses the same deployment.
        """
        serving = self.find_serving(name, wire)
        return serving.draw(draw) if serving.deployments else None

    def find_serving(self, name: str, wire: Wire | None) -> Serving:
        """Return the deployments that serve a public name on a wire (None: any wire).

        Those of a wildcard are returned as if they were configured under this name.
        """
        found = self.serving.get((name, wire))
        if found is not None:
            return found
        found = self.serving[self.wildcards.find_wildcard(name) or name, wire]
        return Serving(tuple(_named(each, name) for each in found.deployments), found.shares)

    def every_call_costs(self, *, free_unpriced: bool) -> bool:
        """Return whether every call of every model costs money.

        `free_unpriced`: calls of a model without a price are free.
        """
        if self._costly is None or self._costly[0] is not self.prices:
            priced = [self.prices.get(each) for each in self.by_id]
            costly = not any(free_unpriced if price is None else price.free for price in priced)
            # A name matched by a wildcard has a price of its own.
            costly = costly and not any("*" in name for name in self.by_name)
            self._costly = self.prices, costly
        return self._costly[1]

    def reprice(self, prices: Mapping[str, Price]) -> None:
        """Replace all prices."""
        self.prices = prices

    def price_of_model(self, deployment_id: str, model: str) -> Price | None:
        """Return what another model costs at a deployment's provider; None if unknown."""
        deployment = self.by_id.get(deployment_id)
        if deployment is None:
            return None
        return self.find_price(deployment, model)

    def trusts(self, deployment_id: str) -> bool:
        """Return whether the cost that a deployment's replies report is the amount charged."""
        deployment = self.by_id.get(deployment_id)
        return deployment is not None and deployment.trust_provider_cost

    def price(self, deployment_id: str, name: str) -> Price | None:
        """Return what a public name costs at a deployment; None if unknown."""
        deployment = self.by_id.get(deployment_id)
        if deployment is None or not is_wildcard(deployment.model):
            return self.prices.get(deployment_id)
        return self.find_price(deployment, fill(deployment.model_name, name, deployment.model))

    def deployment(self, deployment_id: str, name: str) -> Deployment | None:
        """Return a deployment as it serves a public name."""
        deployment = self.by_id.get(deployment_id)
        if deployment is None or deployment.model_name == name:
            return deployment
        return _named(deployment, name)


def _serves(deployment: Deployment, wire: Wire | None) -> bool:
    """Return whether calls of a wire may go to a deployment.

    `wire` None stands for an unknown path: a compatible endpoint serves known ones only.
    """
    if wire is None:
        return not deployment.compatible
    return wire in wires_of(deployment)


def _named(deployment: Deployment, name: str) -> Deployment:
    """Return a wildcard's deployment, resolved for one of the names that it serves."""
    return replace(
        deployment, model_name=name, model=fill(deployment.model_name, name, deployment.model)
    )
