"""Events from a real store to a real broker, which is away at times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.brokers import KINDS, Broker, running
from tests.contract.history_databases import Leased, a_record, write
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.counters.ledger_stream import ValkeyLedgerStream
from tollgate.adapters.valkey.keys import EVENTS
from tollgate.adapters.valkey.outbox.event_positions import ValkeyEventPositions
from tollgate.app.recorder import event_sink
from tollgate.reporting.call_events import EventPublisher, EventSink, SinkUnavailable
from tollgate.settings.entries.event_entry import EventSinkEntry, find_twice


@pytest.fixture(params=KINDS)
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Broker:
    """Each kind of broker, not running yet."""
    return KINDS[request.param](tmp_path / "broker")


def publisher(store: Valkey, sink: EventSink) -> EventPublisher:
    return EventPublisher(ValkeyLedgerStream(store), ValkeyEventPositions(store), [sink], Leased())


async def test_a_broker_has_each_event_once_whatever_failed(store: Valkey, broker: Broker) -> None:
    """It is not there at first, then has no place for events, then is killed and comes back."""
    sink = event_sink(EventSinkEntry(**broker.settings))
    records = [a_record(number) for number in range(1_300)]
    await write(store, records[:700])
    with pytest.raises(SinkUnavailable):
        await publisher(store, sink).deliver(sink)
    with running(broker):
        with pytest.raises(SinkUnavailable):
            await publisher(store, sink).deliver(sink)
        await broker.make_place()
        assert await publisher(store, sink).deliver(sink) == 700
    await write(store, records[700:])
    with pytest.raises(SinkUnavailable):
        await publisher(store, sink).deliver(sink)
    with running(broker):
        assert await publisher(store, sink).deliver(sink) == 600
        assert await publisher(store, sink).deliver(sink) == 0
        received = await broker.received()
        await sink.close()
    assert sorted(each.id for each in received) == [each.id for each in records]
    assert all(json.loads(each.text)["event_id"] == each.id for each in received)
    assert "s3cret" not in sink.name


async def test_jetstream_drops_what_is_delivered_again(store: Valkey, tmp_path: Path) -> None:
    """A recorder that was killed before it wrote its position delivers again."""
    broker = KINDS["nats"](tmp_path / "broker")
    sink = event_sink(EventSinkEntry(**broker.settings))
    await write(store, [a_record(number) for number in range(10)])
    with running(broker):
        await broker.make_place()
        for _ in range(2):
            assert await publisher(store, sink).deliver(sink) == 10
            await store.delete(EVENTS)
        assert len(await broker.received()) == 10
        await sink.close()


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({}, "needs one of webhook, file, nats, kafka"),
        ({"webhook": "http://a", "file": "b"}, "needs one of"),
        ({"webhook": "ftp://a"}, "webhook must begin with http:// or https://"),
        ({"file": "a", "secret": "s"}, "file has no secret"),
        ({"nats": "nats://a"}, "nats needs subject"),
        ({"nats": "nats://a,http://b", "subject": "s"}, "nats must begin with"),
        ({"nats": "nats://a", "subject": "s", "tls": True}, "nats has no tls"),
        ({"kafka": "a:9092"}, "kafka needs topic"),
        ({"kafka": "a:9092", "topic": "t", "username": "u"}, "are given together"),
        ({"kafka": "a:9092", "topic": "t", "ca": "f"}, "ca is for tls"),
        ({"kafka": "a:9092", "topic": "t", "mechanism": "NONE"}, "SCRAM-SHA-512"),
    ],
)
def test_a_sink_that_is_not_one_is_told(entry: dict[str, Any], fault: str) -> None:
    """Whatever is missing, or has no effect."""
    with pytest.raises(ValidationError, match=fault):
        EventSinkEntry(**entry)


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ({"webhook": "https://u:pw@a.example/x?token=t"}, "https://a.example/x"),
        ({"file": "/var/log/e"}, "file:/var/log/e"),
        (
            {"nats": "nats://u:pw@a:4222,tls://token@b:4222", "subject": "s"},
            "nats://a:4222,tls://b:4222/s",
        ),
        (
            {"kafka": "a:9092,b:9092", "topic": "t", "username": "u", "password": "pw"},
            "kafka:a:9092,b:9092/t",
        ),
    ],
)
def test_the_name_of_a_sink_holds_no_secret(entry: dict[str, Any], name: str) -> None:
    """It is a label of metrics, and stands in the log; two of one name would share a position."""
    assert EventSinkEntry(**entry).name == name
    assert find_twice([EventSinkEntry(**entry)] * 2) == name
    assert find_twice([EventSinkEntry(**entry), EventSinkEntry(file="other")]) is None
