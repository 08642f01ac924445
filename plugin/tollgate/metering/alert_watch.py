"""Watch limits off the path of requests, and claim an alert for each threshold that is crossed.

A settlement only notes whose limits it has moved. Once a second the limits of those scopes are read
in one go and compared with their thresholds. Every worker of every replica does so; for each
threshold and period the store lets one of them claim the alert.

The store keeps the notes until they are looked at, so that others look at those of a process that
was killed.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable

import msgspec
from msgspec import structs

from tollgate import telemetry
from tollgate.background import Background
from tollgate.core.alerting.alert import Alert
from tollgate.core.alerting.crossings import Crossing, Thresholds, crossings, watched
from tollgate.core.callers.rules import Caller
from tollgate.core.callers.scope_names import scope_name
from tollgate.core.calls.reservation import Reservation
from tollgate.core.errors import StoreUnavailable
from tollgate.core.limits.accounts import Account, Scope, ScopeKind
from tollgate.core.limits.limit import shown_length
from tollgate.core.limits.limit_parts import expanded, folded, organization_in
from tollgate.metering.watched_scopes import AlertTerms, WatchedScopes
from tollgate.ports import Clock, Counters, Directory
from tollgate.ports.event_ports import AlertBook

LOOK_EVERY_S = 1.0
ABANDONED_S = 5.0
"""Age from which a note is taken for one of a process that no longer runs."""
_MOST_CLAIMED = 10_000

_Moved = tuple[str, Scope, str]
"""The place of a call, a scope that it was charged to, and of a session the id of its key."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[str, str, Scope, str]).decode


class AlertWatch:
    """The scopes that settlements have moved, until they are looked at."""

    def __init__(
        self,
        directory: Directory,
        counters: Counters,
        book: AlertBook,
        clock: Clock,
        terms: AlertTerms,
        new_id: Callable[[], str],
    ) -> None:
        self._counters = counters
        self._book = book
        self._clock = clock
        self._scopes = WatchedScopes(directory, terms)
        self._new_id = new_id
        self._claimed: dict[str, int] = {}
        self._moved: set[_Moved] = set()
        self._noted = asyncio.Event()
        # Notes of two processes are apart, or else one would remove what the other has still to do.
        self._name = new_id()
        self._noting = Background()

    def settled(self, reservation: Reservation, _: object = None) -> None:
        """Note whose limits a settlement has moved, whatever it is."""
        place, scopes = reservation.organization, [each.scope for each in reservation.accounts]
        key_id = next((each.id for each in scopes if each.kind == ScopeKind.KEY), "")
        moved = {(place, each, key_id if each.kind == ScopeKind.SESSION else "") for each in scopes}
        if new := moved - self._moved:
            self._moved |= new
            self._noting.start(self._note(new))
            self._noted.set()

    def reconfigure(self, terms: AlertTerms) -> None:
        """Watch by these from now on."""
        self._scopes.terms = terms

    async def keep_watching(self) -> None:
        """Look forever: once a second at most where something was moved, and every few seconds
        after others.
        """
        now_s, others_at_s = asyncio.get_running_loop().time, 0.0
        while True:
            if now_s() >= others_at_s:
                await self.look_after_others()
                others_at_s = now_s() + ABANDONED_S
            try:
                await asyncio.wait_for(self._noted.wait(), others_at_s - now_s())
            except TimeoutError:
                continue
            await asyncio.sleep(LOOK_EVERY_S)
            self._noted.clear()
            await self.look()

    async def look(self) -> None:
        """Look at the scopes that were moved, and claim what they have crossed.

        While the store is down they stay noted.
        """
        moved, self._moved = self._moved, set()
        if not moved:
            return
        try:
            await self._look(moved)
            # What was moved again meanwhile is noted still.
            if done := moved - self._moved:
                await self._book.remove(map(self._written, done))
        except StoreUnavailable as error:
            telemetry.store_failed("alerts", error)
            self._moved |= moved

    async def look_after_others(self) -> None:
        """Look at what processes that were killed have noted and left."""
        before_us = self._clock.now_us() - int(ABANDONED_S * 1_000_000)
        try:
            while notes := await self._book.abandoned(before_us):
                moved = {_decode(each)[1:] for each in notes}
                await self._look(moved)
                await self._book.remove(notes)
        except StoreUnavailable as error:
            telemetry.store_failed("alerts", error)

    async def drain(self) -> None:
        """Wait until the store has every note."""
        await self._noting.drain()

    async def _note(self, moved: set[_Moved]) -> None:
        try:
            await self._book.note(map(self._written, moved), self._clock.now_us())
        except StoreUnavailable as error:
            telemetry.store_failed("alerts", error)

    def _written(self, moved: _Moved) -> str:
        return _encode((self._name, *moved)).decode()

    async def _look(self, moved: set[_Moved]) -> None:
        now_us = self._clock.now_us()
        by_place: defaultdict[str, list[tuple[Account, Thresholds, Caller]]] = defaultdict(list)
        terms = self._scopes.terms
        for place, scope, key_id in moved:
            if (found := await self._scopes.find(scope, key_id)) is None:
                continue
            quotas = found.limits.in_force(now_us, tokens=True, money=True)
            account = Account(scope, quotas, found.limits.spend_period(now_us))
            if scope.kind == ScopeKind.ORGANIZATION and (split := found.caller.organization):
                # What is told of it is told of all its parts together.
                account = structs.replace(
                    account, scope=structs.replace(scope, home=None), parts=split.shards
                )
                place = split.place
            told = watched(
                found.limits,
                account,
                found.soft_budget_nanousd,
                terms.budgets_at,
                projected=terms.projected,
            )
            if told.anything:
                by_place[place].append((account, told, found.caller))
        for place, several in by_place.items():
            accounts = [account for account, _, _ in several]
            standing = await self._counters.peek(place, expanded(accounts, place))
            balances = folded(accounts, standing.balances)
            for (account, told, caller), balance in zip(several, balances, strict=True):
                for crossing in crossings(account, told, balance, standing.now_us):
                    alert = self._alert(account.scope, crossing, caller, place, standing.now_us)
                    await self._claim(crossing, alert)

    async def _claim(self, crossing: Crossing, alert: Alert) -> None:
        """Claim an alert, unless this process knows that it was claimed."""
        if self._claimed.get(crossing.mark, 0) > alert.at_us:
            return
        if await self._book.claim(crossing.mark, crossing.marked_s, alert):
            telemetry.alerted(alert.event.value, alert.scope)
        if len(self._claimed) >= _MOST_CLAIMED:
            self._claimed.clear()
        # A mark may have been set earlier, and go earlier, so it is asked for again by then.
        kept_s = crossing.marked_s if crossing.quota.period.end_us else 1
        self._claimed[crossing.mark] = alert.at_us + kept_s * 1_000_000

    def _alert(
        self, scope: Scope, crossing: Crossing, caller: Caller, place: str, now_us: int
    ) -> Alert:
        key, team, user = caller.key, caller.team, caller.user
        return Alert(
            id=self._new_id(),
            at_us=now_us,
            scope=scope.kind,
            scope_id=scope.id,
            scope_name=scope_name(caller, scope),
            meter=crossing.quota.meter.value,
            amount=crossing.amount,
            used=crossing.used,
            threshold_permille=crossing.permille,
            only_for=scope.model,
            window=shown_length(crossing.quota),
            resets_us=crossing.quota.period.end_us or None,
            key_alias=None if key is None else key.alias,
            user_id=None if user is None else user.id,
            user_email=None if user is None else user.email,
            team_id=None if team is None else team.id,
            team_alias=None if team is None else team.alias,
            organization_id=organization_in(place),
            projected=crossing.projected,
            exceeded_us=crossing.exceeded_us,
        )
