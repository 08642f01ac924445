"""The rules of admission as a straightforward model: exact fractions, and nothing clever."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil, floor

from msgspec import structs

from tollgate.core.entities import LimitSet
from tollgate.core.limits.accounts import ENFORCED, MAX_EXACT, Enforcement, Meter
from tollgate.core.limits.limit import Bucket, Forever, InFlight, Limit, Recurring, Window

LENGTHS_US = {"5s": 5_000_000, "1m": 60_000_000}
LEAST_OUTPUT = 16
DEFAULT_OUTPUT = 100
"""The output of a call that names no limit, where its model writes as much."""


@dataclass(frozen=True)
class Amounts:
    """What a call uses of each meter, or may use."""

    input_tokens: int
    output_tokens: int
    nanousd: int

    def of(self, meter: Meter) -> int:
        return {
            Meter.REQUESTS: 1,
            Meter.CALLS: 1,
            Meter.INPUT_TOKENS: self.input_tokens,
            Meter.OUTPUT_TOKENS: self.output_tokens,
            Meter.USD: self.nanousd,
        }.get(meter, self.input_tokens + self.output_tokens)


@dataclass(frozen=True)
class Asked:
    """What a call is estimated at, and may use at most. `guessed`: it names no output limit, so its
    output is a guess.
    """

    estimate: Amounts
    worst: Amounts
    guessed: bool = False

    def writing(self, output_tokens: int) -> Asked:
        """The call with an output limit; a token costs a nano-dollar."""
        prompt = self.worst.input_tokens
        worst = Amounts(prompt, output_tokens, max(1, prompt + output_tokens))
        output = min(self.estimate.output_tokens, output_tokens)
        cost = min(self.estimate.nanousd, worst.nanousd)
        return Asked(Amounts(self.estimate.input_tokens, output, cost), worst, self.guessed)

    def at_most_guessing(self, output_tokens: int) -> Amounts:
        """The estimate, in which a guess is no more than so much."""
        if not self.guessed:
            return self.estimate
        return replace(self.estimate, output_tokens=min(self.estimate.output_tokens, output_tokens))


@dataclass(frozen=True)
class Bound:
    """One limit as it stands when a call comes, and where it counts.

    `budget`: it counts the spend of its scope. `trickle`: it is what a throttled limit lets pass,
    beside whose own counter (`unbounded`) that goes on.
    """

    scope: str
    meter: Meter
    amount: int
    window: Window
    how: Enforcement = ENFORCED
    rollover: int | None = None
    since_us: int = 0
    budget: bool = False
    trickle: bool = False
    unbounded: bool = False

    @property
    def strict(self) -> bool:
        return self.how.strict and not self.how.shadow

    @property
    def in_periods(self) -> bool:
        return not isinstance(self.window, Bucket | InFlight)

    def period(self, now_us: int) -> int:
        if not isinstance(self.window, Recurring):
            return 0
        return (now_us - self.since_us) // LENGTHS_US[self.window.duration]

    def asked(self, call: Asked) -> int:
        if self.strict:
            return call.worst.of(self.meter)
        # A guess takes a quarter of a limit at most.
        most = MAX_EXACT if self.unbounded else self.amount // 4
        return call.at_most_guessing(most).of(self.meter)

    def bucket_hold(self, call: Asked) -> int:
        asked = self.asked(call)
        return max(1, asked if self.strict else min(asked, self.amount))


@dataclass
class Counter:
    """What is used of a limit, a bucket's with what calls hold of it; what each call holds; and as
    of which tick or period (None: nothing was ever counted).
    """

    used: Fraction = Fraction(0)
    held: dict[int, int] = field(default_factory=dict)
    at: int | None = None

    def level(self, bound: Bound, now_us: int) -> Fraction:
        if isinstance(bound.window, Bucket):
            tick_ms, tick = _tick(bound.window, now_us)
            passed = Fraction((tick - (self.at or 0)) * tick_ms, bound.window.seconds * 1000)
            return max(Fraction(0), self.used - passed * bound.amount)
        passed_periods = 0 if self.at is None else bound.period(now_us) - self.at
        if not passed_periods:
            return self.used
        if bound.rollover is None:
            return Fraction(0)
        left = max(Fraction(0), bound.amount - self.used) + (passed_periods - 1) * bound.amount
        return -min(Fraction(bound.rollover), left)

    def enter(self, bound: Bound, now_us: int) -> None:
        self.used = self.level(bound, now_us)
        if isinstance(bound.window, Bucket):
            self.at = _tick(bound.window, now_us)[1]
        else:
            self.at = bound.period(now_us)

    def left(self, bound: Bound, now_us: int) -> Fraction:
        if bound.unbounded:
            return Fraction(MAX_EXACT)
        if isinstance(bound.window, InFlight):
            return Fraction(bound.amount - len(self.held))
        held = sum(self.held.values()) if bound.in_periods else 0
        return bound.amount - self.level(bound, now_us) - held

    def admits(self, bound: Bound, call: Asked, now_us: int) -> bool:
        left = self.left(bound, now_us)
        if isinstance(bound.window, Bucket):
            return bound.bucket_hold(call) <= left
        return left > 0 and (not bound.strict or bound.asked(call) <= left)


def _tick(window: Bucket, now_us: int) -> tuple[int, int]:
    tick_ms = 1 if window.seconds <= 3600 else 1000
    return tick_ms, now_us // 1000 // tick_ms


@dataclass(frozen=True)
class Verdict:
    """What is decided of a call: the limits that it is held against, those in shadow mode that it
    did not fit, and the one that refuses it.
    """

    held: tuple[Bound, ...] = ()
    spared: int = 0
    refused_by: Bound | None = None


@dataclass(frozen=True)
class Running:
    """An admitted call: the limits that it is held against, what it holds of each, in which period;
    and the budgets that its cost counts against whether they let it pass or not.
    """

    held: tuple[tuple[Bound, int, int], ...]
    budgets: tuple[tuple[Bound, int], ...]


class Model:
    """Scopes with their limits, and all calls that were admitted."""

    def __init__(self, scopes: Mapping[str, LimitSet]) -> None:
        self._scopes = scopes
        self._counters: dict[object, Counter] = defaultdict(Counter)
        self._running: dict[int, Running] = {}

    def ask(self, scopes: list[str], number: int, asked: Asked, now_us: int) -> Verdict:
        """Decide about a call of these scopes, and hold what it may use."""
        bounds = [bound for scope in scopes for bound in self._bounds(scope, now_us)]
        verdict = self._fit(bounds, asked, now_us)
        if isinstance(verdict, Verdict):
            return verdict
        asked, verdict = verdict
        self._hold(number, bounds, verdict.held, asked, now_us)
        return verdict

    def settle(self, number: int, used: Amounts, now_us: int) -> None:
        running = self._running.pop(number)
        for bound, period in running.budgets:
            counter = self._counter(bound)
            counter.enter(bound, now_us)
            if period == counter.at:
                counter.used += used.nanousd
        for bound, hold, period in running.held:
            counter = self._counter(bound)
            if bound.meter is Meter.REQUESTS:
                continue
            if isinstance(bound.window, Bucket):
                counter.enter(bound, now_us)
                counter.used = max(Fraction(0), counter.used + used.of(bound.meter) - hold)
                continue
            counter.held.pop(number)
            if bound.in_periods and not bound.budget:
                counter.enter(bound, now_us)
                if period == counter.at:
                    counter.used += used.of(bound.meter)

    def _bounds(self, scope: str, now_us: int) -> Iterator[Bound]:
        limits = self._scopes[scope]
        found = [(each, False) for each in limits.limits]
        if limits.max_budget_nanousd is not None:
            duration = limits.budget_duration
            window = Forever() if duration is None else Recurring(duration)
            how = Enforcement(shadow=limits.budget_shadow)
            budget = Limit(Meter.USD, limits.max_budget_nanousd, window, how)
            budget = _raised(budget, limits)
            place = sum(each.meter is not Meter.USD for each in limits.limits)
            found.insert(place, (budget, True))
        for limit, is_budget in found:
            how = limit.enforcement
            if limits.shadow:
                how = structs.replace(how, shadow=True)
            amount = limit.amount
            if limit.increase is not None and now_us < limit.increase.until_us:
                amount += limit.increase.amount
            yield Bound(
                scope,
                limit.meter,
                amount,
                limit.window,
                how,
                limit.rollover,
                limits.budget_since_us,
                is_budget,
            )

    def _counter(self, bound: Bound) -> Counter:
        window = "spend" if bound.budget else bound.window
        return self._counters[bound.scope, bound.meter, window, bound.trickle]

    def _fit(
        self, bounds: list[Bound], asked: Asked, now_us: int
    ) -> Verdict | tuple[Asked, Verdict]:
        """Lower the output limit until strict limits let the call pass, or nothing helps."""
        strict = [each for each in bounds if each.strict]
        most = asked.worst.output_tokens
        least, output = min(LEAST_OUTPUT, most), most
        if strict:
            rooms = [(each, Fraction(each.amount)) for each in strict]
            output = _fitting(asked, rooms)
            if asked.guessed:
                quarters = [(each, Fraction(each.amount // 4)) for each in strict]
                output = min(output, max(_fitting(asked, quarters), DEFAULT_OUTPUT))
            output = max(least, output)
        while True:
            tried = asked.writing(output) if strict else asked
            verdict = self._decide(bounds, tried, now_us)
            if verdict.refused_by is None:
                return tried, verdict
            rooms = [(each, self._counter(each).left(each, now_us)) for each in strict]
            fitting = _fitting(asked, rooms)
            if not verdict.refused_by.strict or not least <= fitting < output:
                return verdict
            output = fitting

    def _decide(self, bounds: list[Bound], asked: Asked, now_us: int) -> Verdict:
        held: list[Bound] = []
        spared = 0
        for bound in bounds:
            if self._counter(bound).admits(bound, asked, now_us):
                held.append(bound)
            elif bound.how.shadow:
                spared += 1
            elif bound.how.throttle_percent:
                trickle = _trickle_of(bound)
                if not self._counter(trickle).admits(trickle, asked, now_us):
                    return Verdict(refused_by=trickle)
                _add_trickle(held, trickle)
                if bound.in_periods:
                    held.append(replace(bound, unbounded=True))
            else:
                return Verdict(refused_by=bound)
        return Verdict(tuple(held), spared)

    def _hold(
        self, number: int, bounds: list[Bound], held: tuple[Bound, ...], asked: Asked, now_us: int
    ) -> None:
        # Of each limit with periods no more than the tightest of its kind has left.
        holds: dict[object, int] = {}
        for bound in held:
            if bound.in_periods:
                kind = bound.meter, bound.strict, bound.how.shadow
                left = floor(self._counter(bound).left(bound, now_us))
                holds[kind] = min(holds.get(kind, MAX_EXACT), bound.asked(asked), left)
        found = []
        for bound in held:
            counter = self._counter(bound)
            if isinstance(bound.window, InFlight):
                hold = counter.held[number] = 1
            elif isinstance(bound.window, Bucket):
                counter.enter(bound, now_us)
                hold = bound.bucket_hold(asked)
                counter.used += hold
            else:
                hold = holds[bound.meter, bound.strict, bound.how.shadow]
                if not bound.budget:
                    counter.enter(bound, now_us)
                if bound.meter is Meter.REQUESTS:
                    counter.used += hold
                else:
                    counter.held[number] = hold
            found.append((bound, hold, bound.period(now_us)))
        budgets = tuple((each, each.period(now_us)) for each in bounds if each.budget)
        self._running[number] = Running(tuple(found), budgets)


def _raised(budget: Limit, limits: LimitSet) -> Limit:
    increase = limits.budget_increase
    return Limit(budget.meter, budget.amount, budget.window, budget.enforcement, increase)


def _fitting(asked: Asked, rooms: list[tuple[Bound, Fraction]]) -> int:
    """The highest output limit whose worst case fits; -1: none does."""
    for output in range(asked.worst.output_tokens, -1, -1):
        call = asked.writing(output)
        if all(each.asked(call) <= max(0, floor(left)) for each, left in rooms):
            return output
    return -1


def _trickle_of(bound: Bound) -> Bound:
    """A bucket that refills at the percentage of the limit's rate: in the window of a rate, in a
    minute otherwise, or in as long as one takes.
    """
    if isinstance(bound.window, Bucket):
        seconds = length_s = bound.window.seconds
    else:
        assert isinstance(bound.window, Recurring)
        seconds, length_s = 60, LENGTHS_US[bound.window.duration] // 1_000_000
    rate = Fraction(bound.amount * bound.how.throttle_percent, 100 * length_s)
    amount = floor(rate * seconds)
    if amount == 0 and rate:
        amount, seconds = 1, ceil(1 / rate)
    return Bound(bound.scope, bound.meter, amount, Bucket(seconds), trickle=True)


def _add_trickle(held: list[Bound], trickle: Bound) -> None:
    """Of two trickles of one counter the tighter one counts."""
    for place, other in enumerate(held):
        same = other.trickle and (other.scope, other.meter) == (trickle.scope, trickle.meter)
        if same and other.window == trickle.window:
            held[place] = min(other, trickle, key=lambda each: each.amount)
            return
    held.append(trickle)
