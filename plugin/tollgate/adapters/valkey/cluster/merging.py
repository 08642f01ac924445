"""Make one answer of what several places of a cluster say of one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, structs

from tollgate.adapters.valkey.cluster.placement import PlacePart
from tollgate.adapters.valkey.counters.batches import Answer
from tollgate.core.calls.reservation import Reservation
from tollgate.core.limits.accounts import (
    Account,
    Balance,
    HoldGroup,
    Standing,
    untouched,
)
from tollgate.core.limits.algorithms import algorithm_of


class RefusedAt(Struct, frozen=True):
    """Which account refused, and which of its limits; `only_held` as in Standing."""

    account: int
    limit: int
    only_held: bool


def bounded(
    part: PlacePart, estimates: Sequence[int], held: Mapping[PlacePart, Answer]
) -> list[int]:
    """Return estimates of which nothing is more than the tightest limit elsewhere has unspent.

    Or else a caller with a cent to spend would lock a budget that all share. What is held of a
    bucket is computed anew when it is settled, so it stays as estimated.
    """
    found = list(estimates)
    refilled = {each.meter for account in part.keyed.accounts for each in account.limits
                if each.seconds}  # fmt: skip
    for place, counted in enumerate(part.keyed.counted):
        whole = counted.group.worst_case or counted.group.meter in refilled
        unspent = [] if whole else list(_unspent(counted.group, held))
        if unspent:
            firm = min(found[2 * place], *unspent)
            found[2 * place : 2 * place + 2] = (
                firm,
                min(found[2 * place + 1], min(unspent) - firm),
            )
    return found


def _unspent(group: HoldGroup, held: Mapping[PlacePart, Answer]) -> Sequence[int]:
    """Return what limits of a group with periods have not spent."""
    return [
        max(1, quota.amount - used)
        for part, answer in held.items()
        for account, balance in zip(part.keyed.accounts, answer.standing.balances, strict=True)
        for quota, used in zip(account.limits, balance.used, strict=True)
        if quota.hold_group == group and not (quota.seconds or quota.counts_on)
    ]


def first_refusal(
    found: Mapping[PlacePart, Answer | None], refused: PlacePart, reservation: Reservation
) -> RefusedAt:
    """Return the first account that refuses, in the order in which a refusal names them.

    `refused`: the part that said so. Others were peeked at, or gave back what they held.
    """
    refusals = []
    for part, answer in found.items():
        assert answer is not None
        if part is refused:
            refusals.append(
                RefusedAt(part.numbers[answer.refused - 1], abs(answer.limit) - 1, answer.limit < 0)
            )
        else:
            balances = answer.standing.balances
            for number, account, balance in zip(
                part.numbers, part.keyed.accounts, balances, strict=True
            ):
                refusals += _refusals(number, account, balance, reservation)
    return min(refusals, key=lambda each: (each.account, each.limit))


def _refusals(
    number: int, account: Account, balance: Balance, reservation: Reservation
) -> list[RefusedAt]:
    found = []
    levels = zip(account.limits, balance.used, balance.held, strict=True)
    for place, (quota, used, held) in enumerate(levels):
        asked = reservation.asked(quota)
        if not algorithm_of(quota).fits(quota, used, held, asked):
            only_held = algorithm_of(quota).fits_settled(quota, used, held, asked)
            found.append(RefusedAt(number, place, only_held))
    return found


def merged(found: Mapping[PlacePart, Answer | None], refusal: RefusedAt | None = None) -> Standing:
    """Return where all accounts of a call stand; one that is not known as if untouched."""
    balances: dict[int, Balance] = {}
    now_us = 0
    for part, answer in found.items():
        if answer is None:
            known: Sequence[Balance] = [untouched(each) for each in part.keyed.accounts]
        else:
            standing = answer.standing
            now_us, known = max(now_us, standing.now_us), standing.balances
        balances |= dict(zip(part.numbers, known, strict=True))
    whole = Standing(now_us, tuple(balances[number] for number in sorted(balances)))
    if refusal is None:
        return whole
    return structs.replace(
        whole, refused=refusal.account, by=refusal.limit, only_held=refusal.only_held
    )
