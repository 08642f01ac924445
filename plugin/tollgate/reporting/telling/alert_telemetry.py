"""Record metrics and log events of telling alerts, one function per event."""

from __future__ import annotations

from prometheus_client import Counter

_TRIES = Counter(
    "tollgate_alert_tries",
    "Attempts to tell an alert, by receiver and how it ended: told, failed, given_up",
    ["sink", "outcome"],
)


_LOST = Counter(
    "tollgate_alerts_lost",
    "Alerts that a receiver, or the history, will not get: it was away, and the store dropped them",
    ["sink"],
)
HISTORY = "history"
"""The label of what the history will not have."""


def told(sink: str) -> None:
    """Record that a sink took an alert."""
    _TRIES.labels(sink, "told").inc()


def not_told(sink: str, *, given_up: bool) -> None:
    """Record that a sink did not take an alert."""
    _TRIES.labels(sink, "given_up" if given_up else "failed").inc()


def alerts_lost(sink: str, alerts: int) -> None:
    """Record that a sink will not get some alerts."""
    _LOST.labels(sink).inc(alerts)
