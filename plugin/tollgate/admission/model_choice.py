"""Choose what serves a request: the model that it means, one of its deployments, and
their price.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from tollgate.admission.asking.callers import Late, Refused
from tollgate.core.answers import refusals
from tollgate.core.callers.rules import Caller, Policy
from tollgate.core.callers.scope_names import name_of_kind
from tollgate.core.errors import BadRequest, cut
from tollgate.core.memo import Bounded
from tollgate.core.models.deployment import Deployment
from tollgate.core.models.probe_model import LATE_PROBE_MODEL, is_probe
from tollgate.core.money.pricing import Price
from tollgate.core.requests.body import Body
from tollgate.core.requests.catalog import Catalog, Serving
from tollgate.core.requests.dialects import Dialect, Family, Measure
from tollgate.core.requests.endpoints import Endpoint, Wire, paths_of, wires_of

UnpricedModels = Literal["refuse", "free", "default_price"]
"""What happens to calls of a model without a price."""

# A caller, whose entities nobody else may keep, and a deployment as it serves one name of a
# wildcard's.
_CALLER_BYTES, _SERVED_BYTES, _CHARACTER_BYTES = 3_000, 1_000, 8

_LATE = "This answer came late on purpose: `tollgate doctor` looks how long Envoy waits for one."


class ModelChoice:
    """Choices by the catalog. `unpriced` and `default_price` apply to models without a price,
    `fallbacks` lists the models that serve in place of one (`*`: of all others),
    `context_fallbacks` those that serve prompts that are too long for it, `cools` tells
    whether the deployment with an id should get no calls now (None: none ever should).

    What a caller may use and what serves it are remembered: callers do not change (one of whom
    anything was changed is another object), and a changed configuration has choices of its own.
    """

    def __init__(
        self,
        catalog: Catalog,
        policy: Policy,
        unpriced: UnpricedModels,
        default_price: Price,
        fallbacks: Mapping[str, tuple[str, ...]],
        context_fallbacks: Mapping[str, tuple[str, ...]],
        cools: Callable[[str], bool] | None,
    ) -> None:
        self._catalog = catalog
        self._policy = policy
        self._unpriced = unpriced
        self._default_price = default_price
        self._fallbacks = fallbacks
        self._context_fallbacks = context_fallbacks
        self._cools = cools
        # By the identity of the caller, who is kept with it, and the name as the request has it.
        self._meant: Bounded[tuple[int, str], tuple[Caller, str]] = Bounded()
        # By the model, and the endpoint's wires.
        self._servings: Bounded[tuple[str, Wire | None, Wire | None], Serving] = Bounded()

    def find_model(
        self,
        caller: Caller,
        endpoint: Endpoint | None,
        facts: Body,
        dialect: Dialect,
        family: Family,
    ) -> str:
        """Return the name of the model that a request means.

        The path names it, or else the body, by the model's name or an alias of the caller's. Raises
        BadRequest if neither does and there is no default, and Refused if there is no such model or
        the caller may not use it.
        """
        in_path = None if endpoint is None else endpoint.model
        named = in_path if in_path is not None else facts.model
        if not named:
            named = self._default_model(dialect)
        known = self._meant.get((id(caller), named))
        if known is not None:
            return known[1]
        model = self.checked(caller, _resolve_alias(caller, named), family)
        size = _CALLER_BYTES + _CHARACTER_BYTES * len(named)
        self._meant.put((id(caller), named), (caller, model), size)
        return model

    def checked(self, caller: Caller, name: str, family: Family) -> str:
        """Return the public name of a model that the caller may use.

        Raises Refused if there is no such model or the caller may not use it.
        """
        model = self._catalog.model(name)
        if model is None:
            if is_probe(name) and name in caller.models.key:
                if name == LATE_PROBE_MODEL:
                    raise Late(refusals.refusal(family, 404, "invalid_request_error", _LATE))
                return name
            message = (
                f"The model {cut(name)!r} does not exist. GET /v1/models lists those that you may"
                " use."
            )
            raise Refused(
                refusals.refusal(
                    family,
                    404,
                    "invalid_request_error",
                    message,
                    param="model",
                    code="model_not_found",
                )
            )
        if (owner := caller.models.refused_by(model)) is not None:
            whose = f"{owner} {cut(name_of_kind(caller, owner))}".strip()
            message = (
                f"The {whose} is not allowed to use the model {cut(name)!r}. GET /v1/models lists"
                " those that you may use."
            )
            code = f"{owner}_model_access_denied"
            raise Refused(
                refusals.refusal(family, 403, "permission_error", message, param="model", code=code)
            )
        return model.name

    def find_deployment(
        self, name: str, endpoint: Endpoint | None, reservation_id: str
    ) -> Deployment:
        """Return a deployment of a model that serves an endpoint, drawn by the reservation's id.

        Raises BadRequest if none does.
        """
        serving = self._serving(name, endpoint)
        deployment = serving.only or serving.draw(_draw(reservation_id))
        if self._cools is not None and self._cools(deployment.id):
            others = self.find_others(deployment, endpoint, reservation_id)
            return next((each for each in others if not self.cools(each)), deployment)
        return deployment

    def _serving(self, name: str, endpoint: Endpoint | None) -> Serving:
        """Return the deployments of a model that serve an endpoint: those on its own wire, or else
        those on the one instead. Raises BadRequest if none does.
        """
        wire, instead = (None, None) if endpoint is None else (endpoint.wire, endpoint.instead)
        known = self._servings.get((name, wire, instead))
        if known is not None:
            return known
        for each in (wire,) if instead is None else (wire, instead):
            serving = self._catalog.find_serving(name, each)
            if serving.deployments:
                size = _SERVED_BYTES * len(serving.deployments) + _CHARACTER_BYTES * len(name)
                self._servings.put((name, wire, instead), serving, size)
                return serving
        spoken = {each for other in self._catalog.deployments(name) for each in wires_of(other)}
        paths = ", ".join(paths_of(each) for each in Wire if each in spoken)
        raise BadRequest(
            f"The model {name!r} is not served here; call it at {paths}.", param="model"
        )

    def cools(self, deployment: Deployment) -> bool:
        """Return whether a deployment should get no calls now."""
        return self._cools is not None and self._cools(deployment.id)

    def find_others(
        self, chosen: Deployment, endpoint: Endpoint | None, reservation_id: str
    ) -> list[Deployment]:
        """Return the model's other deployments that serve an endpoint, in the order in which they
        are tried. Those that cool down come last.
        """
        serving = self._serving(chosen.model_name, endpoint)
        return sorted(serving.others(_draw(reservation_id), chosen.id), key=self.cools)

    def find_fallbacks(self, name: str) -> tuple[str, ...]:
        """Return the models that serve in place of one without a deployment that takes calls."""
        return self._fallbacks.get(name) or self._fallbacks.get("*", ())

    def find_longer(self, name: str) -> tuple[str, ...]:
        """Return the models that serve prompts that are too long for one."""
        return self._context_fallbacks.get(name) or self._context_fallbacks.get("*", ())

    def limits_upstream(self, deployment: Deployment) -> bool:
        """Return whether the deployment or its provider has limits."""
        return deployment.id in self._policy.upstreams

    def find_price(self, deployment: Deployment, caller: Caller, dialect: Dialect) -> Price | None:
        """Return the price of a deployment; None if its calls cost nothing.

        Raises BadRequest if it has none for calls of this API and a budget applies.
        """
        price = self._catalog.price(deployment.id, deployment.model_name)
        if price is not None and price.by_picture and dialect.measures is not Measure.PICTURES:
            if self._unpriced == "refuse" and self._policy.has_budget(
                caller, deployment.model_name
            ):
                raise BadRequest(
                    f"The model {deployment.model_name!r} is priced by the picture, and replies of"
                    " this path do not tell how many they hold: a budget applies. Call it at a path"
                    " for pictures, or give its deployment output_cost_per_token.",
                    param="model",
                )
            price = None
        if price is not None or self._unpriced == "free":
            return price
        if self._unpriced == "default_price":
            return self._default_price
        if self._policy.has_budget(caller, deployment.model_name):
            raise BadRequest(
                f"The model {deployment.model_name!r} has no price, and a budget applies. Give its"
                " deployment input_cost_per_token and output_cost_per_token, or"
                " output_cost_per_image if it draws, or set tollgate.unpriced_models.",
                param="model",
            )
        return None

    def _default_model(self, dialect: Dialect) -> str:
        """Return the model of a request that names none.

        Raises BadRequest if there is no default.
        """
        if dialect.default_model is None or self._catalog.model(dialect.default_model) is None:
            message = "The field 'model' is missing; name one of the models that /v1/models lists."
            raise BadRequest(message, param="model")
        return dialect.default_model


def _draw(reservation_id: str) -> int:
    return int(reservation_id[-8:], 16)


def _resolve_alias(caller: Caller, model: str) -> str:
    """Return the model that a name stands for with this key or team."""
    for entity in (caller.key, caller.team):
        for alias, actual in entity.model_aliases if entity is not None else ():
            if alias == model:
                return actual
    return model
