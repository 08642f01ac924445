"""Record metrics and log events of the history, one function per event.

No request waits for them, so they are published at once.
"""

from __future__ import annotations

import logging

from prometheus_client import Counter, Gauge

_log = logging.getLogger("tollgate")

_RECORDED = Counter("tollgate_history_records", "Records that the history has taken in")
_OVERFLOWED = Counter(
    "tollgate_history_overflowed",
    "Records that went to a file, since the history was away and the store had no room",
)
_LAG_SECONDS = Gauge(
    "tollgate_history_lag_seconds",
    "Age of the oldest settled call that the history does not have yet",
    multiprocess_mode="mostrecent",
)
_DAMAGED = Counter("tollgate_history_damaged", "Lines of overflow files that could not be read")
_REFUSALS_LOST = Counter(
    "tollgate_refusals_lost",
    "Refused requests that the history will not have: it was away, and the store dropped them",
)
_EVENTS_DELIVERED = Counter(
    "tollgate_events_delivered", "Events of settled calls that a sink has acknowledged", ["sink"]
)
_EVENTS_FAILED = Counter(
    "tollgate_events_failed", "Deliveries of events that a sink did not acknowledge", ["sink"]
)
_EVENTS_LOST = Counter(
    "tollgate_events_lost",
    "Events that a sink will not get: the store had no room until it answered",
    ["sink"],
)


def events_delivered(sink: str, events: int) -> None:
    """Record that a sink has acknowledged events."""
    _EVENTS_DELIVERED.labels(sink).inc(events)


def event_failed(sink: str) -> None:
    """Record that a sink did not take events; they are delivered again."""
    _EVENTS_FAILED.labels(sink).inc()


def events_lost(sink: str, events: int) -> None:
    """Record that a sink will not get some events."""
    _EVENTS_LOST.labels(sink).inc(events)


def refusals_lost(requests: int) -> None:
    """Record that the history will not have some refusals."""
    _REFUSALS_LOST.inc(requests)


def recorded(records: int) -> None:
    """Record that the history has taken in some records."""
    _RECORDED.inc(records)


def lags(seconds: float) -> None:
    """Record how old the oldest record is that the history does not have yet."""
    _LAG_SECONDS.set(seconds)


def overflowed(records: int) -> None:
    """Record that some records went to a file, from which they will be taken in."""
    _OVERFLOWED.inc(records)


def overflow_not_read(file: str) -> None:
    """Record a damaged line of an overflow file, such as a power cut leaves."""
    _DAMAGED.inc()
    _log.error("%s: a line is damaged, and its record is not in the history", file)


def not_read(error: Exception) -> None:
    """Log that a report could not be had."""
    _log.warning("the history's database does not answer: %s", error)
