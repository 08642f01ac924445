"""Events of settled calls, from a real store to a real server and a real file."""

from __future__ import annotations

import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import jsonschema_rs
import msgspec
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import Engine
from tests.contract.history_databases import (
    HOUR_US,
    NOON_US,
    Leased,
    a_record,
    engine,
    postgresql_url,
    recorder,
    spent,
    write,
)
from tests.contract.history_databases import settled as settled_at
from valkey.asyncio import Valkey

from tollgate.adapters.events.event_file import FileSink
from tollgate.adapters.events.webhook import WebhookSink
from tollgate.adapters.history.database import open_database
from tollgate.adapters.history.history import SqlHistory
from tollgate.adapters.valkey.counters.ledger_stream import ValkeyLedgerStream
from tollgate.adapters.valkey.keys import ORGANIZATIONS, organization_keys
from tollgate.adapters.valkey.outbox.event_positions import ValkeyEventPositions
from tollgate.core.calls.bill import Bill, Line
from tollgate.reporting.call_events import (
    CallEvent,
    EventPublisher,
    EventSink,
    SinkUnavailable,
    event,
    joined,
)
from tollgate.reporting.recording import RecorderTerms

__all__ = ["engine", "postgresql_url"]
SCHEMA = Path(__file__).parents[2] / "docs" / "events.schema.json"


@dataclass
class Receiver:
    """A server that notes what it gets, and answers as it is told."""

    url: str = ""
    status: int = 200
    bodies: list[bytes] = field(default_factory=list)
    signatures: list[str | None] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        return [each["event_id"] for body in self.bodies for each in json.loads(body)["events"]]


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if receiver.status == 200:
                receiver.bodies.append(body)
                receiver.signatures.append(self.headers["x-tollgate-signature"])
            self.send_response(receiver.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/events"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield receiver
    server.shutdown()
    server.server_close()
    thread.join()


def publisher(store: Valkey, *sinks: EventSink) -> EventPublisher:
    return EventPublisher(ValkeyLedgerStream(store), ValkeyEventPositions(store), sinks, Leased())


def test_an_event_is_as_its_schema_says() -> None:
    """With all that a record may have, and with nothing; charges add up to the cost."""
    validator = jsonschema_rs.validator_for(json.loads(SCHEMA.read_text(encoding="utf-8")))
    bill = Bill("test", lines=(Line("input", 3, 10**6), Line("output", 2, 10**6)))
    scopes = ("proxy:proxy", "organization:o", "team:t", "member:t/u", "user:u", "customer:c")
    full = msgspec.structs.replace(
        a_record(1, *scopes, "key:k", "tag:x", "tag:y"), bill=bill, cache_read_tokens=1
    )
    for record in (full, a_record(2, "proxy:proxy", cost_nanousd=0)):
        (each,) = settled_at(record)
        validator.validate(json.loads(event("default", each.read()).text))
    told = json.loads(event("default", settled_at(full)[0].read()).text)
    assert (told["tags"], told["usage"]["uncached_input_tokens"]) == (["x", "y"], 2)
    assert sum(each["nanousd"] for each in told["charges"]) == told["cost_nanousd"] == 5
    assert json.loads(joined([CallEvent("a", b"{}"), CallEvent("b", b"{}")]))["events"] == [{}, {}]


async def test_events_come_until_they_are_acknowledged(store: Valkey) -> None:
    """A sink that fails gets them again; one that has them does not, whoever delivers next."""
    records = [a_record(number) for number in range(5)]
    with receiving() as receiver:
        sink = WebhookSink("hook", receiver.url, "s3cret")
        await write(store, records[:3])
        receiver.status = 503
        with pytest.raises(SinkUnavailable, match="503"):
            await publisher(store, sink).deliver(sink)
        receiver.status = 200
        assert await publisher(store, sink).deliver(sink) == 3
        await write(store, records[3:], "acme")
        assert await publisher(store, sink).deliver(sink) == 2
        assert await publisher(store, sink).deliver(sink) == 0
        await sink.close()
    assert receiver.ids == [each.id for each in records]
    digest = hmac.new(b"s3cret", receiver.bodies[0], "sha256").hexdigest()
    assert receiver.signatures[0] == f"sha256={digest}"
    dead = WebhookSink("dead", receiver.url, None)
    with pytest.raises(SinkUnavailable):
        await publisher(store, dead).deliver(dead)
    await dead.close()


async def test_a_file_gets_a_line_for_each_event(store: Valkey, tmp_path: Path) -> None:
    """It may be renamed between two of them; a folder that is not there is told."""
    file = tmp_path / "events.jsonl"
    sink = FileSink("file", file)
    for number in range(2):
        await write(store, [a_record(number)])
        await publisher(store, sink).deliver(sink)
        (line,) = file.read_text().splitlines()
        assert json.loads(line)["event_id"] == a_record(number).id
        file.rename(tmp_path / f"former-{number}")
    nowhere = FileSink("nowhere", tmp_path / "none" / "events.jsonl")
    with pytest.raises(SinkUnavailable, match="No such file"):
        await publisher(store, nowhere).deliver(nowhere)


async def test_the_store_keeps_what_a_sink_does_not_have(store: Valkey, tmp_path: Path) -> None:
    """The slowest sink decides; what must go nevertheless is counted as lost."""
    await write(store, [a_record(number) for number in range(4)], settled_us=NOON_US - 2 * HOUR_US)
    fast, slow = FileSink("fast", tmp_path / "fast"), FileSink("slow", tmp_path / "slow")
    both = publisher(store, fast, slow)
    await both.deliver(fast)
    last = await ValkeyEventPositions(store).find("fast", "default")
    assert last is not None
    assert await both.furthest_removable("default", last) is None
    assert await publisher(store, fast).furthest_removable("default", last) == last
    assert await both.deliver(slow) == 4
    assert await both.furthest_removable("default", last) == last


@pytest.mark.parametrize("outage", ["sink", "database"])
async def test_only_the_oldest_events_are_lost_and_each_of_them_is_counted(
    store: Valkey,
    engine: Engine,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    outage: str,
) -> None:
    """Where the store has no room: the sink is away for long, or it and the database are."""
    sink = FileSink(f"slow-{outage}-{engine.dialect.name}", tmp_path / "slow")
    events = publisher(store, sink)
    history = SqlHistory(engine)
    await history.prepare()
    terms = RecorderTerms(most_entries=150)
    recording = recorder(store, history, tmp_path / "overflow", terms, events=events)
    await write(store, [a_record(number) for number in range(3)], settled_us=NOON_US)
    assert await events.deliver(sink) == 3
    await write(store, [a_record(number) for number in range(3, 1_000)], settled_us=NOON_US)
    if outage == "sink":
        await recording.drain()
        await recording.remove_recorded()
    else:
        await recording.relieve_store()
    assert 0 < await ValkeyLedgerStream(store).length("default") <= 150
    lost = REGISTRY.get_sample_value("tollgate_events_lost_total", {"sink": sink.name})
    assert lost is not None
    rest = await events.deliver(sink)
    assert 3 + lost + rest == 1_000
    told = [json.loads(line)["event_id"] for line in (tmp_path / "slow").read_text().splitlines()]
    assert told == [a_record(each).id for each in (0, 1, 2, *range(1_000 - rest, 1_000))]
    lines = [each for each in caplog.messages if "events are lost" in each]
    assert len(lines) == 1
    await recording.drain()
    assert await spent(history) == {"k": 5_000}


async def test_events_that_the_store_would_forget_by_their_age_are_counted_before(
    store: Valkey, tmp_path: Path
) -> None:
    """The ledger has a bound by age, too; a short one leaves sinks time nevertheless."""
    engine = open_database(f"sqlite:///{tmp_path}/history.db")
    history = SqlHistory(engine)
    await history.prepare()
    sink = FileSink("aged", tmp_path / "aged")
    events = publisher(store, sink)
    await write(store, [a_record(1)], settled_us=NOON_US - 23 * HOUR_US)
    await write(store, [a_record(2)], settled_us=NOON_US - 20 * HOUR_US)
    terms = RecorderTerms(most_age_us=24 * HOUR_US)
    recording = recorder(store, history, tmp_path / "overflow", terms, events=events)
    await recording.drain()
    await recording.remove_recorded()
    assert REGISTRY.get_sample_value("tollgate_events_lost_total", {"sink": "aged"}) == 1
    assert await events.deliver(sink) == 1
    engine.dispose()


async def test_a_body_has_a_bounded_number_of_events(store: Valkey) -> None:
    """However many were settled at once."""
    fields = {str(number): msgspec.json.encode(a_record(number)) for number in range(1_200)}
    await store.sadd(ORGANIZATIONS, "default")  # type: ignore[misc] # the stub knows no await
    await store.xadd(organization_keys("default")[1], fields)  # type: ignore[arg-type]
    with receiving() as receiver:
        sink = WebhookSink("large", receiver.url, None)
        assert await publisher(store, sink).deliver(sink) == 1_200
        await sink.close()
    assert [len(json.loads(each)["events"]) for each in receiver.bodies] == [500, 500, 200]
