"""Fit requests into strict limits: hold the worst case, with an output limit that lets it fit.

The store decides about each attempt; where its answer shows that less output would fit, the next
attempt asks for that. A request with room for its worst case is asked once, as it came.
"""

from __future__ import annotations

from msgspec import Struct, structs

from tollgate.admission.estimating import Estimator, WorstCases
from tollgate.admission.holding import Held, Holding
from tollgate.admission.planning import Question, ServicePlan
from tollgate.core.calls.decision import Edit
from tollgate.core.calls.reservation import Reservation
from tollgate.core.limits.accounts import (
    Accounts,
    Quota,
    Standing,
    accounts_bytes,
    untouched,
)
from tollgate.core.limits.algorithms import algorithm_of
from tollgate.core.memo import Memo
from tollgate.core.requests.output_limit import find_place, least_output, limit_output

MOST_TRIES = 4
"""Attempts of one request: others may take room between them."""
_GUESSED_SHARE = 4


class _Room(Struct, frozen=True):
    """A strict limit, and what of it can be held."""

    quota: Quota
    left: int


_is_strict: Memo[Accounts, bool] = Memo(
    lambda accounts: any(
        quota.enforcement.holds_worst_case for each in accounts for quota in each.limits
    ),
    accounts_bytes,
)


def meets_strict(accounts: Accounts) -> bool:
    """Whether a limit among them is strict."""
    return _is_strict.get(accounts)


class StrictFit:
    """Holds requests that strict limits apply to.

    `default_output_tokens`: what a request without an output limit gets at least, if it fits.
    """

    def __init__(self, estimator: Estimator, holding: Holding, default_output_tokens: int) -> None:
        self._estimator = estimator
        self._holding = holding
        self._default_output_tokens = default_output_tokens

    async def hold(self, question: Question, plan: ServicePlan) -> tuple[ServicePlan, Held]:
        """Hold the worst case of a request, or nothing.

        Returns the plan with the output limit that fits. Raises StoreUnavailable.
        """
        worst = self._estimator.worst_cases(
            question.facts, question.dialect, plan.deployment, plan.estimate, plan.price
        )
        place = find_place(question.dialect.api, plan.deployment.provider, question.facts)
        limitable = question.dialect.has_output and (
            question.facts.max_output_tokens is not None or place is not None
        )
        least = min(least_output(question.raw, question.facts), worst.most_output_tokens)
        tokens = worst.most_output_tokens
        if limitable:
            tokens = max(least, self._first(worst, plan.reservation))
        reservation = _at(plan.reservation, worst, tokens)
        held = await self._holding.hold(reservation, question.left, last=plan.last)
        for _ in range(MOST_TRIES - 1):
            if held.standing.refused is None or not limitable or not _by_strict(held):
                break
            fitting = _fitting(worst, _rooms(held.reservation.accounts, held.standing))
            if fitting < least or fitting >= tokens:
                break
            tokens = fitting
            # What limits in shadow mode said of the first attempt, they say of this one too.
            reservation = _at(plan.reservation, worst, tokens)
            held = await self._holding.hold(reservation, question.left, last=plan.last)
        if tokens == worst.most_output_tokens:
            return plan, held
        edits = limit_output(question.raw, question.facts, question.dialect.places, tokens, place)
        return _edited(plan, edits), held

    def _first(self, worst: WorstCases, reservation: Reservation) -> int:
        """Return the output limit of the first attempt: what fits untouched limits.

        A request that names none takes a quarter of them, or else one would be served at a time.
        """
        accounts = reservation.accounts
        balances = tuple(untouched(each) for each in accounts)
        rooms = _rooms(accounts, Standing(reservation.admitted_us, balances))
        tokens = _fitting(worst, rooms)
        if not reservation.guessed:
            return tokens
        quarter = _fitting(
            worst, [structs.replace(each, left=each.left // _GUESSED_SHARE) for each in rooms]
        )
        return min(tokens, max(quarter, self._default_output_tokens))


def _at(reservation: Reservation, worst: WorstCases, tokens: int) -> Reservation:
    """Return the reservation with an output limit for each choice."""
    case = worst.at(tokens)
    return structs.replace(
        reservation,
        worst=case,
        output_tokens=min(reservation.output_tokens, case.output_tokens),
        cost_nanousd=min(reservation.cost_nanousd, case.cost_nanousd),
    )


def _by_strict(held: Held) -> bool:
    standing = held.standing
    assert standing.refused is not None
    assert standing.by is not None
    quota = held.reservation.accounts[standing.refused].limits[standing.by]
    return quota.enforcement.holds_worst_case


def _rooms(accounts: Accounts, standing: Standing) -> list[_Room]:
    """Return the strict limits and what of each is left."""
    return [
        _Room(quota, algorithm_of(quota).remaining(quota, used, held))
        for account, balance in zip(accounts, standing.balances, strict=False)
        for quota, used, held in zip(account.limits, balance.used, balance.held, strict=True)
        if quota.enforcement.holds_worst_case
    ]


def _fitting(worst: WorstCases, rooms: list[_Room]) -> int:
    """Return the highest output limit of a choice at which the worst case fits; -1: none."""

    def fits(tokens: int) -> bool:
        case = Reservation("", "", (), 0, "", "", "", 0, 0, worst=worst.at(tokens))
        return all(case.asked(each.quota) <= each.left for each in rooms)

    low, high = -1, worst.most_output_tokens
    if fits(high):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low


def _edited(plan: ServicePlan, edits: tuple[Edit, ...]) -> ServicePlan:
    unmetered = plan.unmetered
    ordered = tuple(sorted((*unmetered.edits, *edits), key=lambda each: each.offset))
    return structs.replace(plan, unmetered=structs.replace(unmetered, edits=ordered))
