"""Refuse, before the body is read, callers whom no body could get admitted.

The head tells who asks, and so every scope except those of a customer and of a model. A spent
caller's body of megabytes then costs as little as a short one.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from tollgate import telemetry
from tollgate.admission.asking.callers import Callers, Refused
from tollgate.core.answers import refusals
from tollgate.core.answers.headers import StandingHeaders
from tollgate.core.answers.wording import Preset
from tollgate.core.callers.customer_ids import customer_of_headers
from tollgate.core.callers.rules import Caller, KnownAccounts
from tollgate.core.calls.decision import Refusal
from tollgate.core.calls.reservation import Reservation
from tollgate.core.entities import Key
from tollgate.core.errors import StoreUnavailable
from tollgate.core.limits.accounts import Accounts, Standing, accounts_bytes
from tollgate.core.limits.known_refusals import (
    KnownRefusals,
    find_exhausted,
    find_forbidding,
)
from tollgate.core.memo import Memo
from tollgate.core.requests.catalog import Catalog
from tollgate.core.requests.dialects import Dialect
from tollgate.ports import Clock, Counters

# No model has this name, so no limit for a single model applies.
_NO_MODEL = ""


class Asker(Struct, frozen=True):
    """The caller as far as known without a body, and the accounts that any of its calls is charged
    to.
    """

    caller: Caller
    accounts: Accounts


class EarlyRefusals:
    """Finds the caller and refuses those whom nothing can admit.

    `free_unpriced`: a model without a price is free. `ietf`: also send RateLimit headers.
    `customer_headers`: those that name customers.
    """

    def __init__(
        self,
        callers: Callers,
        counters: Counters,
        catalog: Catalog,
        accounts: KnownAccounts,
        clock: Clock,
        preset: Preset,
        *,
        free_unpriced: bool,
        ietf: bool,
        customer_headers: tuple[str, ...],
    ) -> None:
        self._callers = callers
        self._counters = counters
        self._catalog = catalog
        self._accounts = accounts
        self._clock = clock
        self._preset = preset
        self._free_unpriced = free_unpriced
        self._headers = StandingHeaders(ietf=ietf)
        self._customer_headers = customer_headers
        self._known = KnownRefusals()
        self._forbidding = Memo(find_forbidding, accounts_bytes)

    async def find(
        self,
        key: Key | None,
        headers: Mapping[str, str],
        dialect: Dialect,
        verified_customer: str | None = None,
    ) -> Asker:
        """Return the caller. A verified customer comes before one that the client names.

        Raises Refused if an entity is blocked, or a limit is known to refuse every call.
        """
        customer_id = verified_customer or customer_of_headers(headers, self._customer_headers)
        caller = await self._callers.find(key, customer_id, dialect.family)
        now_us = self._clock.now_us()
        accounts = self._accounts.find(
            caller,
            _NO_MODEL,
            now_us,
            tokens=not dialect.free,
            money=not dialect.free
            and self._catalog.every_call_costs(free_unpriced=self._free_unpriced),
        )
        if accounts[0].limits:
            standing = self._known.find(accounts, now_us)
            if standing is None and self._forbidding.get(accounts) is not None:
                standing = await self._find_forbidden(caller, accounts, now_us)
            if standing is not None:
                raise Refused(self._refusal(caller, accounts, standing, dialect, now_us))
        return Asker(caller, accounts)

    def note(self, asker: Asker, reservation: Reservation, standing: Standing) -> None:
        """Remember the store's refusal of a request if it would refuse every other one of the
        caller.
        """
        self._known.note_part(
            asker.accounts, reservation.accounts, standing, reservation.admitted_us
        )

    async def learn(self, asker: Asker) -> None:
        """Ask the store whether a limit refuses every call of the caller, and remember it.

        For callers whose bodies are refused before any limit is looked at: otherwise nobody would
        ever know that their next body need not be read.
        """
        limited = tuple(each for each in asker.accounts if each.limited)
        if not limited or limited != asker.accounts[: len(limited)]:
            return
        now_us = self._clock.now_us()
        organization = asker.caller.place
        try:
            told = await self._counters.peek(organization, limited)
        except StoreUnavailable as error:
            telemetry.store_failed("admit", error)
            return
        if (refusal := find_exhausted(limited, told, now_us)) is not None:
            self._known.note(asker.accounts, refusal, now_us)

    async def _find_forbidden(
        self, caller: Caller, accounts: Accounts, now_us: int
    ) -> Standing | None:
        """Return the refusal by a limit of 0, if there is one.

        The refusal is certain; the store is asked only for the remaining limits in its headers.
        """
        forbidding = self._forbidding.get(accounts)
        if forbidding is None:
            return None
        limited = tuple(each for each in accounts if each.limited)
        try:
            told = await self._counters.peek(caller.place, limited)
        except StoreUnavailable as error:
            # The outage policy is applied when the whole request is decided.
            telemetry.store_failed("admit", error)
            return None
        standing = Standing(told.now_us, told.balances, *forbidding)
        self._known.note(accounts, standing, now_us)
        return standing

    def _refusal(
        self, caller: Caller, accounts: Accounts, standing: Standing, dialect: Dialect, now_us: int
    ) -> Refusal:
        organization = caller.place
        asked = Reservation("", organization, accounts, now_us, dialect.api, _NO_MODEL, "", 0, 0)
        headers = self._headers.find(accounts, standing, dialect.family, _NO_MODEL)
        return refusals.over_limit(self._preset, dialect.family, caller, asked, standing, headers)
