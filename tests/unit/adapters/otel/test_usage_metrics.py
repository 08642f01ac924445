"""What OpenTelemetry is told of settled calls."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint

from tollgate.adapters.otel.usage_metrics import UsageMetrics
from tollgate.core.calls.records import Record
from tollgate.core.models.deployment import Deployment

USAGE = "gen_ai.client.inference.usage"
DEPLOYMENTS = (
    Deployment("claude", "claude", "bedrock", "anthropic.claude-x", "https://a"),
    Deployment("embed", "embed", "openai", "text-embedding-3-small", "https://b", mode="embedding"),
)


def record(deployment: str = "claude", **given: Any) -> Record:
    fields = {
        "id": "r",
        "admitted_us": 1,
        "model": "ours",
        "scopes": ("key:k",),
        "status": 200,
        "cost_nanousd": 0,
        "certainty": "exact",
        "settled_by": "test",
    }
    return Record(deployment=deployment, **{**fields, **given})


def told(*records: Record, opt_in: str = "") -> dict[str, list[Any]]:
    """The data points by the name of their instrument."""
    reader = InMemoryMetricReader()
    metrics = UsageMetrics(DEPLOYMENTS, {"OTEL_SEMCONV_STABILITY_OPT_IN": opt_in}, reader)
    metrics.count(records)
    data = reader.get_metrics_data()
    metrics.close()
    assert data is not None
    (resource,) = data.resource_metrics
    assert resource.resource.attributes["service.name"] == "tollgate"
    (scope,) = resource.scope_metrics
    return {each.name: list(each.data.data_points) for each in scope.metrics}


def by(points: list[NumberDataPoint], name: str) -> dict[Any, float]:
    return {(point.attributes or {})[name]: point.value for point in points}


def test_tokens_are_counted_by_modality_with_what_the_conventions_ask_for() -> None:
    """Their sum is the whole usage; kinds within it are beside."""
    call = record(
        input_tokens=100, output_tokens=50, input_audio_tokens=30, output_image_tokens=10,
        cache_read_tokens=40, cache_write_5m_tokens=5, cache_write_1h_tokens=6,
        reasoning_tokens=7, reply_model="claude-x-2026",
    )  # fmt: skip
    found = told(call, call)
    assert by(found[f"{USAGE}.input_tokens"], "gen_ai.token.modality") == {
        "text": 140, "audio": 60, "image": 0
    }  # fmt: skip
    assert by(found[f"{USAGE}.output_tokens"], "gen_ai.token.modality") == {
        "text": 80, "audio": 0, "image": 20
    }  # fmt: skip
    (read,) = found[f"{USAGE}.cache_read.input_tokens"]
    (written,) = found[f"{USAGE}.cache_write.input_tokens"]
    (reasoning,) = found[f"{USAGE}.reasoning.output_tokens"]
    assert (read.value, written.value, reasoning.value) == (80, 22, 14)
    assert dict(read.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "aws.bedrock",
        "gen_ai.request.model": "ours",
        "gen_ai.response.model": "claude-x-2026",
        "gen_ai.token.modality": "text",
    }


def test_a_call_without_usage_counts_nothing_in_a_modality_of_its_own() -> None:
    (point,) = told(record(certainty="none"))[f"{USAGE}.input_tokens"]
    assert (point.value, point.attributes["gen_ai.token.modality"]) == (0, "unknown")


def test_dollars_are_counted_by_how_sure_they_are() -> None:
    calls = [record(cost_nanousd=1_500_000_000), record(cost_nanousd=1, certainty="estimated")]
    assert by(told(*calls)["tollgate.cost"], "tollgate.certainty") == {
        "exact": 1.5,
        "estimated": pytest.approx(1e-9),
    }


@pytest.mark.parametrize(
    ("deployment", "operation", "provider"),
    [("embed", "embeddings", "openai"), ("of a removed model", "chat", "unknown")],
)
def test_operation_and_provider_are_those_of_the_deployment(
    deployment: str, operation: str, provider: str
) -> None:
    (point,) = told(record(deployment))["tollgate.cost"]
    names = ("gen_ai.operation.name", "gen_ai.provider.name")
    assert tuple(point.attributes[each] for each in names) == (operation, provider)


def test_the_metric_that_went_before_is_sent_when_it_is_asked_for() -> None:
    call = record(input_tokens=3, output_tokens=4)
    assert "gen_ai.client.token.usage" not in told(call)
    points = told(call, opt_in="http, gen_ai/dup")["gen_ai.client.token.usage"]
    assert {each.attributes["gen_ai.token.type"]: each.sum for each in points} == {
        "input": 3,
        "output": 4,
    }
