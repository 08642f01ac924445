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
from tests.e2e.gateway import CONFIG, bearer, gateway


class Collector(BaseHTTPRequestHandler):
    """Keeps the latest sum of each instrument."""

    sums: dict[str, float]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    points = metric.sum.data_points
                    self.sums[metric.name] = sum(
                        each.as_double if each.HasField("as_double") else each.as_int
                        for each in points
                    )
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def collector() -> Iterator[tuple[str, dict[str, float]]]:
    """Its address, and the sums that it has."""
    sums: dict[str, float] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Kept", (Collector,), {"sums": sums}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", sums
    server.shutdown()
    thread.join()
    server.server_close()


async def test_the_sums_that_a_collector_gets_are_those_of_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call once: tokens of input and of output, and dollars."""
    with collector() as (url, sums):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "300")
        async with gateway(tmp_path, CONFIG + "tollgate: {opentelemetry: true}\n") as tollgate:
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
                while tuple(sums.get(each) for each in names) != expected:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
