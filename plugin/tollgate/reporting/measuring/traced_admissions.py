"""Tell traces about decisions, where the configuration asks for traces."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct, structs

from tollgate.admission.admission import Request
from tollgate.admission.current import Decides
from tollgate.core.calls.decision import Admission, Decision, Refusal
from tollgate.core.calls.trace_context import find_traceparent
from tollgate.ports import Clock


class TimedDecision(Struct, frozen=True):
    """A decision, when it was begun and made, and the caller's traceparent; empty: none."""

    decision: Decision
    begin_us: int
    end_us: int
    traceparent: str


class DecisionTraces(Protocol):
    """Takes decisions that are to be traced."""

    def decided(self, timed: TimedDecision) -> None:
        """Take a decision; it is exported later."""
        ...


class TracedAdmissions:
    """Decides as others do, and tells traces about it.

    The reservation of an admitted request carries the caller's traceparent, so that its settlement
    belongs to the same trace.
    """

    def __init__(self, admissions: Decides, traces: DecisionTraces, clock: Clock) -> None:
        self._admissions = admissions
        self._traces = traces
        self._clock = clock

    async def admit(self, request: Request) -> Decision:
        """Decide as `Admissions.admit` does."""
        begin_us = self._clock.now_us()
        decision = await self._admissions.admit(request)
        traceparent = find_traceparent(request.headers)
        if traceparent and isinstance(decision, Admission) and decision.reservation is not None:
            reservation = structs.replace(decision.reservation, traceparent=traceparent)
            decision = structs.replace(decision, reservation=reservation)
        self._tell(decision, begin_us, traceparent)
        return decision

    async def check_key(self, request: Request) -> Refusal | None:
        """Decide as `Admissions.check_key` does; only a refusal is the end of it."""
        begin_us = self._clock.now_us()
        refusal = await self._admissions.check_key(request)
        if refusal is not None:
            self._tell(refusal, begin_us, find_traceparent(request.headers))
        return refusal

    def _tell(self, decision: Decision, begin_us: int, traceparent: str) -> None:
        end_us = self._clock.now_us()
        self._traces.decided(TimedDecision(decision, begin_us, end_us, traceparent))
