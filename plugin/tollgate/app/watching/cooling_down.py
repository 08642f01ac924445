"""Tell admission which deployments get no calls, by the replies that workers settle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn

from tollgate import telemetry
from tollgate.adapters.valkey.counters.cooldowns import SharedCooldowns
from tollgate.app.base import Core
from tollgate.background import Background
from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.errors import StoreUnavailable
from tollgate.core.models.cooling import Cooling
from tollgate.settings import Settings

_READ_EVERY_S = 0.5


class CoolingDown:
    """Deployments that cool down, as the configuration in force says.

    Each worker counts the failures of the calls that it settles; what begins to cool down there is
    shared, since another worker may decide about the next call.
    """

    def __init__(self, core: Core) -> None:
        self._meter, self._clock = core.meter, core.clock
        self._shared = SharedCooldowns(core.pipe)
        self._cooling: Cooling | None = None
        self._exempt: frozenset[str] = frozenset()
        self._asked_for = asyncio.Event()
        self._telling = Background()

    def by(self, settings: Settings) -> Callable[[str], bool] | None:
        """Return what tells whether a deployment should get no calls now; None: none ever should.

        Deployments that pass their clients' credentials on never cool down: anybody could cause it.
        """
        cooldown = settings.cooldown
        if cooldown is None:
            self._cooling = None
            return None
        if not self._asked_for.is_set():
            self._meter.also_on_settled(self._settled)
            self._asked_for.set()
        self._exempt = frozenset(each.id for each in settings.deployments if each.pass_credentials)
        cooling = Cooling(cooldown.allowed_fails, round(cooldown.seconds * 1_000_000))
        self._cooling = cooling
        return lambda deployment: cooling.cools(deployment, self._clock.now_us())

    async def keep_shared(self) -> NoReturn:
        """Take over what other workers note, forever; nothing is read until it is asked for."""
        while True:
            await self._asked_for.wait()
            await asyncio.sleep(_READ_EVERY_S)
            try:
                found = await self._shared.find()
            except StoreUnavailable as error:
                telemetry.store_failed("cooldowns", error)
                continue
            if self._cooling is not None:
                self._cooling.take_over(found)

    def _settled(self, call: Reservation, settlement: Settlement) -> None:
        cooling = self._cooling
        if cooling is None or call.deployment in self._exempt:
            return
        until_us = cooling.note(call.deployment, settlement.status, self._clock.now_us())
        if until_us is not None:
            self._telling.start(self._tell(call.deployment, until_us, cooling.cooldown_us))

    async def _tell(self, deployment: str, until_us: int, cooldown_us: int) -> None:
        telemetry.cools_down(deployment, cooldown_us // 1_000_000)
        try:
            await self._shared.add(deployment, until_us, -(-cooldown_us // 1000))
        except StoreUnavailable as error:
            telemetry.store_failed("cooldowns", error)
