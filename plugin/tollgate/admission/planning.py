"""Plan how a request would be served by a model: where it goes, what changes in it, and what has to
be held for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from tollgate.admission.estimating import Estimator
from tollgate.admission.model_choice import ModelChoice
from tollgate.core.callers.credentials import without_key
from tollgate.core.callers.rules import Caller, KnownAccounts
from tollgate.core.calls.decision import Admission, Edit
from tollgate.core.calls.reservation import Reservation
from tollgate.core.errors import BadRequest, cut
from tollgate.core.models.deployment import Deployment
from tollgate.core.models.stream_usage import STREAM_OPTIONS
from tollgate.core.money.pricing import Price
from tollgate.core.requests import body
from tollgate.core.requests.dialects import Dialect, Family
from tollgate.core.requests.endpoints import Endpoint
from tollgate.core.requests.estimate import NOTHING, Estimate
from tollgate.core.requests.upstream_path import (
    find_upstream_path,
    names_model_in_body,
    takes_endless,
)
from tollgate.ports import Clock

# Where a provider that routes among models takes further ones, which the caller may not be allowed
# to use: https://openrouter.ai/docs/guides/routing/model-fallbacks,
# https://vercel.com/docs/ai-gateway/models-and-providers/model-fallbacks,
# https://docs.litellm.ai/docs/proxy/reliability
_OTHER_MODELS = {
    "openrouter": "models",
    "vercel_ai_gateway": "providerOptions.gateway.models",
    "litellm_proxy": "fallbacks",
}


class Question(Struct, frozen=True):
    """A request as it was read. `raw` is its body after inflation, `coding` how it was coded.

    `left` tells whether the client has gone.
    """

    caller: Caller
    endpoint: Endpoint | None
    dialect: Dialect
    family: Family
    facts: body.Body
    raw: bytes
    path: str
    query: str
    coding: str
    stream_id: str
    headers: Mapping[str, str]
    left: Callable[[], bool]


class ServicePlan(Struct, frozen=True):
    """What to hold, and what the request may do then; `unmetered`: were nothing held for it.

    `estimate`, `price`: what the reservation was made of. `last`: no other deployment serves the
    call where limits of this one refuse it.
    """

    deployment: Deployment
    reservation: Reservation
    unmetered: Admission
    estimate: Estimate
    price: Price | None
    last: bool = True


class Planner:
    """Plans requests."""

    def __init__(
        self, choice: ModelChoice, estimator: Estimator, accounts: KnownAccounts, clock: Clock
    ) -> None:
        self._choice = choice
        self._estimator = estimator
        self._accounts = accounts
        self._clock = clock

    def plan(
        self, deployment: Deployment, question: Question, model: str, identity: str
    ) -> ServicePlan:
        """Return the plan to serve a request at a deployment of a model, under an id for its
        reservation. Raises BadRequest if the deployment cannot serve it.
        """
        caller, dialect, facts = question.caller, question.dialect, question.facts
        _check(question, deployment, model)
        estimate, price = NOTHING, None
        if not dialect.free:
            price = self._choice.find_price(deployment, caller, dialect)
            estimate = self._estimator.estimate(question.raw, facts, dialect, deployment, price)
        now_us = self._clock.now_us()
        stream = facts.stream or dialect.always_streams
        hide_usage = (
            dialect.asks_for_usage
            and stream
            and not facts.include_usage
            and deployment.stream_usage.asked
        )
        reservation = Reservation(
            id=identity,
            organization=caller.place,
            accounts=self._accounts.find(
                caller,
                model,
                now_us,
                tokens=not dialect.free,
                money=estimate.money,
                deployment=deployment.id,
            ),
            admitted_us=now_us,
            dialect=dialect.api,
            model=model,
            deployment=deployment.id,
            input_tokens=estimate.input_tokens,
            output_tokens=estimate.output_tokens,
            cost_nanousd=estimate.cost_nanousd,
            guessed=estimate.guessed,
            stream=stream,
            hide_usage=hide_usage,
            stream_id=question.stream_id,
            tools=estimate.tools,
            characters=estimate.characters,
            audio_seconds=estimate.audio_seconds,
            pictures=estimate.pictures,
            service_tier=estimate.service_tier,
        )
        unmetered = _unmetered(question, deployment, ask=hide_usage)
        return ServicePlan(deployment, reservation, unmetered, estimate, price)


def _check(question: Question, deployment: Deployment, model: str) -> None:
    """Raise BadRequest for a body that the deployment's provider cannot serve as it is limited."""
    facts = question.facts
    if facts.endless is not None and not takes_endless(question.dialect, deployment):
        raise BadRequest(
            f"The field {facts.endless!r} must be a whole number of at least 0: "
            f"the provider of the model {cut(model)!r} takes no negative one.",
            param=facts.endless,
        )
    place = _OTHER_MODELS.get(deployment.provider)
    if place is not None and body.is_set(question.raw, facts, place):
        raise BadRequest(
            f"The field {place!r} names other models than the one that is asked for, which "
            "this gateway does not let through.",
            param=place,
        )


def _unmetered(question: Question, deployment: Deployment, *, ask: bool) -> Admission:
    """Return what the request may do. `ask`: also ask for a stream's usage."""
    endpoint, path = question.endpoint, question.path
    edits = _edits(question.raw, question.facts, endpoint, deployment, ask=ask)
    upstream = None if endpoint is None else find_upstream_path(endpoint, path, deployment)
    if question.query and (target := without_key(upstream or path)) != path:
        upstream = target
    plain = question.raw if question.coding else b""
    place, key = question.facts.conversation, question.caller.key
    name = "" if key is None else key.alias or key.name
    return Admission(
        deployment.id,
        None,
        edits,
        (),
        upstream,
        question.coding,
        plain,
        place,
        name,
        as_json=question.facts.mistyped,
    )


def _edits(
    raw: bytes, facts: body.Body, endpoint: Endpoint | None, deployment: Deployment, *, ask: bool
) -> tuple[Edit, ...]:
    """Return the edits of the body for a deployment, in order of position.

    `ask`: also ask for a stream's usage.
    """
    edits: tuple[Edit, ...] = ()
    if facts.model != deployment.model and names_model_in_body(endpoint, deployment):
        edits = (body.rename_model(facts, deployment.model),)
    usage = deployment.stream_usage
    if ask:
        edits = (*edits, *body.include_usage(raw, facts, running=usage.running))
    elif usage.dropped and STREAM_OPTIONS in facts.spans:
        edits = (*edits, body.leave_out(raw, facts, STREAM_OPTIONS))
    return edits if len(edits) < 2 else tuple(sorted(edits, key=lambda each: each.offset))
