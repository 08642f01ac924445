"""What a platform team watches: README names every metric, and rules and panels ask for
no other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics import MetricWrapperBase

from tollgate import telemetry
from tollgate.adapters.metric_files import FullestLimitsCollector
from tollgate.reporting import history_telemetry
from tollgate.reporting.measuring import scope_counts
from tollgate.reporting.telling import alert_telemetry

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ALERTS: dict[str, Any] = yaml.safe_load(
    (ROOT / "monitoring/alerts.yaml").read_text(encoding="utf-8")
)
DASHBOARD: dict[str, Any] = json.loads(
    (ROOT / "monitoring/grafana.json").read_text(encoding="utf-8")
)
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
COUNTING = (telemetry, history_telemetry, alert_telemetry, scope_counts)
# LiteLLM's names, which README describes beside its table.
COUNTING_OTHERWISE = ("litellm_counts", "metric_files")
# What Prometheus and prometheus-client add to the metrics of any program.
ADDED = {"up": {"job", "instance"}}
ADDED_LABELS = {"le", "pid", "job", "instance"}


def metrics() -> dict[str, set[str]]:
    """The series that Tollgate tells, each with its labels."""
    found = {
        family.name: set(family._labelnames)
        for family in FullestLimitsCollector(Path(), 0).describe()
        if isinstance(family, GaugeMetricFamily)
    }
    for each in (value for module in COUNTING for value in vars(module).values()):
        if isinstance(each, MetricWrapperBase):
            (family,) = each.describe()
            suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
            for suffix in suffixes.get(family.type, ("",)):
                found[family.name + suffix] = set(each._labelnames)
    return found


def listed() -> dict[str, set[str]]:
    """The rows of README's table, as far as they are metrics."""
    rows = re.findall(r"^\| `(tollgate_\w+)` \|([^|]*)\| [^|]+ \|$", README, re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


def expressions() -> Iterator[tuple[str, str]]:
    """Every query of the rules and of the dashboard."""
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m")


def selectors(node: Any) -> Iterator[Any]:
    """Every selector of series within a query."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("vector_selector", "expr", "lhs", "rhs", "param"):
        if (child := getattr(node, name, None)) is not None:
            yield from selectors(child)
    args = getattr(node, "args", None)
    for child in args if isinstance(args, list) else ():
        yield from selectors(child)


def test_no_metric_is_made_where_nobody_looks() -> None:
    """A module that makes one is looked through here."""
    made = {
        path.stem
        for path in (ROOT / "plugin/tollgate").rglob("*.py")
        if re.search(
            r"\b(?:Counter|Gauge|Histogram|Summary|\w+MetricFamily)\(\s*\n?\s*f?[\"n]",
            path.read_text(encoding="utf-8"),
        )
    }
    known = {module.__name__.rpartition(".")[2] for module in COUNTING}
    assert made == known | set(COUNTING_OTHERWISE)


def test_readme_lists_every_metric_with_its_labels() -> None:
    """As it is asked for: a counter with `_total`, a histogram by its `_bucket`."""
    shown = {
        name: labels for name, labels in metrics().items() if not name.endswith(("_sum", "_count"))
    }
    assert listed() == shown


@pytest.mark.parametrize(("place", "query"), list(expressions()))
def test_a_query_asks_for_what_there_is(place: str, query: str) -> None:
    """It can be parsed, and each series has the labels that it is chosen and grouped by."""
    known = metrics() | ADDED
    tree = promql_parser.parse(query)
    found = list(selectors(tree))
    assert found
    for each in found:
        assert each.name in known, place
        matched = set(re.findall(r"(\w+)[=!]", str(each.matchers)))
        assert matched <= known[each.name] | ADDED_LABELS, place
    grouped = {
        label.strip()
        for labels in re.findall(r"\bby \(([^)]*)\)", query)
        for label in labels.split(",")
    }
    assert grouped <= set().union(*(known[each.name] for each in found)) | ADDED_LABELS, place


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_says_what_is_wrong_and_what_it_means(rule: dict[str, Any]) -> None:
    """A severity, a sentence, and a description; labels in them are those of the query."""
    assert rule["labels"]["severity"] in ("warning", "critical")
    texts = [rule["annotations"][name] for name in ("summary", "description")]
    assert all(texts)
    for label in re.findall(r"\$labels\.(\w+)", " ".join(texts)):
        assert re.search(rf"\b{label}\b", rule["expr"]) or label in ADDED_LABELS


def test_the_dashboard_shows_every_metric_once_and_its_panels_do_not_overlap() -> None:
    """Nothing that is counted is left out."""
    asked = {
        each.name for _, query in expressions() for each in selectors(promql_parser.parse(query))
    }
    shown = {name for name in metrics() if not name.endswith(("_sum", "_count"))}
    assert shown - asked == set()
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not own & cells, panel["title"]
        assert place["x"] + place["w"] <= 24
        cells |= own
