"""`tollgate top`: from two looks at /metrics to what is shown."""

from __future__ import annotations

from rich.console import Console

from tollgate.commands.reports.top import CounterRates, sample, view

BEFORE = """
# TYPE tollgate_requests_admitted counter
tollgate_requests_admitted_total 10
# TYPE tollgate_requests_refused counter
tollgate_requests_refused_total{reason="key_budget",status="401"} 5
# TYPE tollgate_admission_seconds histogram
tollgate_admission_seconds_bucket{le="0.001"} 0
tollgate_admission_seconds_bucket{le="0.01"} 0
tollgate_admission_seconds_bucket{le="+Inf"} 0
tollgate_admission_seconds_count 0
tollgate_admission_seconds_sum 0
"""
AFTER = """
# TYPE tollgate_requests_admitted counter
tollgate_requests_admitted_total 30
# TYPE tollgate_requests_refused counter
tollgate_requests_refused_total{reason="key_budget",status="401"} 7
tollgate_requests_refused_total{reason="key_requests",status="429"} 8
# TYPE tollgate_admission_seconds histogram
tollgate_admission_seconds_bucket{le="0.001"} 60
tollgate_admission_seconds_bucket{le="0.01"} 99
tollgate_admission_seconds_bucket{le="+Inf"} 100
tollgate_admission_seconds_count 100
tollgate_admission_seconds_sum 1
"""
RATES = CounterRates(sample(BEFORE), sample(AFTER), 2.0)


def test_rates_are_what_the_counters_gained() -> None:
    """A second, over all series of a name or by a label."""
    assert RATES.total("tollgate_requests_admitted_total") == 10
    assert RATES.by("tollgate_requests_refused_total", "reason") == {
        "key_requests": 4.0,
        "key_budget": 1.0,
    }


def test_latencies_are_told_by_their_bucket() -> None:
    """Median and 99 % as upper bounds; what is beyond the last bucket says so."""
    assert RATES.quantile_ms("tollgate_admission_seconds", 0.5) == "<= 1 ms"
    assert RATES.quantile_ms("tollgate_admission_seconds", 0.99) == "<= 10 ms"
    assert RATES.quantile_ms("tollgate_admission_seconds", 0.999) == "> 10 ms"
    assert RATES.quantile_ms("tollgate_store_seconds", 0.5) == "-"


def test_a_part_that_was_started_again_has_no_negative_rate() -> None:
    """Its counters begin at zero."""
    assert (
        CounterRates(sample(AFTER), sample(BEFORE), 1.0).total("tollgate_requests_admitted_total")
        == 0
    )


def test_the_screen_shows_refusals_by_limit() -> None:
    """And stands without whatever is not there."""
    console = Console(width=80)
    with console.capture() as shown:
        console.print(view(RATES))
    assert "key_requests" in shown.get()
    assert "dollars by model: none" in shown.get()


def test_the_screen_shows_the_limits_that_will_be_used_up_first() -> None:
    """Behind them the fullest of those that will not be."""
    limits = {
        ("team", "research", "usd", "30d", ""): (0.83, "7300"),
        ("key", "laptop", "requests", "1m", ""): (0.9, None),
        ("key", "phone", "tokens", "1m", ""): (0.95, None),
        ("team", "support", "requests", "1m", ""): (0.2, "40"),
        ("user", "bob", "tokens", "1d", "gpt-4o"): (1.0, "0.0"),
    }
    lines = []
    for (scope, name, meter, window, model), (share, empty_s) in limits.items():
        labels = f'scope="{scope}",name="{name}",meter="{meter}",window="{window}",model="{model}"'
        lines.append(f"tollgate_limit_used_ratio{{{labels}}} {share}")
        if empty_s is not None:
            lines.append(f"tollgate_limit_empty_seconds{{{labels}}} {empty_s}")
    levels = sample("\n".join(lines) + "\n")
    console = Console(width=80)
    with console.capture() as shown:
        console.print(view(CounterRates({}, levels, 1.0)))
    rows = [
        [cell.strip() for cell in line.split("│")[1:-1]]
        for line in shown.get().splitlines()
        if "%" in line and "│" in line
    ]
    assert rows == [
        ["user bob", "tokens 1d gpt-4o", "100%", "now"],
        ["team support", "requests 1m", "20%", "40 s"],
        ["team research", "usd 30d", "83%", "2 h"],
        ["key phone", "tokens 1m", "95%", "-"],
        ["key laptop", "requests 1m", "90%", "-"],
    ]
