"""Show what passes through a gateway, live, and which limits it fills, from its /metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Annotated

import typer

from tollgate.commands.errors import failing_clearly
from tollgate.commands.gateway import DEFAULT_URL, MasterKey, Url, reason, unreachable
from tollgate.core.errors import TollgateError

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

Series = tuple[str, tuple[tuple[str, str], ...]]
Sample = Mapping[Series, float]

_TIMEOUT_S = 5.0
_SHOWN = 8
_USED_RATIO, _EMPTY_SECONDS = "tollgate_limit_used_ratio", "tollgate_limit_empty_seconds"


@dataclass(frozen=True, slots=True)
class CounterRates:
    """The growth of the counters between two samples, per second."""

    before: Sample
    after: Sample
    seconds: float

    def total(self, name: str, **labels: str) -> float:
        """Return the rate of all series of a name that carry these labels."""
        return sum(
            rate
            for (found, carried), rate in self._rates().items()
            if found == name and labels.items() <= dict(carried).items()
        )

    def by(self, name: str, label: str) -> dict[str, float]:
        """Return the rates of a name's series by one of their labels, fastest first."""
        found: dict[str, float] = {}
        for (each, carried), rate in self._rates().items():
            if each == name and rate > 0:
                value = dict(carried).get(label, "")
                found[value] = found.get(value, 0.0) + rate
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def quantile_ms(self, name: str, share: float) -> str:
        """Return the quantile of a histogram's new observations, in milliseconds.

        The result is the upper bound of the bucket that contains the quantile.
        """
        buckets = sorted(
            (float(dict(carried)["le"]), rate)
            for (found, carried), rate in self._rates().items()
            if found == f"{name}_bucket"
        )
        if not buckets or buckets[-1][1] <= 0:
            return "-"
        bound = next(bound for bound, rate in buckets if rate >= share * buckets[-1][1])
        if bound != float("inf"):
            return f"<= {bound * 1000:g} ms"
        return f"> {buckets[-2][0] * 1000:g} ms"

    def _rates(self) -> dict[Series, float]:
        # A restarted process counts from zero: no rate is better than a negative one.
        return {
            series: max(0.0, value - self.before.get(series, 0.0)) / self.seconds
            for series, value in self.after.items()
        }


def sample(text: str) -> Sample:
    """Parse /metrics into numbers by name and labels."""
    from prometheus_client.parser import text_string_to_metric_families

    return {
        (each.name, tuple(sorted(each.labels.items()))): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def view(rates: CounterRates) -> Group:
    """Build one screen."""
    from rich.console import Group
    from rich.table import Table

    traffic = Table(title="a second", show_header=False, title_justify="left")
    traffic.add_row("requests admitted", f"{rates.total('tollgate_requests_admitted_total'):.1f}")
    traffic.add_row("requests refused", f"{rates.total('tollgate_requests_refused_total'):.1f}")
    traffic.add_row("tokens in", f"{rates.total('tollgate_tokens_total', direction='input'):.0f}")
    traffic.add_row("tokens out", f"{rates.total('tollgate_tokens_total', direction='output'):.0f}")
    traffic.add_row("dollars", f"{rates.total('tollgate_spend_dollars_total'):.6f}")
    traffic.add_row("store errors", f"{rates.total('tollgate_store_errors_total'):.1f}")
    latency = Table("latency", "median", "99 %", title_justify="left")
    for noun, name in (
        ("admission", "tollgate_admission_seconds"),
        ("store", "tollgate_store_seconds"),
    ):
        latency.add_row(noun, rates.quantile_ms(name, 0.5), rates.quantile_ms(name, 0.99))
    return Group(
        traffic,
        latency,
        _fullest(rates.after),
        _ranked("refused for", rates.by("tollgate_requests_refused_total", "reason")),
        _ranked("dollars by model", rates.by("tollgate_spend_dollars_total", "model")),
        _ranked("decisions by worker (process)", rates.by("tollgate_worker_decisions", "pid")),
    )


def _fullest(levels: Sample) -> Table | Text:
    """Build the list of the limits that will be used up first, and of the fullest others."""
    from rich.table import Table
    from rich.text import Text

    found = {labels: share for (name, labels), share in levels.items() if name == _USED_RATIO}
    if not found:
        return Text("limits used up first: none", style="dim")
    table = Table("limits used up first", "limit", "used", "empty in", title_justify="left")

    def order(labels: tuple[tuple[str, str], ...]) -> tuple[float, float]:
        return levels.get((_EMPTY_SECONDS, labels), inf), -found[labels]

    for labels in sorted(found, key=order)[:_SHOWN]:
        named, share = dict(labels), found[labels]
        limit = " ".join(filter(None, (named["meter"], named["window"], named["model"])))
        empty_s = levels.get((_EMPTY_SECONDS, labels))
        table.add_row(f"{named['scope']} {named['name']}", limit, f"{share:.0%}", _time(empty_s))
    return table


def _time(seconds: float | None) -> str:
    """Return a time in its largest unit; None: it will not come."""
    if seconds is None:
        return "-"
    if seconds == 0:
        return "now"
    for unit, length_s in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def _ranked(title: str, rates: Mapping[str, float]) -> Table | Text:
    from rich.table import Table
    from rich.text import Text

    if not rates:
        return Text(f"{title}: none", style="dim")
    table = Table(title, "a second", title_justify="left")
    for name, rate in list(rates.items())[:_SHOWN]:
        table.add_row(name, f"{rate:.4g}")
    return table


def top(
    url: Url = DEFAULT_URL,
    every: Annotated[float, typer.Option(min=0.2, help="seconds between two looks")] = 1.0,
    times: Annotated[
        int, typer.Option(min=0, help="number of samples; 0 continues until Ctrl-C")
    ] = 0,
    master_key: MasterKey = None,
) -> None:
    """Show requests, tokens and dollars a second, latencies, refusals, and the limits that will be
    used up first at the present rate, live.

    Example: `tollgate top --every 5`
    """
    with failing_clearly():
        _watch(lambda: _read(url.rstrip("/") + "/metrics", master_key), every, times)


def _watch(read: Callable[[], Sample], every: float, times: int) -> None:
    from rich.live import Live

    before, at = read(), time.monotonic()
    looks = 0
    with Live(auto_refresh=False) as live:
        while times == 0 or looks < times:
            time.sleep(every)
            after, now = read(), time.monotonic()
            live.update(view(CounterRates(before, after, now - at)), refresh=True)
            before, at, looks = after, now, looks + 1


def _read(address: str, master_key: str | None) -> Sample:
    import httpx

    headers = {} if master_key is None else {"authorization": f"Bearer {master_key}"}
    try:
        return sample(
            httpx.get(address, headers=headers, timeout=_TIMEOUT_S).raise_for_status().text
        )
    except unreachable() as error:
        raise TollgateError(f"no metrics at {address}: {reason(error)}") from error
