"""Count what teams, keys and other scopes use, as metrics whose labels are bounded.

A settlement adds to sums by id. They are published in the background, where ids become names. A
name without a label of its own is counted as `other`, so a metric has no more series than the
setting allows, whatever callers and administrators do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable

from prometheus_client import Counter

from tollgate import telemetry
from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.errors import StoreUnavailable
from tollgate.counting import OTHER, labelled
from tollgate.reporting.measuring.scope_labels import LabelBook, ScopeId, ScopeNames

_NANOUSD_PER_USD = 1_000_000_000

_REQUESTS = Counter("tollgate_scope_requests", "Settled requests of a scope", ["scope", "name"])
_REFUSED = Counter("tollgate_scope_refused", "Refused requests of a scope", ["scope", "name"])
_TOKENS = Counter(
    "tollgate_scope_tokens",
    "Tokens of settled requests of a scope",
    ["scope", "name", "direction"],
)
_DOLLARS = Counter(
    "tollgate_scope_dollars", "Dollars of settled requests of a scope", ["scope", "name"]
)


class _Sums:
    """What a scope used since the last publication."""

    __slots__ = ("input_tokens", "nanousd", "output_tokens", "refused", "requests")

    def __init__(self) -> None:
        self.requests = self.refused = 0
        self.input_tokens = self.output_tokens = self.nanousd = 0

    def publish(self, kind: str, name: str) -> None:
        """Add the sums to the metrics."""
        if self.requests:
            labelled(_REQUESTS, kind, name).inc(self.requests)
            labelled(_TOKENS, kind, name, "input").inc(self.input_tokens)
            labelled(_TOKENS, kind, name, "output").inc(self.output_tokens)
            labelled(_DOLLARS, kind, name).inc(self.nanousd / _NANOUSD_PER_USD)
        if self.refused:
            labelled(_REFUSED, kind, name).inc(self.refused)


class ScopeCounts:
    """Sums by scope, of the kinds that the configuration names, until they are published."""

    def __init__(self, names: ScopeNames, book: LabelBook, kinds: Collection[str]) -> None:
        self._names = names
        self._book = book
        self._kinds = frozenset(kinds)
        self._sums: dict[ScopeId, _Sums] = {}
        self._noted = asyncio.Event()

    def settled(self, reservation: Reservation, settlement: Settlement) -> None:
        """Count a settled call."""
        usage = settlement.usage
        for account in reservation.accounts:
            scope = account.scope
            if scope.kind in self._kinds and scope.model is None:
                sums = self._of((scope.kind, scope.id))
                sums.requests += 1
                sums.input_tokens += usage.input_tokens
                sums.output_tokens += usage.output_tokens
                sums.nanousd += settlement.cost_nanousd

    def refused(self, payers: Iterable[str]) -> None:
        """Count a refused call of scopes, each as `kind:id`."""
        for payer in payers:
            kind, _, identity = payer.partition(":")
            if kind in self._kinds:
                self._of((kind, identity)).refused += 1

    async def keep_published(self) -> None:
        """Publish forever what is counted. An idle process is not woken."""
        while True:
            await self._noted.wait()
            await asyncio.sleep(telemetry.PUBLISHED_AFTER_S)
            self._noted.clear()
            try:
                await self.publish()
            except StoreUnavailable as error:
                telemetry.store_failed("labels", error)

    async def publish(self) -> None:
        """Publish what was counted. Raises StoreUnavailable; then it is published later."""
        names = await self._names.find(tuple(self._sums))
        sums, self._sums = self._sums, {}
        for scope, each in sums.items():
            # A call that came while names were looked up has the next turn.
            if (name := names.get(scope)) is None:
                self._sums[scope] = each
                self._noted.set()
                continue
            own = self._book.claim(scope[0], name)
            each.publish(scope[0], name if own else OTHER)

    def _of(self, scope: ScopeId) -> _Sums:
        self._noted.set()
        sums = self._sums.get(scope)
        if sums is None:
            sums = self._sums[scope] = _Sums()
        return sums
