"""Two days of calls in a history, for pages that look back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tollgate.adapters.history.database import open_database
from tollgate.adapters.history.history import SqlHistory
from tollgate.core.calls.records import Record
from tollgate.ports.history_ports import SettledText

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
_TEAMS = (("research", "ada", 3), ("support", "bob", 2), ("website", "eve", 1))
_MODELS = (("gpt-4o", 2_500, 10_000), ("claude", 3_000, 15_000), ("fast", 150, 600))


async def fill_history(file: Path, now_us: int) -> dict[str, int]:
    """Write the calls of yesterday and of today so far; return yesterday's nano-dollars by team."""
    engine = open_database(f"sqlite:///{file}")
    try:
        history = SqlHistory(engine)
        await history.prepare()
        records = list(_calls(now_us))
        await history.keep(
            "default",
            [SettledText(each.admitted_us, msgspec.json.encode(each)) for each in records],
        )
    finally:
        engine.dispose()
    today_us = now_us // DAY_US * DAY_US
    spent = {f"team:{team}": 0 for team, _, _ in _TEAMS}
    for each in records:
        if each.admitted_us < today_us:
            spent[next(scope for scope in each.scopes if scope in spent)] += each.cost_nanousd
    return {team.removeprefix("team:"): nanousd for team, nanousd in spent.items()}


def _calls(now_us: int) -> Iterator[Record]:
    """Calls as an office makes them: most around noon, of three teams. The same in every run."""
    chance = random.Random(20)
    start_us = now_us // DAY_US * DAY_US - DAY_US
    for hour in range((now_us - start_us) // HOUR_US):
        busy = max(1, 9 - abs(13 - hour % 24))
        for team, user, share in _TEAMS:
            for number in range(busy * share):
                model, input_nanousd, output_nanousd = chance.choice(_MODELS)
                read, written = chance.randint(200, 9_000), chance.randint(20, 1_500)
                yield Record(
                    id=f"told-{hour}-{team}-{number}",
                    admitted_us=start_us + hour * HOUR_US + chance.randrange(HOUR_US),
                    model=model,
                    deployment=model,
                    scopes=("proxy:proxy", f"team:{team}", f"user:{user}", f"key:{team}-key"),
                    status=200 if chance.random() > 0.02 else 503,
                    cost_nanousd=read * input_nanousd + written * output_nanousd,
                    certainty="exact" if chance.random() > 0.05 else "estimated",
                    settled_by="reply",
                    input_tokens=read,
                    output_tokens=written,
                )
