"""Alerts in Valkey: who has claimed which, and a stream on their way to sinks."""
