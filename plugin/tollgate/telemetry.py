"""Record metrics and log events, one function per event (counting.py gathers the counts)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from prometheus_client import Counter, Gauge, Histogram

from tollgate.core.calls.decision import Refusal
from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.calls.usage import Certainty
from tollgate.core.money.billing import PARTS
from tollgate.counting import (
    BUCKETS_S,
    OTHER,
    Durations,
    count,
    gathered,
    labelled,
    model_label,
    publish_counts,
)
from tollgate.log_lines import LinesASecond, SeldomLine
from tollgate.outage import Outage

PUBLISHED_AFTER_S = 0.5
# Bounds the cost and the log lines of callers who retry refused requests.
_REFUSALS_A_SECOND = 10

_log = logging.getLogger("tollgate")

outage = Outage()
"""What this process has seen of the store's failures."""

_ADMITTED = Counter("tollgate_requests_admitted", "Requests that passed admission")
_REFUSED = Counter("tollgate_requests_refused", "Requests that were refused", ["status", "reason"])
_LIMIT_REFUSALS = Counter(
    "tollgate_limit_refusals",
    "Requests that a limit refused, by whose limit it is, its meter and its window",
    ["scope", "meter", "window"],
)
_REFUSALS_DROPPED = Counter(
    "tollgate_refusals_dropped",
    "Refusals that were not recorded, because the store was slow or down",
)
_ALERTS = Counter(
    "tollgate_alerts", "Alerts of limits that came to a threshold", ["event", "scope"]
)
_WAITED = Counter(
    "tollgate_requests_waited",
    "Requests that waited for room in a limit, by how it ended",
    ["outcome"],
)
_OVERFLOWS = Counter(
    "tollgate_dimension_overflows",
    "Values of dimensions, or customers, that were new when as many were remembered as may be",
    ["dimension"],
)
_SHADOW = Counter(
    "tollgate_requests_shadow",
    "Requests that limits in shadow mode would have refused, by those limits",
    ["limits"],
)
_INSTEAD = Counter(
    "tollgate_requests_other_model",
    "Requests that a limit let another model serve",
    ["model", "instead"],
)
_UNMETERED = Counter(
    "tollgate_requests_unmetered", "Requests let through unmetered while the store was down"
)
_SETTLED = Counter(
    "tollgate_requests_settled",
    "Reservations settled, by how sure the usage is and who settled",
    ["certainty", "by"],
)
_UNSEEN = Counter(
    "tollgate_replies_unseen",
    "Replies that passed unread, charged by what the access log tells",
)
_TOKENS = Counter("tollgate_tokens", "Tokens of settled requests", ["model", "direction"])
_SPEND = Counter("tollgate_spend_dollars", "Dollars of settled requests", ["model"])
_CERTAINTY_DOLLARS = Counter(
    "tollgate_certainty_dollars",
    "Dollars of settled requests, by how sure the usage is that they were charged for",
    ["certainty"],
)
_UNPRICED = Counter(
    "tollgate_unpriced_parts",
    "Parts of settled requests that have no price of their own: charged as what holds them, or not"
    " at all",
    ["part"],
)
_OTHER_MODEL = Counter(
    "tollgate_replies_of_other_models",
    "Replies that name another model than was admitted",
    ["model"],
)
_TOLD = Counter(
    "tollgate_told_dollars",
    "Dollars that replies told, of models that have a price",
    ["provider", "model"],
)
_TABLE = Counter(
    "tollgate_table_dollars",
    "Dollars by the table of prices, of requests whose reply told its own",
    ["provider", "model"],
)
_ESTIMATED_DOLLARS = Counter(
    "tollgate_estimated_dollars",
    "Dollars that calls of exact usage were estimated at when they were admitted",
    ["provider"],
)
_EXACT_DOLLARS = Counter(
    "tollgate_exact_dollars", "Dollars that the same calls were charged", ["provider"]
)
_RENEWED = Counter(
    "tollgate_leases_renewed", "Leases that reports of running calls extended", ["model"]
)
_SPANS_DROPPED = Counter(
    "tollgate_spans_dropped", "Decisions and calls of which no trace has a span: too many waited"
)
_STORE_ERRORS = Counter("tollgate_store_errors", "Store operations that failed", ["operation"])
_ADMISSION_SECONDS = Histogram(
    "tollgate_admission_seconds", "Time to decide about a request", buckets=BUCKETS_S
)
_STORE_SECONDS = Histogram(
    "tollgate_store_seconds", "Time of a store operation, its way there and back", buckets=BUCKETS_S
)
_WAIT_SECONDS = Histogram(
    "tollgate_wait_seconds",
    "Time that requests waited for room in a limit (hold_wait_ms, max_wait_ms)",
    buckets=(*BUCKETS_S, 2.5, 5, 10, 30),
)
_ENVOYS = Gauge(
    "tollgate_envoy_access_logs",
    "Access log streams that Envoys keep open to the workers, by Envoy's version",
    ["version"],
    multiprocess_mode="livesum",
)
# A gauge, because only gauges keep the workers apart when the admin server sums them.
_DECISIONS = Gauge(
    "tollgate_worker_decisions", "Decisions that a worker has made", multiprocess_mode="liveall"
)


_unseen_line = SeldomLine(every_s=10.0)


_admissions, _answers = Durations(_ADMISSION_SECONDS), Durations(_STORE_SECONDS)
_waits = Durations(_WAIT_SECONDS)
_NANOUSD_PER_USD = 1_000_000_000
# By certainty, settler, provider and model: count, input tokens, output tokens, nano-dollars
# charged and estimated.
_settlements: dict[tuple[str, str, str, str], list[int]] = {}


def publish() -> None:
    """Publish what was gathered."""
    _DECISIONS.inc(_admissions.publish())
    _answers.publish()
    _waits.publish()
    for (certainty, by, provider, model), sums in _settlements.items():
        times, input_tokens, output_tokens, cost_nanousd, estimated_nanousd = sums
        cost_usd = cost_nanousd / _NANOUSD_PER_USD
        count(labelled(_SETTLED, certainty, by), times)
        count(labelled(_TOKENS, model, "input"), input_tokens)
        count(labelled(_TOKENS, model, "output"), output_tokens)
        count(labelled(_SPEND, model), cost_usd)
        count(labelled(_CERTAINTY_DOLLARS, certainty), cost_usd)
        if certainty == Certainty.EXACT:
            count(labelled(_ESTIMATED_DOLLARS, provider), estimated_nanousd / _NANOUSD_PER_USD)
            count(labelled(_EXACT_DOLLARS, provider), cost_usd)
    _settlements.clear()
    publish_counts()


async def keep_published() -> None:
    """Publish forever what is gathered, and once more when cancelled.

    An idle process is not woken.
    """
    try:
        while True:
            await gathered.wait()
            await asyncio.sleep(PUBLISHED_AFTER_S)
            publish()
    finally:
        publish()


def admitted() -> None:
    """Record an admitted request."""
    count(_ADMITTED)


def shadowed(limits: str) -> None:
    """Record an admitted request that limits in shadow mode would have refused."""
    count(labelled(_SHADOW, limits))


def served_instead(model: str, instead: str) -> None:
    """Record an admitted request that another model serves than the one that it asked for."""
    count(labelled(_INSTEAD, model, instead))


def value_overflowed(dimension: str) -> None:
    """Record a value for which there was no room, with a log line now and then."""
    count(labelled(_OVERFLOWS, dimension))
    if _overflows.due():
        _log.warning(
            "as many values of %s are remembered as may be: new ones share limits or are refused",
            dimension,
        )


_overflows = SeldomLine(every_s=60.0)
_refusals = LinesASecond(_REFUSALS_A_SECOND)


def refused(refusal: Refusal, request_id: str, key_name: str | None) -> None:
    """Record a refused request, with a log line unless there are too many."""
    status, reason, limit = refusal.status, refusal.reason, refusal.limit
    count(labelled(_REFUSED, str(status), reason))
    if limit is not None:
        count(labelled(_LIMIT_REFUSALS, limit.scope, limit.meter, limit.window))
    if _refusals.show():
        more = f"; {_refusals.hidden} more refusals since the last line" if _refusals.hidden else ""
        _refusals.hidden = 0
        key = "-" if key_name is None else repr(key_name)
        extra = {"request_id": request_id, "key": key_name, "status": status, "reason": reason}
        _log.info("refused %s: key %s, %d %s%s", request_id, key, status, reason, more, extra=extra)


def refusals_dropped(times: int) -> None:
    """Record refusals that nobody can look up later."""
    count(_REFUSALS_DROPPED, times)


def cools_down(deployment: str, seconds: int) -> None:
    """Report that a deployment gets no calls for a while."""
    _log.warning("deployment %s failed too often: it cools down for %d s", deployment, seconds)


def alerted(event: str, scope: str) -> None:
    """Record that a limit of a kind of scope has come to a threshold."""
    count(labelled(_ALERTS, event, scope))


def waited(seconds: float, *, admitted: bool) -> None:
    """Record a request that waited for room in a limit, and for how long."""
    count(labelled(_WAITED, "admitted" if admitted else "refused"))
    _waits.add(seconds)


def decided(seconds: float) -> None:
    """Record the duration of a decision."""
    _admissions.add(seconds)


def store_answered(seconds: float) -> None:
    """Record the duration of a store operation."""
    _answers.add(seconds)


def unmetered() -> None:
    """Record a request that passed uncounted."""
    count(_UNMETERED)
    outage.unmetered()


def settled(reservation: Reservation, settlement: Settlement, provider: str) -> None:
    """Record a settled reservation, with a log line at `debug`.

    Its model is a public name; beyond a thousand they share a label.
    """
    usage, certainty, by = settlement.usage, settlement.certainty.value, settlement.settled_by
    input_tokens, output_tokens = usage.input_tokens, usage.output_tokens
    cost_nanousd = settlement.cost_nanousd
    if _log.isEnabledFor(logging.DEBUG):
        tokens = f"{input_tokens} + {output_tokens} tokens"
        told = f"{reservation.model!r}, {tokens}, {cost_nanousd} nano-dollars"
        extra = {"request_id": reservation.id, "certainty": certainty, "by": by}
        _log.debug("settled %s: %s, %s by %s", reservation.id, told, certainty, by, extra=extra)
    kind = certainty, by, provider, model_label(reservation.model)
    estimated_nanousd = reservation.cost_nanousd
    sums = _settlements.get(kind)
    if sums is None:
        gathered.set()
        _settlements[kind] = [1, input_tokens, output_tokens, cost_nanousd, estimated_nanousd]
    else:
        sums[0] += 1
        sums[1] += input_tokens
        sums[2] += output_tokens
        sums[3] += cost_nanousd
        sums[4] += estimated_nanousd


def unseen(reservation_id: str) -> None:
    """Record a reply that ext_proc should have read and did not see to its end."""
    count(_UNSEEN)
    if _unseen_line.due():
        _log.warning(
            "the reply to %s passed unread, and is charged by its length and what its model had"
            " lately: ext_proc was silent, or saw no body. Where Envoy's ext_proc has"
            " allow_mode_override: false, set its response_body_mode: STREAMED"
            " (%d such replies so far)",
            reservation_id,
            _unseen_line.times,
        )


def renewed(model: str) -> None:
    """Record a lease that a running call's report has extended. `model` is a public name."""
    count(labelled(_RENEWED, model_label(model)))


def access_log_opened(version: str) -> None:
    """Record that an Envoy of some version has opened its access log's stream."""
    _ENVOYS.labels(version).inc()


def access_log_closed(version: str) -> None:
    """Record the end of such a stream."""
    _ENVOYS.labels(version).dec()


def unpriced(parts: Sequence[str]) -> None:
    """Record parts of a settled request without a price.

    Provider words that core.money.billing does not know count as one.
    """
    for part in parts:
        count(labelled(_UNPRICED, part if part in PARTS else OTHER))


def other_model(model: str) -> None:
    """Record a reply that names a model other than the admitted one."""
    count(labelled(_OTHER_MODEL, model_label(model)), 1)


def told(provider: str, model: str, told_nanousd: int, table_nanousd: int) -> None:
    """Record the cost that a reply reports beside the cost by the price table."""
    model = model_label(model)
    count(labelled(_TOLD, provider, model), told_nanousd / _NANOUSD_PER_USD)
    count(labelled(_TABLE, provider, model), table_nanousd / _NANOUSD_PER_USD)


def span_dropped() -> None:
    """Record a decision or a call that is missing in its trace."""
    count(_SPANS_DROPPED)


def store_failed(operation: str, error: Exception) -> None:
    """Record a store operation that failed, timed out, or was refused."""
    count(labelled(_STORE_ERRORS, operation))
    outage.failed(error)


def keys_evicted(count: int) -> None:
    """Record keys dropped by the store, which may be entities or spend."""
    _log.error(
        "the store's memory is full, and it has dropped %d keys: set maxmemory-policy noeviction",
        count,
    )


def settlements_postponed(reservation_ids: Sequence[str], error: Exception) -> None:
    """Record settlements that failed for good; their leases will expire and be charged as held."""
    store_failed("settle", error)
    _log.error(
        "settlement of %s failed and is left to the lease: %s", ", ".join(reservation_ids), error
    )


def prices_not_read(error: Exception) -> None:
    """Record that the price file became unusable; its last content still applies."""
    _log.error("prices stay as they were: %s", error)


def certificate_not_read(error: Exception) -> None:
    """Record that a changed certificate cannot be read; the former one still serves."""
    _log.error("the certificate stays as it was: %s", error)


def failed(where: str) -> None:
    """Record an unexpected error at an outer edge, with the traceback of the current exception."""
    _log.exception("unexpected error in %s", where)
