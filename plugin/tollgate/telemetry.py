"""Record metrics and log events, one function per event.

Counts are gathered in the process and published within half a second, into files that the admin
server sums over the workers (prometheus-client's multiprocess mode). Writing them immediately would
cost a request 30 us. A worker that dies loses at most half a second of counts.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache

from prometheus_client import Counter, Gauge, Histogram

from tollgate.core.money.billing import PARTS
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
    "tollgate_told_dollars", "Dollars that replies told, of models that have a price", ["model"]
)
_TABLE = Counter(
    "tollgate_table_dollars",
    "Dollars by the table of prices, of requests whose reply told its own",
    ["model"],
)
_RENEWED = Counter(
    "tollgate_leases_renewed", "Leases that reports of running calls extended", ["model"]
)
_STORE_ERRORS = Counter("tollgate_store_errors", "Store operations that failed", ["operation"])
_BUCKETS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
_ADMISSION_SECONDS = Histogram(
    "tollgate_admission_seconds", "Time to decide about a request", buckets=_BUCKETS
)
_STORE_SECONDS = Histogram(
    "tollgate_store_seconds", "Time of a store operation, its way there and back", buckets=_BUCKETS
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


class _Times:
    """Durations since the last publication: counts per bucket, and their sum."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._counts = [0] * (len(_BUCKETS) + 1)
        self._sum_s = 0.0

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(_BUCKETS, seconds)] += 1
        self._sum_s += seconds
        _gathered.set()

    def publish(self) -> int:
        """Publish and return the number of durations."""
        counts, self._counts = self._counts, [0] * len(self._counts)
        sum_s, self._sum_s = self._sum_s, 0.0
        # What `observe` does for one value; prometheus-client cannot take several at once.
        for value, count in zip(self._histogram._buckets, counts, strict=True):
            if count:
                value.inc(count)
        self._histogram._sum.inc(sum_s)
        return sum(counts)


_admissions, _answers = _Times(_ADMISSION_SECONDS), _Times(_STORE_SECONDS)
_counts: dict[Counter, float] = {}
# By certainty, settler and model: count, input tokens, output tokens, nano-dollars.
_settlements: dict[tuple[str, str, str], list[int]] = {}
_gathered = asyncio.Event()
_labelled = lru_cache(maxsize=4096)(lambda counter, *values: counter.labels(*values))
# Clients choose names that a wildcard serves, and a series lives as long as the process.
_MOST_MODELS = 1000
_OTHER = "other"
_models: set[str] = set()


def _model_label(model: str) -> str:
    """Return the label of a model: its name, or "other" beyond a thousand names."""
    if model not in _models:
        if len(_models) >= _MOST_MODELS:
            return _OTHER
        _models.add(model)
    return model


def _count(counter: Counter, amount: float = 1) -> None:
    _counts[counter] = _counts.get(counter, 0) + amount
    _gathered.set()


def publish() -> None:
    """Publish what was gathered."""
    _DECISIONS.inc(_admissions.publish())
    _answers.publish()
    for (certainty, by, model), (
        times,
        input_tokens,
        output_tokens,
        cost_nanousd,
    ) in _settlements.items():
        _count(_labelled(_SETTLED, certainty, by), times)
        _count(_labelled(_TOKENS, model, "input"), input_tokens)
        _count(_labelled(_TOKENS, model, "output"), output_tokens)
        _count(_labelled(_SPEND, model), cost_nanousd / 1_000_000_000)
        _count(_labelled(_CERTAINTY_DOLLARS, certainty), cost_nanousd / 1_000_000_000)
    _settlements.clear()
    _gathered.clear()
    for counter, amount in _counts.items():
        counter.inc(amount)
    _counts.clear()


async def keep_published() -> None:
    """Publish forever what is gathered, and once more when cancelled.

    An idle process is not woken.
    """
    try:
        while True:
            await _gathered.wait()
            await asyncio.sleep(PUBLISHED_AFTER_S)
            publish()
    finally:
        publish()


def admitted() -> None:
    """Record an admitted request."""
    _count(_ADMITTED)


def shadowed(limits: str) -> None:
    """Record an admitted request that limits in shadow mode would have refused."""
    _count(_labelled(_SHADOW, limits))


def served_instead(model: str, instead: str) -> None:
    """Record an admitted request that another model serves than the one that it asked for."""
    _count(_labelled(_INSTEAD, model, instead))


_refusals = LinesASecond(_REFUSALS_A_SECOND)


def refused(status: int, reason: str, request_id: str, key_name: str | None) -> None:
    """Record a refused request, with a log line unless there are too many."""
    _count(_labelled(_REFUSED, str(status), reason))
    if _refusals.show():
        more = f"; {_refusals.hidden} more refusals since the last line" if _refusals.hidden else ""
        _refusals.hidden = 0
        key = "-" if key_name is None else repr(key_name)
        extra = {"request_id": request_id, "key": key_name, "status": status, "reason": reason}
        _log.info("refused %s: key %s, %d %s%s", request_id, key, status, reason, more, extra=extra)


def refusals_dropped(count: int) -> None:
    """Record refusals that nobody can look up later."""
    _count(_REFUSALS_DROPPED, count)


def alerted(event: str, scope: str) -> None:
    """Record that a limit of a kind of scope has come to a threshold."""
    _count(_labelled(_ALERTS, event, scope))


def waited(*, admitted: bool) -> None:
    """Record a request that waited for calls in flight."""
    _count(_labelled(_WAITED, "admitted" if admitted else "refused"))


def decided(seconds: float) -> None:
    """Record the duration of a decision."""
    _admissions.add(seconds)


def store_answered(seconds: float) -> None:
    """Record the duration of a store operation."""
    _answers.add(seconds)


def unmetered() -> None:
    """Record a request that passed uncounted."""
    _count(_UNMETERED)
    outage.unmetered()


def settled(
    request_id: str,
    certainty: str,
    by: str,
    model: str,
    input_tokens: int,
    output_tokens: int,
    cost_nanousd: int,
) -> None:
    """Record a settled reservation, with a log line at `debug`.

    `model` is a public name. Beyond a thousand they share a label.
    """
    if _log.isEnabledFor(logging.DEBUG):
        told = f"{model!r}, {input_tokens} + {output_tokens} tokens, {cost_nanousd} nano-dollars"
        extra = {"request_id": request_id, "certainty": certainty, "by": by}
        _log.debug("settled %s: %s, %s by %s", request_id, told, certainty, by, extra=extra)
    model = _model_label(model)
    sums = _settlements.get((certainty, by, model))
    if sums is None:
        _settlements[certainty, by, model] = [1, input_tokens, output_tokens, cost_nanousd]
    else:
        sums[0] += 1
        sums[1] += input_tokens
        sums[2] += output_tokens
        sums[3] += cost_nanousd
    _gathered.set()


def unseen(reservation_id: str) -> None:
    """Record a reply that ext_proc should have read and did not see to its end."""
    _count(_UNSEEN)
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
    _count(_labelled(_RENEWED, _model_label(model)))


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
        _count(_labelled(_UNPRICED, part if part in PARTS else _OTHER))


def other_model(model: str) -> None:
    """Record a reply that names a model other than the admitted one."""
    _count(_labelled(_OTHER_MODEL, _model_label(model)), 1)


def told(model: str, told_nanousd: int, table_nanousd: int) -> None:
    """Record the cost that a reply reports beside the cost by the price table."""
    model = _model_label(model)
    _count(_labelled(_TOLD, model), told_nanousd / 1_000_000_000)
    _count(_labelled(_TABLE, model), table_nanousd / 1_000_000_000)


def store_failed(operation: str, error: Exception) -> None:
    """Record a store operation that failed, timed out, or was refused."""
    _count(_labelled(_STORE_ERRORS, operation))
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
