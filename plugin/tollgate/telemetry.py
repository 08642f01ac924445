"""Metrics and log events, one function per event. Counters live in files that the admin server sums over the workers
(prometheus-client's multiprocess mode), so a worker that dies takes no count with it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from prometheus_client import Counter, Gauge, Histogram

_log = logging.getLogger("tollgate")

_ADMITTED = Counter("tollgate_requests_admitted", "Requests that passed admission")
_REFUSED = Counter("tollgate_requests_refused", "Requests that were refused", ["status", "reason"])
_UNMETERED = Counter("tollgate_requests_unmetered", "Requests let through unmetered while the store was down")
_SETTLED = Counter(
    "tollgate_requests_settled", "Reservations settled, by how sure the usage is and who settled", ["certainty", "by"]
)
_TOKENS = Counter("tollgate_tokens", "Tokens of settled requests", ["model", "direction"])
_SPEND = Counter("tollgate_spend_dollars", "Dollars of settled requests", ["model"])
_STORE_ERRORS = Counter("tollgate_store_errors", "Store operations that failed", ["operation"])
_BUCKETS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
_ADMISSION_SECONDS = Histogram("tollgate_admission_seconds", "Time to decide about a request", buckets=_BUCKETS)
_STORE_SECONDS = Histogram(
    "tollgate_store_seconds", "Time of a store operation, its way there and back", buckets=_BUCKETS
)
# A gauge, because only gauges keep the workers apart when the admin server sums them.
_DECISIONS = Gauge("tollgate_worker_decisions", "Decisions that a worker has made", multiprocess_mode="liveall")


def admitted() -> None:
    """A request passed."""
    _ADMITTED.inc()


def refused(status: int, reason: str) -> None:
    """A request was refused."""
    _REFUSED.labels(str(status), reason).inc()


def decided(seconds: float) -> None:
    """A decision was made, in this time."""
    _ADMISSION_SECONDS.observe(seconds)
    _DECISIONS.inc()


def store_answered(seconds: float) -> None:
    """The store did one operation, in this time."""
    _STORE_SECONDS.observe(seconds)


def unmetered() -> None:
    """A request passed while nobody could count it."""
    _UNMETERED.inc()
    _log.warning("a request passed unmetered: the store is down and on_store_error is allow")


def settled(certainty: str, by: str, model: str, input_tokens: int, output_tokens: int, cost_nanousd: int) -> None:
    """A reservation was settled. `model` is a configured name, so the number of series is bounded."""
    _SETTLED.labels(certainty, by).inc()
    _TOKENS.labels(model, "input").inc(input_tokens)
    _TOKENS.labels(model, "output").inc(output_tokens)
    _SPEND.labels(model).inc(cost_nanousd / 1_000_000_000)


def store_failed(operation: str) -> None:
    """The store did not answer, or not in time."""
    _STORE_ERRORS.labels(operation).inc()


def settlements_postponed(reservation_ids: Sequence[str], error: Exception) -> None:
    """Settlements failed for good; the leases will run out and the holds will be charged."""
    _STORE_ERRORS.labels("settle").inc()
    _log.error("settlement of %s failed and is left to the lease: %s", ", ".join(reservation_ids), error)


def prices_not_read(error: Exception) -> None:
    """The price file has become unusable; what it said before still holds."""
    _log.error("prices stay as they were: %s", error)


def failed(where: str) -> None:
    """Something that should not happen did, at one of the outer edges; the traceback is that of the exception being handled."""
    _log.exception("unexpected error in %s", where)
