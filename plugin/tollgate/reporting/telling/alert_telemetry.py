"""Record metrics and log events of telling alerts, one function per event."""

from __future__ import annotations

import logging

from prometheus_client import Counter

_log = logging.getLogger("tollgate")

_TRIES = Counter(
    "tollgate_alert_tries",
    "Attempts to tell an alert, by receiver and how it ended: told, failed, given_up",
    ["sink", "outcome"],
)


def told(sink: str) -> None:
    """Record that a sink took an alert."""
    _TRIES.labels(sink, "told").inc()


def not_told(sink: str, alert_id: str, error: Exception, *, given_up: bool) -> None:
    """Record that a sink did not take an alert."""
    _TRIES.labels(sink, "given_up" if given_up else "failed").inc()
    outcome = "is given up" if given_up else "is tried again"
    _log.warning("alert %s did not reach %s and %s: %s", alert_id, sink, outcome, error)
