"""What was charged against what was served, call by call and by how sure Tollgate was. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.load.tables import Table

NO_RECORD = "no record"
"""Instead of a certainty: the provider has served a call that nobody ever charged."""
CERTAINTIES = ("exact", "partial", "estimated", "expired", "none", NO_RECORD)
"""As the ledger names them, from sure to lost; `none` has used nothing, as far as anybody knows."""


@dataclass(frozen=True, slots=True)
class Share:
    """The calls of one certainty: how many, how many of them not to the nano-dollar, and charged
    minus served, all together.
    """

    calls: int
    wrong_calls: int
    error_nanousd: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a run cost, by the provider and by the ledger. `twice`: calls with two records."""

    served_nanousd: int
    charged_nanousd: int
    shares: Mapping[str, Share]
    twice: int

    @property
    def error(self) -> float:
        """Charged minus served, as a part of what was served."""
        return self.part(self.charged_nanousd - self.served_nanousd)

    @property
    def forgotten(self) -> int:
        """Calls that were served and never charged."""
        return self.shares[NO_RECORD].calls if NO_RECORD in self.shares else 0

    @property
    def wrong_calls(self) -> int:
        """Calls that were not charged to the nano-dollar."""
        return sum(share.wrong_calls for share in self.shares.values())

    def part(self, nanousd: int) -> float:
        """An amount as a part of what was served."""
        return nanousd / self.served_nanousd if self.served_nanousd else 0.0


def compared(served: Mapping[int, int], charged: Iterable[tuple[int, int, str]]) -> Comparison:
    """Compare. `served`: nano-dollars by call; `charged`: of each record the call, its nano-dollars
    and its certainty.
    """
    calls: Counter[int] = Counter()
    totals: defaultdict[str, list[int]] = defaultdict(list)
    charged_nanousd = 0
    for call, nanousd, certainty in charged:
        charged_nanousd += nanousd
        # What a second record charges was served once, and is told of with the first.
        totals[certainty].append(nanousd - (0 if call in calls else served.get(call, 0)))
        calls[call] += 1
    totals[NO_RECORD] = [
        -nanousd for call, nanousd in served.items() if nanousd and call not in calls
    ]
    shares = {
        name: Share(len(errors), sum(map(bool, errors)), sum(errors))
        for name, errors in totals.items()
    }
    return Comparison(
        sum(served.values()), charged_nanousd, shares, sum(count > 1 for count in calls.values())
    )


@dataclass(frozen=True, slots=True)
class UnderStrict:
    """Calls of a key whose budget is strict: how many were refused, what the ledger charged all of
    them, what the provider served, and what they were allowed to cost.
    """

    refused: int
    charged_nanousd: int
    served_nanousd: int
    amount_nanousd: int

    @property
    def over_nanousd(self) -> int:
        """How far the budget was exceeded, by the ledger or by the provider's own count."""
        return max(
            0, self.charged_nanousd - self.amount_nanousd, self.served_nanousd - self.amount_nanousd
        )


@dataclass(frozen=True, slots=True)
class Result:
    """One scenario in one mode. `faults`: sentences, one for each invariant that broke.

    `strict`: what became of the calls under a strict budget.
    """

    scenario: str
    mode: str
    calls: int
    failed: int
    comparison: Comparison
    left: int
    faults: tuple[str, ...]
    strict: UnderStrict


_STRICT = ("strict refused", "strict over n$")


def table(title: str, results: Iterable[Result]) -> Table:
    """A row for each run."""
    shown = ("calls", "failed", "served n$", "charged n$", "error", "calls off")
    columns = ("what broke", "mode", *shown, *CERTAINTIES, "left", *_STRICT, "kept")
    note = (
        "Failed: for their clients. Served: by the provider's own count. Error: charged minus"
        " served, of what was served; by certainty: calls, and their part of it. Calls are held at"
        " 64 tokens of output, and have 22 on average. Left: reservations, leases, slots and holds"
        " after the lease time. Strict: calls of a key with a strict budget, which it comes to the"
        " edge of: refused, and by how much it is exceeded, by the charges or by what was served."
        " Kept:"
        " the ledger is the spend of each scope, nothing is left, each call is settled once, the"
        " strict budget is not exceeded, and a limit in shadow mode that no call fits has refused"
        " none."
    )
    return Table(title, columns, tuple(map(_row, results)), note)


def _row(result: Result) -> tuple[str, ...]:
    found = result.comparison
    return (
        result.scenario, result.mode, f"{result.calls:,}", f"{result.failed:,}",
        f"{found.served_nanousd:,}", f"{found.charged_nanousd:,}",
        percent(found.error), f"{found.wrong_calls:,}",
        *(_share(found, name) for name in CERTAINTIES), f"{result.left:,}",
        f"{result.strict.refused:,}", f"{result.strict.over_nanousd:,}",
        "NO" if result.faults else "yes",
    )  # fmt: skip


def _share(found: Comparison, certainty: str) -> str:
    share = found.shares.get(certainty)
    if share is None or not share.calls:
        return ""
    return (
        f"{share.calls:,} ({percent(found.part(share.error_nanousd))})"
        if share.error_nanousd
        else f"{share.calls:,}"
    )


def percent(part: float) -> str:
    """With a sign; what is no error at all says so."""
    return f"{part:+.2%}" if part else "0"
