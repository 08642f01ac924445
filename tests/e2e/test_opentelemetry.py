"""Usage and dollars reach an OpenTelemetry collector by OTLP."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.e2e.gateway import CONFIG, bearer, gateway


class Collector(BaseHTTPRequestHandler):
    """Keeps the latest sum of each instrument, every span, and all bodies as they came."""

    sums: dict[str, float]
    spans: list[Span]
    bodies: list[bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.bodies.append(body)
        if self.path.endswith("/v1/traces"):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    self.spans.extend(scope.spans)
        elif self.path.endswith("/v1/metrics"):
            self._keep_sums(ExportMetricsServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def _keep_sums(self, told: ExportMetricsServiceRequest) -> None:
        for resource in told.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    self.sums[metric.name] = sum(
                        each.as_double if each.HasField("as_double") else each.as_int
                        for each in metric.sum.data_points
                    )

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def collector() -> Iterator[tuple[str, type[Collector]]]:
    """Its address, and what it has."""
    kept = type("Kept", (Collector,), {"sums": {}, "spans": [], "bodies": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kept)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", kept
    server.shutdown()
    thread.join()
    server.server_close()


async def test_the_sums_that_a_collector_gets_are_those_of_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call once: tokens of input and of output, and dollars."""
    with collector() as (url, kept):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "300")
        async with gateway(
            tmp_path, CONFIG.replace("history_url: none", "opentelemetry: true")
        ) as tollgate:
            key = await tollgate.key()
            replies = [await tollgate.chat(key) for _ in range(5)]
            usages = [reply.json()["usage"] for reply in replies]
            told = await tollgate.client.get(
                f"{tollgate.url}/key/info", params={"key": key}, headers=bearer(key)
            )
            names = ("gen_ai.client.inference.usage.input_tokens", "tollgate.cost")
            spend = told.json()["info"]["spend"]
            expected = (sum(each["prompt_tokens"] for each in usages), pytest.approx(spend))
            async with asyncio.timeout(20):
                while tuple(kept.sums.get(each) for each in names) != expected:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)


@pytest.mark.parametrize("mode", ["grpc", "native"])
async def test_a_call_and_its_decision_are_spans_of_the_callers_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """A refusal is one of them too. No span holds a prompt or a key."""
    trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    traceparent = f"00-{trace}-{caller}-01"
    with collector() as (url, kept):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        file = CONFIG + "  opentelemetry_traces: true\n"
        async with gateway(tmp_path, file, "--mode", mode) as tollgate:
            key = await tollgate.key(key="sk-planted-secret", rpm_limit=1)
            prompt = [{"role": "user", "content": "planted-secret"}]
            headers = {"traceparent": traceparent}
            first = await tollgate.chat(key, headers, messages=prompt)
            second = await tollgate.chat(key, headers, messages=prompt)
            assert (first.status_code, second.status_code) == (200, 429)
            async with asyncio.timeout(20):
                while len(kept.spans) < 3:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
    assert {each.trace_id.hex() for each in kept.spans} == {trace}
    call, *decisions = sorted(kept.spans, key=lambda each: each.name)
    assert (call.name, call.parent_span_id.hex()) == ("chat gpt-4o", caller)
    below = {each.parent_span_id for each in decisions}
    assert below == {call.span_id, bytes.fromhex(caller)}
    ids = {each.key: each.value.string_value for each in call.attributes}
    assert ids["tollgate.request_id"] == first.headers["x-tollgate-request-id"]
    assert not any(b"planted-secret" in each for each in kept.bodies)
