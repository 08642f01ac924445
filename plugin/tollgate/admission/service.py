"""Find who serves a request, and hold what it may use there.

The deployment that is chosen first serves, unless a limit of that deployment or of its provider
refuses. Then the model's other deployments are asked in turn, and after them its fallbacks. Each
attempt is a decision of its own: with the price of what it asks, and subject to every limit of the
caller. A call of a deployment without limits costs one attempt.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from math import inf

from msgspec import structs

from tollgate.admission.asking.callers import Callers, Refused
from tollgate.admission.holding import Held, Holding, refused_upstream
from tollgate.admission.model_choice import ModelChoice
from tollgate.admission.planning import Planner, Question, ServicePlan
from tollgate.admission.strict import StrictFit, meets_strict
from tollgate.core.errors import BadRequest
from tollgate.core.limits.algorithms import algorithm_of
from tollgate.core.models.deployment import Deployment

MOST_MODELS = 6
"""Models that one request may be decided for: LiteLLM tries five fallbacks too."""


class Service:
    """Plans requests and holds what they may use."""

    def __init__(
        self,
        choice: ModelChoice,
        planner: Planner,
        holding: Holding,
        strict: StrictFit,
        callers: Callers,
        new_id: Callable[[], str],
    ) -> None:
        self._choice = choice
        self._planner = planner
        self._holding = holding
        self._strict = strict
        self._callers = callers
        self._new_id = new_id

    async def plan(self, question: Question, model: str) -> ServicePlan:
        """Return the plan to serve a request by a model; by one that takes longer prompts where
        this one is too long for it, and by one of its fallbacks while all its deployments cool
        down.

        Without a fallback it is served all the same: a deployment that may fail is better than
        none. Raises BadRequest if the model cannot serve it, Refused if its client's credentials
        must not pass.
        """
        plan = await self._plan(question, model)
        if _is_too_long(plan):
            plan = await self._find_longer(question, model, plan)
        if not self._choice.cools(plan.deployment):
            return plan
        names = self._choice.find_fallbacks(plan.reservation.model)
        return await self._first_of(question, model, names, self._is_well) or plan

    async def _find_longer(self, question: Question, model: str, plan: ServicePlan) -> ServicePlan:
        """Return a plan that takes the prompt: at another deployment of the model, or else by one
        of the models that are named for long prompts.
        """
        others = self._choice.find_others(plan.deployment, question.endpoint, plan.reservation.id)
        for deployment in others:
            try:
                other = await self._plan_at(deployment, question, plan)
            except (Refused, BadRequest):
                continue
            if not _is_too_long(other):
                return other
        names = self._choice.find_longer(model)
        return await self._first_of(question, model, names, _takes_prompt) or plan

    async def _first_of(
        self,
        question: Question,
        model: str,
        names: Sequence[str],
        serves: Callable[[ServicePlan], bool],
    ) -> ServicePlan | None:
        """Return the plan of the first model that serves instead of the one asked for."""
        for name in names[: MOST_MODELS - 1]:
            try:
                checked = self._choice.checked(question.caller, name, question.family)
                other = _instead_of(model, await self._plan(question, checked))
            except (Refused, BadRequest):
                continue
            if serves(other):
                return other
        return None

    def _is_well(self, plan: ServicePlan) -> bool:
        return not self._choice.cools(plan.deployment)

    async def _plan(self, question: Question, model: str) -> ServicePlan:
        identity = self._new_id()
        deployment = self._choice.find_deployment(model, question.endpoint, identity)
        if deployment.pass_credentials:
            await self._callers.check_passed(question.headers, question.family)
        return self._planner.plan(deployment, question, model, identity)

    async def hold(self, question: Question, plan: ServicePlan) -> tuple[ServicePlan, Held]:
        """Hold what a request may use, of the model asked for or of one that stands in for it.

        What the model asked for was refused with stands if no other model can serve the request.
        Raises StoreUnavailable.
        """
        if self._choice.limits_upstream(plan.deployment):
            first, refused = await self._hold_at_any(question, plan)
        else:
            first, refused = await self._hold_at(question, plan)
        if refused.standing.refused is None:
            return first, refused
        return await self._hold_instead(question, first, refused)

    async def _hold_instead(
        self, question: Question, plan: ServicePlan, refused: Held
    ) -> tuple[ServicePlan, Held]:
        """Hold what a refused request may use of a model that stands in for the one asked for."""
        asked_for = plan.reservation.instead_of or plan.reservation.model
        tried, names = {asked_for, plan.reservation.model}, deque(self._stand_ins(plan, refused))
        while names and len(tried) < MOST_MODELS:
            name = names.popleft()
            if name in tried:
                continue
            tried.add(name)
            try:
                checked = self._choice.checked(question.caller, name, question.family)
                other = _instead_of(asked_for, await self._plan(question, checked))
            except (Refused, BadRequest):
                continue
            other, held = await self._hold_at_any(question, other)
            if held.standing.refused is None:
                return other, held
            names.extend(self._stand_ins(other, held))
        return plan, refused

    def _stand_ins(self, plan: ServicePlan, held: Held) -> Sequence[str]:
        """Return the models that may serve in place of one that a limit refused."""
        if held.instead is not None:
            return (held.instead,)
        if refused_upstream(held.reservation.accounts, held.standing):
            return self._choice.find_fallbacks(plan.reservation.model)
        return ()

    async def _hold_at_any(self, question: Question, plan: ServicePlan) -> tuple[ServicePlan, Held]:
        """Hold at a deployment, or at another one of the model where its limits refuse."""
        if not self._choice.limits_upstream(plan.deployment):
            return await self._hold_at(question, plan)
        others = self._choice.find_others(plan.deployment, question.endpoint, plan.reservation.id)
        plan, held = await self._hold_at(question, structs.replace(plan, last=not others))
        soonest = plan, held
        for number, deployment in enumerate(others, start=1):
            if not refused_upstream(held.reservation.accounts, held.standing):
                return plan, held
            try:
                plan = await self._plan_at(deployment, question, plan)
            except (Refused, BadRequest):
                continue
            last = number == len(others)
            plan, held = await self._hold_at(question, structs.replace(plan, last=last))
            if _wait_ms(held) < _wait_ms(soonest[1]):
                soonest = plan, held
        if refused_upstream(held.reservation.accounts, held.standing):
            return soonest
        return plan, held

    async def _plan_at(
        self, deployment: Deployment, question: Question, plan: ServicePlan
    ) -> ServicePlan:
        """Return the plan to serve a request at another deployment of the same model."""
        if deployment.pass_credentials:
            await self._callers.check_passed(question.headers, question.family)
        reservation = plan.reservation
        other = self._planner.plan(deployment, question, reservation.model, self._new_id())
        return _instead_of(reservation.instead_of, other)

    async def _hold_at(self, question: Question, plan: ServicePlan) -> tuple[ServicePlan, Held]:
        if meets_strict(plan.reservation.accounts):
            return await self._strict.hold(question, plan)
        return plan, await self._holding.hold(plan.reservation, question.left, last=plan.last)


def _is_too_long(plan: ServicePlan) -> bool:
    most = plan.deployment.max_input_tokens
    return most is not None and plan.estimate.input_tokens > most


def _takes_prompt(plan: ServicePlan) -> bool:
    return not _is_too_long(plan)


def _instead_of(model: str, plan: ServicePlan) -> ServicePlan:
    if not model:
        return plan
    reservation = structs.replace(plan.reservation, instead_of=model)
    return structs.replace(plan, reservation=reservation)


def _wait_ms(held: Held) -> float:
    """Return how long the limit that refused has no room, in milliseconds."""
    standing, reservation = held.standing, held.reservation
    if standing.refused is None or standing.by is None:
        return 0
    quota = reservation.accounts[standing.refused].limit(standing.by)
    used = standing.balances[standing.refused].used[standing.by]
    wait_ms = algorithm_of(quota).wait_ms(quota, used, reservation.asked(quota), standing.now_us)
    return inf if wait_ms is None else wait_ms
