"""Why a request cost what it did: its record in the ledger, found by its id."""

from __future__ import annotations

from tollgate.core.entities import DEFAULT_ORGANIZATION
from tollgate.core.errors import NotFound
from tollgate.core.ledger import find_begin_us
from tollgate.ports import Ledger, Settled

_SECOND_US = 1_000_000
# The id was given by a worker's clock, the ledger's time by the store's: they may differ by so much.
_SKEW_US = 5 * _SECOND_US
# Most calls end within seconds; none lasts longer than the upper one, or its lease has run out.
_WINDOWS_US = tuple(seconds * _SECOND_US for seconds in (5, 30, 120, 600, 3600, 24 * 3600))
_PAGE = 2_000


class Explanations:
    """Finds records. The ledger has no index by id, which every settlement would pay for: an id tells when to look."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def find(self, request_id: str, organization: str = DEFAULT_ORGANIZATION) -> Settled:
        """The record of a settled request. Raises NotFound."""
        begin_us = find_begin_us(request_id)
        if begin_us is not None:
            since_us = begin_us - _SKEW_US
            for window_us in _WINDOWS_US:
                until_us = begin_us + window_us
                if (found := await self._find_between(request_id, organization, since_us, until_us)) is not None:
                    return found
                since_us = until_us
        raise NotFound(f"No settled request {request_id!r} in the ledger of organization {organization!r}.")

    async def _find_between(self, request_id: str, organization: str, since_us: int, until_us: int) -> Settled | None:
        """Look through a time page by page, from its end."""
        while True:
            page = await self._ledger.records(organization, since_us, until_us, _PAGE)
            found = next((each for each in page if each.record.id == request_id), None)
            if found is not None or len(page) < _PAGE or page[-1].settled_us == until_us:
                return found
            until_us = page[-1].settled_us  # once more the records of its millisecond: the page may have cut them
