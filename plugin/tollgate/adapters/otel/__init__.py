"""Measurements and traces for OpenTelemetry: needs the extra `otel`."""
