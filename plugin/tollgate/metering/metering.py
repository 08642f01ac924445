"""Settle calls: what was used, what it costs, and the end of the hold.

Reported usage is charged as reported. A call that never reached a provider, or whose reply reported
and showed nothing, costs nothing. Output that was shown but not reported is charged as seen, with
the estimated input; an expired lease is charged as held. Shown output is never free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence, Set
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from tollgate import telemetry
from tollgate.background import Background
from tollgate.core.answers.headers import COST, StandingHeaders, dollars
from tollgate.core.calls.bill import NO_BILL
from tollgate.core.calls.decision import Header
from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.calls.usage import NO_USAGE, Certainty, Usage
from tollgate.core.errors import StoreUnavailable
from tollgate.core.limits.accounts import MAX_EXACT, Standing
from tollgate.core.memo import Bounded
from tollgate.core.models.deployment import Deployment
from tollgate.core.models.output_limits import DEFAULT_CEILING, OutputLimits
from tollgate.core.models.served import is_other_model
from tollgate.core.money.billing import bill
from tollgate.core.money.pricing import Price
from tollgate.core.requests.catalog import Catalog
from tollgate.core.requests.dialects import family_of_api
from tollgate.core.requests.estimate import InputEstimates, Lacks
from tollgate.core.usage.reading import Reading
from tollgate.metering.measured_usage import drawn, measured, reports_any, with_tier
from tollgate.metering.unseen import OwnOutputs, UnseenOutput
from tollgate.ports import Counters

UNKNOWN_PROVIDER = "unknown"
"""Stands for the provider of a deployment that the configuration no longer has."""
_RETRY_AFTER_S = (0.1, 0.5, 2.0, 5.0)


class Ended(Struct, frozen=True):
    """A call that has ended: its usage, the status of its reply, and who reports it.

    - `hidden_tokens`: output that was reported but not shown; None if unknown.
    - `lacks`: what is missing from `usage`.
    - `most_shown_tokens`: the most that a reply of known length can have shown.
    - `unanswered`: the provider got the whole request, and its answer never came.
    """

    reservation: Reservation
    usage: Usage
    status: int
    by: str
    hidden_tokens: int | None = None
    lacks: Lacks = Lacks.NOTHING
    most_shown_tokens: int = 0
    unanswered: bool = False


class Metering:
    """Settles reservations.

    Every method is idempotent and may be called from any worker: the first settlement wins.
    """

    def __init__(
        self,
        counters: Counters,
        catalog: Catalog,
        default_price: Price | None,
        estimates: InputEstimates,
        *,
        ietf: bool = False,
        on_settled: Callable[[Reservation, Settlement], None] = lambda _, __: None,
        unseen: UnseenOutput | None = None,
        output_limits: OutputLimits | None = None,
    ) -> None:
        """Prepare to settle; `on_settled` is called for every call that this object settles.

        `unseen`: None if nothing is learned from other processes. `output_limits`: the most output
        of each model; None knows those of deployments alone.
        """
        self._counters = counters
        self._catalog = catalog
        self._default_price = default_price
        self._estimates = estimates
        self._headers = StandingHeaders(ietf=ietf)
        self._on_settled = [on_settled]
        self._unseen = unseen or UnseenOutput(OwnOutputs())
        self._output_limits = output_limits or OutputLimits()
        self._other_models: Bounded[tuple[str, str, str], bool] = Bounded(1024 * 1024)
        self._settling = Background()

    def also_on_settled(self, listener: Callable[[Reservation, Settlement], None]) -> None:
        """Call this too for every call that this object settles."""
        self._on_settled.append(listener)

    def reconfigure(
        self,
        catalog: Catalog,
        default_price: Price | None,
        unseen: UnseenOutput,
        output_limits: OutputLimits,
        *,
        ietf: bool,
    ) -> None:
        """Settle by these from now on. The catalog has to know the calls in flight."""
        self._catalog, self._default_price = catalog, default_price
        self._unseen, self._output_limits = unseen, output_limits
        self._headers = StandingHeaders(ietf=ietf)
        self._other_models = Bounded(1024 * 1024)

    async def settle(self, ended: Ended) -> tuple[Header, ...]:
        """Settle a call now, and return the headers that report where limits stand afterwards.

        Cancelling the caller does not cancel the settlement. Returns nothing if the call was
        settled before. While the store is down, returns only the cost and keeps trying.
        """
        reservation, settlement = ended.reservation, self.settlement(ended)
        cost = Header(COST, dollars(settlement.cost_nanousd))
        try:
            standing = await asyncio.shield(self._settling.start(self._settle(ended, settlement)))
        except StoreUnavailable as error:
            telemetry.store_failed("settle", error)
            self._settling.start(self._settle_until_done([ended]))
            return (cost,)
        if standing is None:
            return ()
        family = family_of_api(reservation.dialect)
        headers = self._headers.find(reservation.accounts, standing, family, reservation.model)
        return (*headers, cost)

    def settle_soon(self, reservation: Reservation, usage: Usage, status: int, by: str) -> None:
        """Settle a call in a task of its own."""
        self.settle_all_soon([Ended(reservation, usage, status, by)])

    def settle_all_soon(self, ended: Sequence[Ended]) -> None:
        """Settle several calls together, in a task of their own."""
        self._settling.start(self._settle_until_done(ended))

    def undo(self, reservation: Reservation) -> None:
        """Free what a reservation may hold after a decision whose outcome is unknown."""
        self.settle_soon(reservation, NO_USAGE, 0, "admission")

    def deployment(self, reservation: Reservation) -> Deployment | None:
        """Return the deployment of a call; None if the file no longer lists it."""
        return self._catalog.by_id.get(reservation.deployment)

    def most_output_tokens(self, reservation: Reservation) -> int:
        """Return the most output that a call's model can have written: of one choice, or what was
        held for several.
        """
        deployment = self._catalog.deployment(reservation.deployment, reservation.model)
        if deployment is None:
            return max(DEFAULT_CEILING, reservation.output_tokens)
        return max(self._output_limits.most(deployment), reservation.output_tokens)

    async def renew(self, reservation: Reservation) -> None:
        """Extend the lease of a running call."""
        try:
            await self._counters.renew(reservation)
            telemetry.renewed(reservation.model)
        except StoreUnavailable as error:
            telemetry.store_failed("renew", error)

    async def give_back(self, stream_ids: Set[str]) -> None:
        """Free the holds of requests whose client left before Envoy had our answer.

        They never reached a provider.
        """
        try:
            for organization in await self._counters.organizations():
                left = await self._counters.open(organization, stream_ids)
                self.settle_all_soon([Ended(each, NO_USAGE, 0, "access_log") for each in left])
        except StoreUnavailable as error:
            telemetry.store_failed("give_back", error)

    async def settle_expired(self) -> None:
        """Charge the holds of expired leases."""
        for organization in await self._counters.organizations():
            # Settled reservations are not returned again.
            while expired := await self._counters.expired(organization):
                held = [
                    Usage(each.input_tokens, each.output_tokens, certainty=Certainty.EXPIRED)
                    for each in expired
                ]
                ended = [
                    Ended(each, usage, 0, "lease")
                    for each, usage in zip(expired, held, strict=True)
                ]
                await self._settle_all(ended)
        await self._counters.settle_guests()

    async def drain(self) -> None:
        """Wait for running settlements."""
        await self._settling.drain()

    def settlement(self, ended: Ended) -> Settlement:
        """Return what a call costs, whose usage lacks nothing."""
        reservation = ended.reservation
        price = self._catalog.price(reservation.deployment, reservation.model)
        if price is None or (price.by_picture and reservation.pictures is None):
            price = self._default_price
        usage = measured(ended.usage, reservation, price)
        charged = NO_BILL
        if price is not None:
            find = self._catalog.price_of_model
            others = partial(find, ended.reservation.deployment) if usage.passes else None
            charged = bill(with_tier(usage, reservation), price, others, reservation.pictures)
        cost_nanousd, told = charged.cost_nanousd, False
        if usage.told_nanousd is not None and usage.certainty is not Certainty.NONE:
            told = self._catalog.trusts(ended.reservation.deployment)
            cost_nanousd = usage.told_nanousd if told else cost_nanousd
        cost_nanousd = min(cost_nanousd, MAX_EXACT)
        other = False
        if (named := usage.reply_model) is not None:
            asked = (reservation.deployment, reservation.model, named)
            known = self._other_models.get(asked)
            other = self._is_other(asked) if known is None else known
        return Settlement(
            usage,
            cost_nanousd,
            ended.status,
            ended.by,
            charged,
            told,
            other,
            ended.unanswered,
        )

    def _is_other(self, asked: tuple[str, str, str]) -> bool:
        """Return whether a reply names a model other than its deployment's.

        `asked`: the deployment, the model that was asked for, and the reply's. Azure's deployments
        are named by their owner, so they never count.
        """
        deployment_id, model, told = asked
        deployment = self._catalog.deployment(deployment_id, model)
        is_other = (
            deployment is not None
            and deployment.provider != "azure"
            and is_other_model(deployment.model, told)
        )
        self._other_models.put(asked, is_other, 400 + 4 * (len(told) + len(model)))
        return is_other

    async def _settle_until_done(self, ended: Sequence[Ended]) -> None:
        whole = [
            each if each.lacks is Lacks.NOTHING else await self._filled(each) for each in ended
        ]
        for pause_s in (*_RETRY_AFTER_S, None):
            try:
                await self._settle_all(whole)
                return
            except StoreUnavailable as error:
                if pause_s is None:
                    telemetry.settlements_postponed([each.reservation.id for each in ended], error)
                    return
                await asyncio.sleep(pause_s)

    async def _filled(self, ended: Ended) -> Ended:
        usage = await self._unseen.fill(
            ended.reservation, ended.usage, ended.lacks, ended.most_shown_tokens
        )
        return replace(ended, usage=usage)

    async def _settle(self, ended: Ended, settlement: Settlement) -> Standing | None:
        standing = await self._counters.settle(ended.reservation, settlement)
        if standing is not None:
            self._settled(ended, settlement)
        return standing

    async def _settle_all(self, ended: Sequence[Ended]) -> None:
        settlements = [self.settlement(each) for each in ended]
        calls = [
            (each.reservation, settlement)
            for each, settlement in zip(ended, settlements, strict=True)
        ]
        answers = await self._counters.settle_all(calls)
        for first_time, each, settlement in zip(answers, ended, settlements, strict=True):
            if first_time:
                self._settled(each, settlement)

    def _settled(self, ended: Ended, settlement: Settlement) -> None:
        reservation, usage = ended.reservation, settlement.usage
        for listener in self._on_settled:
            listener(reservation, settlement)
        if usage.certainty is Certainty.EXACT:
            self._estimates.learn(
                reservation.deployment,
                reservation.input_tokens,
                usage.input_tokens,
                tools=reservation.tools,
            )
            if ended.hidden_tokens is not None:
                self._unseen.learn(reservation.deployment, usage.output_tokens, ended.hidden_tokens)
        elif ended.lacks is Lacks.OUTPUT and usage.certainty is Certainty.ESTIMATED:
            telemetry.unseen(reservation.id)
        deployment = self._catalog.by_id.get(reservation.deployment)
        provider = UNKNOWN_PROVIDER if deployment is None else deployment.provider
        telemetry.settled(reservation, settlement, provider)
        if settlement.other_model:
            telemetry.other_model(reservation.model)
        if settlement.bill.unpriced:
            telemetry.unpriced(settlement.bill.unpriced)
        if usage.told_nanousd is not None and settlement.bill.source:
            table_nanousd = settlement.bill.cost_nanousd
            telemetry.told(provider, reservation.model, usage.told_nanousd, table_nanousd)


def used(
    reservation: Reservation,
    reading: Reading,
    status: int,
    *,
    complete: bool,
    most_output_tokens: Callable[[Reservation], int] = lambda _: MAX_EXACT,
) -> Usage:
    """Return what to charge for a reply: what it reported, or the rule that replaces it.

    `complete`: the reply came to its end; otherwise the unseen part of its output is added later. A
    complete reply that reported and showed nothing costs nothing. A missing input is charged as
    estimated, a missing output as seen, up to `most_output_tokens`.
    """
    told, seen = reading.usage, reading.seen
    if reservation.pictures is not None:
        return drawn(reservation.pictures, reading, status, complete=complete)
    if told is not None and reading.input_told and reading.output_told:
        return told
    if told is None and status >= 400:
        return NO_USAGE
    if complete and not seen.shown and (told is None or not reports_any(told)):
        return NO_USAGE
    input_tokens = told.input_tokens if told is not None else 0
    if not reading.input_told:
        input_tokens = max(input_tokens, reservation.input_tokens)
    told_output = told.output_tokens if told is not None else 0
    output_tokens = told_output
    if not reading.output_told:
        shown = seen.output_tokens and min(seen.output_tokens, most_output_tokens(reservation))
        output_tokens = max(told_output, shown)
    certainty = Certainty.ESTIMATED if told is None and complete else Certainty.PARTIAL
    usage = replace(
        told or NO_USAGE,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        certainty=certainty,
    )
    if told_output or output_tokens != seen.output_tokens:
        return usage
    return replace(
        usage, output_image_tokens=seen.picture_tokens, output_audio_tokens=seen.sound_tokens
    )


def used_unseen(
    reservation: Reservation,
    seen_output_tokens: int,
    status: int,
    *,
    reached_provider: bool,
    complete: bool,
    likely_billed: bool = False,
) -> Usage:
    """Return what to charge for a call whose reply nobody read.

    Its client left before the reply, or metering failed open. Status 0: there was no reply.
    `seen_output_tokens`: what it may have shown; the rest of its output is added later.
    `likely_billed`: Envoy answered in the provider's place, which bills the call as if the client
    had left: Envoy waited no longer, or the reply broke off or was too large to pass on.
    """
    if not reached_provider or (status >= 400 and not likely_billed):
        return NO_USAGE
    certainty = Certainty.ESTIMATED if complete else Certainty.PARTIAL
    output_tokens = min(seen_output_tokens, reservation.output_tokens)
    return Usage(reservation.input_tokens, output_tokens, certainty=certainty)
