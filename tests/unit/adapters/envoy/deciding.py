"""Admissions that decide as a test says."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from tollgate.admission.admission import Request
from tollgate.core.calls.decision import Decision, Refusal


def _set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass
class Deciding:
    """Decides alike about every request. Without a decision it fails.

    `may_go_on`: cleared, it lets a decision wait.
    """

    decision: Decision | None
    asked: list[Request] = field(default_factory=list)
    asked_about_keys: list[Request] = field(default_factory=list)
    may_go_on: asyncio.Event = field(default_factory=_set)
    asks: asyncio.Event = field(default_factory=asyncio.Event)

    async def admit(self, request: Request) -> Decision:
        self.asked.append(request)
        self.asks.set()
        await self.may_go_on.wait()
        return self._decision()

    async def check_key(self, request: Request) -> Refusal | None:
        self.asked_about_keys.append(request)
        decision = self._decision()
        return decision if isinstance(decision, Refusal) else None

    def _decision(self) -> Decision:
        if self.decision is None:
            raise RuntimeError("as the test says")
        return self.decision
