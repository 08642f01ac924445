"""Replay the ledger against a proposed limit."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, replace

from tollgate.core.calls.records import Record
from tollgate.core.errors import BadRequest
from tollgate.core.limits.accounts import Meter
from tollgate.core.limits.limit import METERS, Limit
from tollgate.core.limits.replay import CallMade, Verdict, replay
from tollgate.ports import Ledger, LedgerQuery

MOST_REPLAYED = 1_000_000
_PAGE = 2_000


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a limit would have done, in all and to each scope that it would have refused, those with
    most refusals first. Scopes are named `kind:id`.
    """

    total: Verdict
    scopes: tuple[tuple[str, Verdict], ...]


async def replay_ledger(
    ledger: Ledger, query: LedgerQuery, limit: Limit, kind: str, since_us: int
) -> Replayed:
    """Run a query's records against a limit of each scope of a kind.

    Raises BadRequest for more than a million records.
    """
    calls = await _read(ledger, replace(query, since_us=since_us), limit.meter, f"{kind}:")
    found: list[tuple[str, Verdict]] = []
    for name, made in calls.items():
        made.sort(key=lambda each: each.admitted_us)
        found.append((name, replay(limit, made, since_us)))
        await asyncio.sleep(0)
    verdicts = [verdict for _, verdict in found]
    firsts = [each.first_refused_us for each in verdicts if each.first_refused_us is not None]
    total = Verdict(
        sum(each.calls for each in verdicts),
        sum(each.refused for each in verdicts),
        sum(each.refused_nanousd for each in verdicts),
        min(firsts, default=None),
    )
    refused = [each for each in found if each[1].refused]
    return Replayed(total, tuple(sorted(refused, key=lambda each: (-each[1].refused, each[0]))))


async def _read(
    ledger: Ledger, query: LedgerQuery, meter: Meter, prefix: str
) -> dict[str, list[CallMade]]:
    calls: defaultdict[str, list[CallMade]] = defaultdict(list)
    cursor, count = None, 0
    while True:
        page = await ledger.page(query, _PAGE, cursor)
        count += len(page.records)
        if count > MOST_REPLAYED:
            raise BadRequest(
                f"more than {MOST_REPLAYED} calls match; name a key, a team or a later 'since'",
                "since",
            )
        for settled in page.records:
            record = settled.record
            made = CallMade(
                record.admitted_us,
                max(settled.settled_us, record.admitted_us),
                _amount(record, meter),
                record.cost_nanousd,
            )
            for scope in record.scopes:
                if scope.startswith(prefix):
                    calls[scope].append(made)
        cursor = page.cursor
        if cursor is None:
            return calls


def _amount(record: Record, meter: Meter) -> int:
    if meter is Meter.USD:
        return record.cost_nanousd
    return 1 if meter is Meter.CALLS else METERS[meter].used(record)
