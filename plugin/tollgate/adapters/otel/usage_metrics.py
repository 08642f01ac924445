"""Send usage and dollars to OpenTelemetry, by its conventions for generative AI.

https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/gen-ai-token-metrics.md
says what the instruments are called. Where they are sent to is the SDK's to know, from its
environment: `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, Resource

from tollgate.adapters.otel.conventions import Attributes, call_attributes, wants_deprecated
from tollgate.core.calls.records import Record
from tollgate.core.models.deployment import Deployment

_USAGE: Final = "gen_ai.client.inference.usage"
_NANOUSD_PER_USD: Final = 1_000_000_000


class UsageMetrics:
    """Counts what records say, and sends the sums every minute (OTEL_METRIC_EXPORT_INTERVAL)."""

    def __init__(
        self,
        deployments: Iterable[Deployment],
        environment: Mapping[str, str],
        reader: MetricReader | None = None,
    ) -> None:
        """Start sending; `reader` takes the place of what sends over OTLP."""
        self._deployments = {each.id: each for each in deployments}
        name = environment.get("OTEL_SERVICE_NAME", "tollgate")
        self._provider = MeterProvider(
            (reader or PeriodicExportingMetricReader(OTLPMetricExporter()),),
            Resource.create({SERVICE_NAME: name}),
        )
        meter = self._provider.get_meter("tollgate")
        self._input, self._output, self._read, self._written, self._reasoning = (
            meter.create_counter(f"{_USAGE}.{noun}", "{token}", what)
            for noun, what in (
                ("input_tokens", "Tokens of input, with those of a cache"),
                ("output_tokens", "Tokens of output, with those of reasoning"),
                ("cache_read.input_tokens", "Tokens of input that a cache held"),
                ("cache_write.input_tokens", "Tokens of input that a cache took in"),
                ("reasoning.output_tokens", "Tokens of output that are reasoning"),
            )
        )
        self._cost = meter.create_counter("tollgate.cost", "{USD}", "Dollars that were charged")
        self._deprecated = None
        if wants_deprecated(environment):
            self._deprecated = meter.create_histogram(
                "gen_ai.client.token.usage", "{token}", "Tokens of input and of output of a call"
            )

    def count(self, records: Iterable[Record]) -> None:
        """Count settled calls."""
        for record in records:
            self._count(record)

    def close(self) -> None:
        """Send what was counted since the last time."""
        self._provider.shutdown()

    def _count(self, record: Record) -> None:
        call = self._attributes(record)
        for modality, input_tokens, output_tokens in _by_modality(record):
            of = {**call, "gen_ai.token.modality": modality}
            self._input.add(input_tokens, of)
            self._output.add(output_tokens, of)
        text = {**call, "gen_ai.token.modality": "text"}
        for counter, tokens in (
            (self._read, record.cache_read_tokens),
            (self._written, record.cache_write_5m_tokens + record.cache_write_1h_tokens),
            (self._reasoning, record.reasoning_tokens),
        ):
            if tokens:
                counter.add(tokens, text)
        certainty = {"tollgate.certainty": record.certainty}
        self._cost.add(record.cost_nanousd / _NANOUSD_PER_USD, {**call, **certainty})
        if self._deprecated is not None:
            for kind, tokens in (("input", record.input_tokens), ("output", record.output_tokens)):
                self._deprecated.record(tokens, {**call, "gen_ai.token.type": kind})

    def _attributes(self, record: Record) -> Attributes:
        found = call_attributes(self._deployments.get(record.deployment), record.model)
        if record.reply_model is not None:
            found["gen_ai.response.model"] = record.reply_model
        return found


def _by_modality(record: Record) -> Iterable[tuple[str, int, int]]:
    """Yield each modality of a call with its tokens of input and of output.

    A call that told no usage counts nothing, in the modality `unknown`.
    """
    if not record.input_tokens and not record.output_tokens:
        yield "unknown", 0, 0
        return
    others = (
        ("audio", record.input_audio_tokens, record.output_audio_tokens),
        ("image", record.input_image_tokens, record.output_image_tokens),
        ("video", record.input_video_tokens, record.output_video_tokens),
    )
    yield (
        "text",
        record.input_tokens - sum(each[1] for each in others),
        record.output_tokens - sum(each[2] for each in others),
    )
    yield from (each for each in others if each[1] or each[2])
