"""Read refusals, and find one by its id."""

from __future__ import annotations

from tollgate.core.calls.refusal_records import RefusalRecord
from tollgate.core.errors import NotFound
from tollgate.ports import Clock, LedgerQuery
from tollgate.ports.event_ports import RefusalLog, RefusalPage


class Refusals:
    """Reads recorded refusals and changes nothing."""

    def __init__(self, log: RefusalLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock

    @property
    def now_us(self) -> int:
        """Return the time that ages of refusals are counted from."""
        return self._clock.now_us()

    async def page(self, query: LedgerQuery, count: int, cursor: str | None = None) -> RefusalPage:
        """Return refusals, latest first: one part, and the cursor of the next."""
        return await self._log.page(query, count, cursor)

    async def find(self, request_id: str, organization: str | None = None) -> RefusalRecord | None:
        """Return the refusal with that id, or None."""
        page = await self._log.page(LedgerQuery(organization, request_id=request_id), 1)
        return page.records[0] if page.records else None

    async def one(self, request_id: str, organization: str | None = None) -> RefusalRecord:
        """Return the refusal with that id. Raises NotFound."""
        found = await self.find(request_id, organization)
        if found is None:
            raise NotFound(
                f"No settled or refused request {request_id!r} is recorded. A running call is"
                " recorded when it ends; of many refusals of one key in a second, only a few are"
                " recorded one by one."
            )
        return found


def find_scope(record: RefusalRecord, kind: str) -> str | None:
    """Return the id of the entity of a kind that a refused request belongs to, or None."""
    prefix = f"{kind}:"
    return next(
        (each.removeprefix(prefix) for each in record.scopes if each.startswith(prefix)), None
    )
