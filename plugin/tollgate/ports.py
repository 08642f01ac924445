"""What the use cases need of the world, as Protocols. Adapters implement them; tests run each over memory and a real Valkey."""

from __future__ import annotations

from typing import Protocol

from tollgate.core.entities import Charge, Key, Reservation, Settlement, Standing


class Clock(Protocol):
    """The time, as microseconds since the epoch."""

    def now_us(self) -> int: ...


class Counters(Protocol):
    """Limits and spend. Every operation is atomic and takes one round trip; errors are core.errors.StoreUnavailable."""

    async def reserve(self, reservation: Reservation) -> Standing:
        """Hold every charge, or none: then `Standing.refused` is the index of the first charge that did not fit."""
        ...

    async def settle(self, reservation: Reservation, settlement: Settlement) -> Standing | None:
        """Replace the holds by what was used and write the ledger record. Never refuses. None: it was settled before, nothing changed."""
        ...

    async def renew(self, reservation: Reservation) -> bool:
        """Keep the lease of a call that still runs. False: there is none (settled, or expired)."""
        ...

    async def peek(self, organization: str, charges: tuple[Charge, ...]) -> Standing:
        """Read where limits stand, changing nothing."""
        ...

    async def expired(self, organization: str) -> list[Reservation]:
        """Reservations whose lease ran out unsettled, oldest first, at most a hundred."""
        ...


class Directory(Protocol):
    """Who there is. Reads may be up to a second old."""

    async def find_key(self, key_hash: str) -> Key | None:
        """The key with that hash, if there is one."""
        ...
