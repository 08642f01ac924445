"""Models that are added over the API, as the running processes and Envoy take them in."""

from __future__ import annotations

import asyncio
from typing import Any

from tollgate.snapshot import Snapshot

_LOOK_EVERY_S = 0.02
# A change of 500 models takes a second. Envoy gives a management call 30 s.
_LONGEST_S = 20.0


class PutInForce:
    """The port `ModelServing`, by the snapshot of this gateway."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        # One at a time: what is refused is then the fault of the one that asked.
        self.turn = asyncio.Lock()
        self._refused = False

    async def take_in(self, entries: list[dict[str, Any]]) -> list[str]:
        """Return the faults for which entries are refused, once they are in force or refused.

        None are told while something else is refused, or nobody runs the processes.
        """
        by_others = self._snapshot.refused_faults() and not self._refused
        if by_others or self._snapshot.handled_version() is None:
            return []
        self._snapshot.write_added(entries)
        version = self._snapshot.added_version()
        try:
            async with asyncio.timeout(_LONGEST_S):
                while self._snapshot.handled_version() != version:  # noqa: ASYNC110 - another process's state
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError:
            return []
        faults = self._snapshot.refused_faults()
        self._refused = bool(faults)
        return faults
