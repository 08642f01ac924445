"""Hold what a request may use, and do with a call that a limit does not fit what the limit says.

A limit in shadow mode lets it pass, and a throttled one lets a trickle pass. Each attempt is
decided by the store as a whole, so an attempt without one limit is subject to all others. A call
that every limit admits costs one attempt.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct, structs

from tollgate.admission.hold_waits import HoldWaits
from tollgate.core.calls.reservation import Reservation
from tollgate.core.errors import StoreSilent
from tollgate.core.limits.accounts import UPSTREAM, Accounts, Standing
from tollgate.core.limits.amended import AmendedAccounts
from tollgate.core.limits.known_refusals import KnownRefusals
from tollgate.core.limits.limit import named
from tollgate.core.limits.limit_parts import OtherParts


class Held(Struct, frozen=True):
    """What became of a request: what was held, if it was admitted, and the store's last answer.

    `instead`: the model that the limit which refused names in place of the one that was asked for.
    """

    reservation: Reservation
    standing: Standing
    instead: str | None = None


class Holding:
    """Holds reservations. `undo` frees what one may hold when the outcome is unknown."""

    def __init__(self, waits: HoldWaits, undo: Callable[[Reservation], None]) -> None:
        self._waits = waits
        self._undo = undo
        self._known = KnownRefusals()
        self._amended = AmendedAccounts()
        self._parts = OtherParts()

    async def hold(
        self, reservation: Reservation, left: Callable[[], bool], *, last: bool = True
    ) -> Held:
        """Hold what a call may use, or nothing. `left` tells whether the client has gone.

        `last`: no other deployment may serve the call; otherwise it does not wait for room in
        limits of its deployment. Raises StoreUnavailable.
        """
        standing = await self._ask_once(reservation, left)
        if standing.refused is None:
            return Held(reservation, standing)
        reservation, standing = await self._ask_further(reservation, standing, left, last=last)
        while standing.refused is not None and standing.by is not None:
            accounts = reservation.accounts
            quota = accounts[standing.refused].limits[standing.by]
            how = quota.enforcement
            if not (how.shadow or how.throttle_percent):
                return Held(reservation, standing, how.fallback_model)
            shadow = reservation.shadow
            if how.shadow:
                name = named(accounts[standing.refused].scope, quota)
                shadow = f"{shadow}, {name}" if shadow else name
            accounts = self._amended.without(accounts, standing.refused, standing.by)
            reservation = structs.replace(reservation, accounts=accounts, shadow=shadow)
            standing = await self._ask_once(reservation, left)
            reservation, standing = await self._ask_further(reservation, standing, left, last=last)
        return Held(reservation, standing)

    async def _ask_further(
        self, reservation: Reservation, standing: Standing, left: Callable[[], bool], *, last: bool
    ) -> tuple[Reservation, Standing]:
        """Return the last answer about what a call may use, and as what it was asked for.

        `standing`: the first answer. `last`: as in hold().
        """
        if standing.refused is None:
            return reservation, standing
        if reservation.accounts[standing.refused].parts > 1:
            reservation, standing = await self._ask_elsewhere(reservation, standing, left)
            if standing.refused is None:
                return reservation, standing
        if (
            (last or not refused_upstream(reservation.accounts, standing))
            and not _in_shadow(reservation, standing)
            and self._waits.patient(reservation, standing)
        ):
            try:
                standing = await self._waits.ask_again(reservation, standing, left)
            except StoreSilent:
                self._undo(reservation)
                raise
            self._known.note(reservation.accounts, standing, reservation.admitted_us)
        return reservation, standing

    async def _ask_once(self, reservation: Reservation, left: Callable[[], bool]) -> Standing:
        """Return the store's answer, or the refusal that it would be sure to give."""
        accounts, asked_us = reservation.accounts, reservation.admitted_us
        known = self._known.find(accounts, asked_us)
        if known is not None:
            return known
        try:
            standing = await self._waits.ask(reservation, left)
        except StoreSilent:
            # The store may have been asked in time to hold, though it did not answer.
            self._undo(reservation)
            raise
        if standing.refused is not None:
            self._known.note(accounts, standing, asked_us)
        return standing

    async def _ask_elsewhere(
        self, reservation: Reservation, refused: Standing, left: Callable[[], bool]
    ) -> tuple[Reservation, Standing]:
        """Ask the other parts of a limit that its own part refuses, one after the other.

        Returns the first answer that admits, or else the first that the end of a call in flight may
        change, or else the one that is there.
        """
        found = reservation, refused
        for accounts in self._parts.of(reservation.accounts, reservation.organization):
            asked = structs.replace(reservation, accounts=accounts)
            standing = await self._ask_once(asked, left)
            if standing.refused is None:
                return asked, standing
            if standing.only_held and not found[1].only_held:
                found = asked, standing
        return found


def refused_upstream(accounts: Accounts, standing: Standing) -> bool:
    """Return whether a limit of a deployment or a provider refused."""
    return standing.refused is not None and accounts[standing.refused].scope.kind in UPSTREAM


def _in_shadow(reservation: Reservation, standing: Standing) -> bool:
    assert standing.refused is not None
    assert standing.by is not None
    return reservation.accounts[standing.refused].limits[standing.by].enforcement.shadow
