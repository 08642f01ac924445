"""`recorder` carries ledger, refusals and alerts into the history, with the CPU that is left."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from tollgate.adapters.events.event_file import FileSink
from tollgate.adapters.history.database import open_database
from tollgate.adapters.history.history import SqlHistory
from tollgate.adapters.history.overflow_files import OverflowFiles
from tollgate.adapters.history.refusal_history import SqlAlerts, SqlRefusals
from tollgate.adapters.valkey.alerts.alert_stream import ValkeyAlertStream
from tollgate.adapters.valkey.connection.client import connect
from tollgate.adapters.valkey.connection.clock import StoreClock
from tollgate.adapters.valkey.counters.ledger_stream import ValkeyLedgerStream
from tollgate.adapters.valkey.outbox.event_positions import ValkeyEventPositions
from tollgate.adapters.valkey.outbox.recorder_lease import ValkeyLease
from tollgate.adapters.valkey.refusals.refusal_log import ValkeyRefusalLog
from tollgate.app.health_page import health_served
from tollgate.background import beside
from tollgate.collecting import collect_less
from tollgate.core.errors import HistoryUnavailable
from tollgate.heartbeat import keep_beating
from tollgate.ports.history_ports import DAY_US
from tollgate.reporting.call_events import EventPublisher, EventSink
from tollgate.reporting.recording import Recorder, RecorderTerms
from tollgate.reporting.telling.stream_recording import StreamRecorder
from tollgate.settings import Settings
from tollgate.settings.entries.event_entry import EventSinkEntry

_NICENESS = 19
# A read of a whole part of the ledger may take longer than a decision may.
_READ_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class RecorderPlaces:
    """Where a recorder reads and writes.

    `folder`: of the files for what the store has no room for. `beat`: the file for our signs of
    life; None: nobody watches. `health`: `host:port` of health and metrics; None: nowhere.
    """

    store_url: str
    history_url: str
    folder: Path
    beat: Path | None = None
    health: str | None = None


async def serve_recorder(settings: Settings, places: RecorderPlaces) -> None:
    """Record until told to stop. Raises SettingsError when the database is none that is served."""
    ours = settings.tollgate
    os.nice(_NICENESS)
    engine = open_database(places.history_url)
    client = connect(places.store_url, _READ_TIMEOUT_S, connections=2)
    terms = RecorderTerms(
        kept_us=ours.history_kept_us,
        most_entries=ours.history_outbox,
        most_age_us=ours.ledger_days * DAY_US,
    )
    metrics = None
    if ours.opentelemetry:
        from tollgate.adapters.otel.usage_metrics import UsageMetrics

        metrics = UsageMetrics(settings.deployments, os.environ)
    stream, lease = ValkeyLedgerStream(client), ValkeyLease(client)
    sinks = [event_sink(each) for each in ours.events]
    events = EventPublisher(stream, ValkeyEventPositions(client), sinks, lease)
    recorder = Recorder(
        stream,
        SqlHistory(engine),
        StoreClock(),
        lease,
        OverflowFiles(places.folder),
        terms,
        metrics,
        events if sinks else None,
        StreamRecorder(
            ValkeyRefusalLog(client),
            SqlRefusals(engine),
            ValkeyAlertStream(client),
            SqlAlerts(engine),
        ),
    )
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    with suppress(HistoryUnavailable):  # which `run` tells, and tries again
        await recorder.prepare()
    health = nullcontext() if places.health is None else health_served(places.health)
    async with beside(_beating(places.beat)):
        running = asyncio.gather(recorder.run(), events.run())
        with health:
            collect_less()
            print("ready", flush=True)
            await told.wait()
        recorder.stop()
        events.stop()
        await running
    await client.aclose()
    engine.dispose()
    if metrics is not None:
        await asyncio.to_thread(metrics.close)


def event_sink(entry: EventSinkEntry) -> EventSink:
    """Return the sink of an entry. What a sink needs is loaded with it alone."""
    match entry:
        case EventSinkEntry(file=Path() as file):
            return FileSink(entry.name, file)
        case EventSinkEntry(nats=str(servers), subject=str(subject)):
            from tollgate.adapters.events.nats_sink import NatsSink

            return NatsSink(entry.name, servers.split(","), subject, entry.credentials)
        case EventSinkEntry(kafka=str(brokers), topic=str(topic)):
            from tollgate.adapters.events.kafka_sink import KafkaAccess, KafkaSink

            access = KafkaAccess(
                brokers, entry.tls, entry.ca, entry.username, entry.password, entry.mechanism
            )
            return KafkaSink(entry.name, access, topic)
    from tollgate.adapters.events.webhook import WebhookSink

    assert entry.webhook is not None
    return WebhookSink(entry.name, entry.webhook, entry.secret)


async def _beating(beat: Path | None) -> None:
    if beat is not None:
        await keep_beating(beat, lambda: "")
