"""The step of admission before a body is looked at: whoever is sure to be refused whatever it says
is refused now.

Of a request without its body there is known who asks, and so every scope but those of a customer
and of a model. A body of megabytes then costs what a short one does.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from tollgate import telemetry
from tollgate.admission.callers import Callers, Refused
from tollgate.core.answers import refusals
from tollgate.core.answers.headers import ietf_headers, standing_headers
from tollgate.core.answers.wording import Preset
from tollgate.core.callers.customer_ids import customer_of_headers
from tollgate.core.callers.rules import Caller, KnownAccounts
from tollgate.core.calls.decision import Refusal
from tollgate.core.calls.reservation import Reservation
from tollgate.core.entities import Key
from tollgate.core.errors import StoreUnavailable
from tollgate.core.limits.accounts import DEFAULT_ORGANIZATION, Accounts, Standing, accounts_bytes
from tollgate.core.limits.known_refusals import KnownRefusals, find_forbidding
from tollgate.core.memo import Memo
from tollgate.core.requests.catalog import Catalog
from tollgate.core.requests.dialects import Dialect
from tollgate.ports import Clock, Counters

# No model has this name, so no limit for a single model applies.
_NO_MODEL = ""


class Asker(Struct, frozen=True):
    """Who asks, as far as that is known without a body, and the accounts of theirs that any call is
    charged to.
    """

    caller: Caller
    accounts: Accounts


class EarlyRefusals:
    """Finds who asks, and refuses whom nothing can admit.

    `free_unpriced`: a model without a price costs nothing. `ietf`: RateLimit headers are told, too.
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
    ) -> None:
        self._callers = callers
        self._counters = counters
        self._catalog = catalog
        self._accounts = accounts
        self._clock = clock
        self._preset = preset
        self._free_unpriced = free_unpriced
        self._ietf = ietf
        self._known = KnownRefusals()
        self._forbidding = Memo(find_forbidding, accounts_bytes)

    async def find(self, key: Key | None, headers: Mapping[str, str], dialect: Dialect) -> Asker:
        """Who asks. Raises Refused where one of them is blocked, or a limit of theirs is known to
        refuse every call.
        """
        caller = await self._callers.find(key, customer_of_headers(headers), dialect.family)
        now_us = self._clock.now_us()
        accounts = self._accounts.find(
            caller,
            _NO_MODEL,
            now_us,
            tokens=not dialect.free,
            money=not dialect.free
            and self._catalog.every_call_costs(free_unpriced=self._free_unpriced),
        )
        if accounts[0].limited:
            standing = self._known.find(accounts, now_us)
            if standing is None and self._forbidding.get(accounts) is not None:
                standing = await self._find_forbidden(caller, accounts, now_us)
            if standing is not None:
                raise Refused(self._refusal(caller, accounts, standing, dialect, now_us))
        return Asker(caller, accounts)

    def note(self, asker: Asker, reservation: Reservation, standing: Standing) -> None:
        """Remember the store's refusal of a whole request, if it would refuse every other one of
        who asks.
        """
        self._known.note_part(
            asker.accounts, reservation.accounts, standing, reservation.admitted_us
        )

    async def _find_forbidden(
        self, caller: Caller, accounts: Accounts, now_us: int
    ) -> Standing | None:
        """The refusal by a limit of 0, if there is one: the store need not be asked whether, but
        where all limits stand.
        """
        forbidding = self._forbidding.get(accounts)
        if forbidding is None:
            return None
        limited = tuple(each for each in accounts if each.limited)
        try:
            told = await self._counters.peek(caller.organization or DEFAULT_ORGANIZATION, limited)
        except StoreUnavailable as error:
            # What happens then is said where a whole request is refused or let pass.
            telemetry.store_failed("admit", error)
            return None
        standing = Standing(told.now_us, told.balances, *forbidding)
        self._known.note(accounts, standing, now_us)
        return standing

    def _refusal(
        self, caller: Caller, accounts: Accounts, standing: Standing, dialect: Dialect, now_us: int
    ) -> Refusal:
        organization = caller.organization or DEFAULT_ORGANIZATION
        asked = Reservation("", organization, accounts, now_us, dialect.api, _NO_MODEL, "", 0, 0)
        headers = standing_headers(accounts, standing, dialect.family, _NO_MODEL)
        if self._ietf:
            headers += ietf_headers(accounts, standing)
        return refusals.over_limit(self._preset, dialect.family, caller, asked, standing, headers)
