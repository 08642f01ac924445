"""Limits as data: a meter, an amount and a window, and the one table of the kinds that have names.

A meter is what one call counts; a window is how long an amount is for. Adding a kind of limit is a
row of `METERS` or `KINDS`; nothing else in the package spells one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from types import MappingProxyType
from typing import Protocol

from msgspec import Struct, structs

from tollgate.core.limits.accounts import (
    ENFORCED,
    FOREVER,
    MAX_EXACT,
    Enforcement,
    Meter,
    Quota,
    Scope,
)
from tollgate.core.limits.bucket import most_amount
from tollgate.core.limits.duration import Duration, parse_duration, period_at
from tollgate.core.limits.shares import Shares


class Used(Protocol):
    """What a call used, as far as limits count it: `core.calls.usage.Counts` is one."""

    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def cache_read_tokens(self) -> int: ...


class Estimated(Protocol):
    """What a call may use: `core.calls.reservation.Reservation` is one."""

    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def cost_nanousd(self) -> int: ...


@dataclass(frozen=True, slots=True)
class MeterRow:
    """What there is to know of a meter.

    `number` is how the store names it, and never changes. `noun` is its word in messages, `header`
    the one in the names of headers (None: no header tells it), `unit` the parameter of the IETF's
    headers. `estimated` and `used` say how much of it a call may use, and did; the cost of a call
    is known beside its usage. `estimated_output`: the part of the estimate that is output, which
    may be a guess. `tokens`: calls that use no tokens are not limited by it.
    """

    number: int
    noun: str
    header: str | None
    unit: str
    estimated: Callable[[Estimated], int]
    used: Callable[[Used], int]
    estimated_output: Callable[[Estimated], int] = lambda _: 0
    tokens: bool = False


# Of every call, when it is admitted and when it is settled: a lambda would cost more.
_IN, _OUT = attrgetter("input_tokens"), attrgetter("output_tokens")

METERS: Mapping[Meter, MeterRow] = MappingProxyType(
    {
        Meter.REQUESTS: MeterRow(1, "requests", "requests", "", lambda _: 1, lambda _: 1),
        Meter.TOKENS: MeterRow(
            2,
            "tokens",
            "tokens",
            ';qu="tollgate-tokens"',
            _IN,
            lambda used: used.input_tokens + used.output_tokens,
            _OUT,
            tokens=True,
        ),
        Meter.INPUT_TOKENS: MeterRow(
            3, "input tokens", "input-tokens", ';qu="tollgate-input-tokens"', _IN, _IN, tokens=True
        ),
        Meter.OUTPUT_TOKENS: MeterRow(
            4,
            "output tokens",
            "output-tokens",
            ';qu="tollgate-output-tokens"',
            lambda _: 0,
            _OUT,
            _OUT,
            tokens=True,
        ),
        Meter.UNCACHED_TOKENS: MeterRow(
            5,
            "uncached tokens",
            None,
            ';qu="tollgate-uncached-tokens"',
            _IN,
            lambda used: used.input_tokens - used.cache_read_tokens + used.output_tokens,
            _OUT,
            tokens=True,
        ),
        Meter.CALLS: MeterRow(
            6, "parallel calls", None, ';qu="concurrent-requests"', lambda _: 1, lambda _: 0
        ),
        Meter.USD: MeterRow(7, "dollars", None, "", attrgetter("cost_nanousd"), lambda _: 0),
    }
)
"""Every meter, in the order in which an account's limits are checked."""

_ORDER = {meter: number for number, meter in enumerate(METERS)}


def applies(meter: Meter, *, tokens: bool, money: bool) -> bool:
    """Whether calls that use tokens and cost money, or do not, are limited by a meter."""
    return money if meter is Meter.USD else tokens or not METERS[meter].tokens


EVER = "ever"
"""The duration of a counter that never starts anew."""


class Bucket(Struct, frozen=True, array_like=True, tag="bucket", gc=False):
    """A token bucket: the amount is its capacity, and refills continuously in so many seconds."""

    seconds: int


class Recurring(Struct, frozen=True, array_like=True, tag="period", gc=False):
    """A period of a duration, after which counting starts anew.

    Periods roll from `since_us` (0: from the creation of whoever is limited), or align to the
    `calendar` of a time zone (an IANA name).
    """

    duration: str
    calendar: str | None = None
    since_us: int = 0


class Forever(Struct, frozen=True, array_like=True, tag="forever", gc=False):
    """Counting never starts anew."""


class InFlight(Struct, frozen=True, array_like=True, tag="in_flight", gc=False):
    """What runs at the same time."""


Window = Bucket | Recurring | Forever | InFlight


class Raise(Struct, frozen=True, gc=False):
    """What is added to a limit's amount until a moment."""

    amount: int
    until_us: int

    def at(self, now_us: int) -> int:
        """Return what it adds at an instant."""
        return self.amount if now_us < self.until_us else 0


class Limit(Struct, frozen=True, gc=False):
    """What a scope may use of a meter within a window; dollars are nano-dollars.

    0 allows nothing. `alert_at`: thousandths of the amount at which an alert is told. `shares`: how
    the amount is divided among callers.
    """

    meter: Meter
    amount: int
    window: Window = Forever()
    enforcement: Enforcement = ENFORCED
    increase: Raise | None = None
    rollover: int | None = None
    alert_at: tuple[int, ...] = ()
    shares: Shares | None = None

    @property
    def counter(self) -> str:
        """What tells it from the other limits of its scope: its meter, and how long its window is.

        A limit whose amount or calendar changes goes on with what was counted.
        """
        return f"{self.meter.value}/{_length(self.window)}"

    @property
    def order(self) -> tuple[int, int]:
        """Where it stands among its scope's limits: by meter, then the shorter window first."""
        return _ORDER[self.meter], window_us(self.window)

    def shadowed(self) -> Limit:
        """Return the limit in shadow mode."""
        return structs.replace(self, enforcement=structs.replace(self.enforcement, shadow=True))

    def begun(self, since_us: int) -> Limit:
        """Return the limit with its periods counted from a moment, if it has any."""
        if not isinstance(self.window, Recurring):
            return self
        return structs.replace(self, window=structs.replace(self.window, since_us=since_us))

    def in_force(self, since_us: int, now_us: int) -> Quota:
        """Return the limit as it stands at an instant.

        `since_us` is where periods are counted from that have no point of their own.
        """
        window = self.window
        seconds = window.seconds if isinstance(window, Bucket) else 0
        duration = None if isinstance(window, Bucket | InFlight) else _length(window)
        period = FOREVER
        if isinstance(window, Recurring):
            began_us = window.since_us or since_us
            period = period_at(window.duration, began_us, now_us, window.calendar)
        found = Quota(
            self.meter,
            self.amount,
            seconds,
            duration,
            period,
            self.enforcement,
            rollover=self.rollover,
        )
        return raised(found, self.increase, now_us)


def counter_of(quota: Quota) -> str:
    """Return what tells a limit in force from the others of its scope, as `Limit.counter`."""
    if quota.seconds:
        return f"{quota.meter.value}/{_length(Bucket(quota.seconds))}"
    if quota.meter is Meter.CALLS:
        return f"{quota.meter.value}/{_length(InFlight())}"
    return f"{quota.meter.value}/{quota.duration}"


def raised(quota: Quota, increase: Raise | None, now_us: int) -> Quota:
    """Return a limit in force with a raise that may have ended."""
    added = 0 if increase is None else increase.at(now_us)
    if increase is None or not added:
        return quota
    amount = min(quota.amount + added, largest_in_force(quota))
    return structs.replace(
        quota, amount=amount, raised=amount - quota.amount, raised_until_us=increase.until_us
    )


def shadowed(quota: Quota) -> Quota:
    """Return a limit in force in shadow mode."""
    return structs.replace(quota, enforcement=structs.replace(quota.enforcement, shadow=True))


def largest_in_force(quota: Quota) -> int:
    """Return the largest amount of a limit in force that the store counts exactly."""
    return most_amount(quota.seconds) if quota.seconds else MAX_EXACT


def window_us(window: Window) -> int:
    """Return how long a window is, in microseconds; for ever is longer than all others."""
    match window:
        case Bucket(seconds=seconds):
            return seconds * 1_000_000
        case Recurring(duration=duration):
            return parse_duration(duration).length_us
        case Forever():
            return MAX_EXACT
        case _:
            return 0


def _length(window: Window) -> str:
    match window:
        case Bucket(seconds=seconds):
            return f"bucket/{seconds}s"
        case Recurring(duration=duration):
            parsed = parse_duration(duration)
            return f"{parsed.count}{parsed.unit}"
        case Forever():
            return EVER
        case _:
            return "in flight"


def window_of(meter: Meter, per: str | None, calendar: str | None = None) -> Window:
    """Return the window of the general form, `{"meter": ..., "per": "1d", "calendar": ...}`.

    Rates of anything but dollars refill continuously, unless a calendar or a month asks for a
    period. Without `per` an amount is for ever, and calls are those in flight.

    Raises BadRequest for a duration that is none.
    """
    if meter is Meter.CALLS:
        return InFlight()
    if per is None:
        return Forever()
    duration = parse_duration(per)
    if meter is Meter.USD or calendar is not None or duration.unit == "mo":
        return Recurring(per, calendar)
    return Bucket(seconds_of(duration))


def seconds_of(duration: Duration) -> int:
    """Return the seconds of a duration that is not counted in months."""
    return duration.length_us // 1_000_000


def largest_amount(window: Window) -> int:
    """Return the largest amount of a limit that the store counts exactly."""
    return most_amount(window.seconds) if isinstance(window, Bucket) else MAX_EXACT


@dataclass(frozen=True, slots=True)
class Kind:
    """A limit that has a field of its own: `field` is its name on the wire, `rate` its name in
    messages.
    """

    field: str
    meter: Meter
    window: Window
    rate: str

    @property
    def counter(self) -> str:
        """The counter of limits of this kind."""
        return Limit(self.meter, 0, self.window).counter


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.field: kind
        for kind in (
            Kind("rpm_limit", Meter.REQUESTS, Bucket(60), "RPM"),
            Kind("tpm_limit", Meter.TOKENS, Bucket(60), "TPM"),
            Kind("rpd_limit", Meter.REQUESTS, Bucket(86_400), "RPD"),
            Kind("tpd_limit", Meter.TOKENS, Bucket(86_400), "TPD"),
            Kind("max_parallel_requests", Meter.CALLS, InFlight(), ""),
        )
    }
)
"""The limits that have a field of their own, beside the budget (`max_budget`)."""


_RATES = {kind.counter: kind.rate for kind in KINDS.values() if kind.rate}
_WORDS = {"1m": "min", "60s": "min", "1h": "hour", "1d": "day", "1w": "week", "1mo": "month"}
_UNITS = ((604_800, "w"), (86_400, "d"), (3600, "h"), (60, "m"))


def duration_of(seconds: int) -> str:
    """Return so many seconds as a duration, as `1m` or `90s`."""
    for size, unit in _UNITS:
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def length_of(quota: Quota) -> str:
    """Return how long the window of a limit in force is, as `1m` or `1mo`; empty: it has no end."""
    if quota.seconds:
        return duration_of(quota.seconds)
    return "" if quota.duration in (None, EVER) else str(quota.duration)


def shown_length(quota: Quota) -> str:
    """Return how long the window is, as `length_of`; of a budget, whose duration is its scope's,
    the length of the current period, so that a month counts its days.
    """
    period = quota.period
    if quota.duration is None and period.end_us:
        return duration_of((period.end_us - period.start_us) // 1_000_000)
    return length_of(quota)


def described(quota: Quota) -> str:
    """Return a limit in force in the words of a message: `tokens per min (TPM)`."""
    length = length_of(quota)
    per = f" per {_WORDS.get(length, length)}" if length else ""
    rate = ""
    if quota.seconds and not quota.trickle:
        rate = _RATES.get(Limit(quota.meter, 0, Bucket(quota.seconds)).counter, "")
    throttled = ", throttled" if quota.trickle else ""
    share = "" if quota.share is None else f", {quota.share.words}"
    return f"{METERS[quota.meter].noun}{per}" + (f" ({rate})" if rate else "") + throttled + share


def named(scope: Scope, quota: Quota) -> str:
    """Return a limit and whose it is, as `key requests per min (RPM)`, in ASCII."""
    narrowed = "" if scope.model is None else f" for {scope.model}"
    text = f"{scope.kind.replace('_', ' ')}{narrowed} {described(quota)}"
    return text.encode("ascii", "replace").decode()
