"""What a proposed limit would have done, over HTTP."""

from __future__ import annotations

from tollgate.adapters.http_api.wire.parts.base import ResponseBody
from tollgate.adapters.http_api.wire.parts.types import PrintedTime
from tollgate.core.limits.replay import Verdict
from tollgate.core.money.dollars import dollars_of
from tollgate.reporting.replaying import Replayed


class ReplayedScope(ResponseBody):
    """A scope that the limit would have refused."""

    scope: str
    id: str
    name: str | None
    calls: int
    refused: int
    refused_spend: float
    first_refused_at: PrintedTime | None


class ReplayAnswer(ResponseBody):
    """The answer of /spend/replay: in all, and the scopes with most refusals first."""

    calls: int
    refused: int
    refused_spend: float
    first_refused_at: PrintedTime | None
    scopes: tuple[ReplayedScope, ...]


def answer(found: Replayed, names: dict[str, str], most: int) -> ReplayAnswer:
    """Return at most so many scopes of a replay. `names`: how keys are called, by their ids."""
    return ReplayAnswer(
        calls=found.total.calls,
        refused=found.total.refused,
        refused_spend=dollars_of(found.total.refused_nanousd),
        first_refused_at=found.total.first_refused_us,
        scopes=tuple(_scope(name, verdict, names) for name, verdict in found.scopes[:most]),
    )


def _scope(name: str, verdict: Verdict, names: dict[str, str]) -> ReplayedScope:
    kind, _, identity = name.partition(":")
    return ReplayedScope(
        scope=kind,
        id=identity,
        name=names.get(identity) if kind == "key" else None,
        calls=verdict.calls,
        refused=verdict.refused,
        refused_spend=dollars_of(verdict.refused_nanousd),
        first_refused_at=verdict.first_refused_us,
    )
