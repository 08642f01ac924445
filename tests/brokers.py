"""Brokers of events, each with a stream or topic for them, to be stopped and started again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_connection
from typing import Any, NamedTuple, Protocol

import nats
import trustme
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from nats.js.api import DeliverPolicy
from tests.many_servers import free_ports

_STARTS_WITHIN_S = 60
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"


class Received(NamedTuple):
    """A message: the id that the broker knows it by, and its text."""

    id: str
    text: bytes


class Broker(Protocol):
    """A broker's program, and what it keeps."""

    port: int

    @property
    def settings(self) -> dict[str, Any]:
        """The entry of `tollgate.events` that sends to it."""
        ...

    def commands(self) -> Iterator[list[str]]:
        """What is run in turn; the last one serves."""
        ...

    async def make_place(self) -> None:
        """Make the stream or topic."""
        ...

    async def received(self) -> list[Received]:
        """All that it keeps, in order."""
        ...


class Nats:
    """A server of NATS, from a wheel."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        self._folder = folder
        self._url = f"nats://us:s3cret@127.0.0.1:{self.port}"

    @property
    def settings(self) -> dict[str, Any]:
        return {"nats": self._url, "subject": "tollgate.calls"}

    def commands(self) -> Iterator[list[str]]:
        program = str(Path(sys.executable).with_name("nats-server"))
        place = ["-a", "127.0.0.1", "-p", str(self.port)]
        yield [program, *place, "-js", "-sd", str(self._folder), "--user", "us", "--pass", "s3cret"]

    async def make_place(self) -> None:
        async with await nats.connect(self._url) as client:
            await client.jetstream().add_stream(name="calls", subjects=["tollgate.calls"])

    async def received(self) -> list[Received]:
        async with await nats.connect(self._url) as client:
            stream = client.jetstream()
            count = (await stream.stream_info("calls")).state.messages
            reading = await stream.subscribe(
                "tollgate.calls", ordered_consumer=True, deliver_policy=DeliverPolicy.ALL
            )
            read = [await reading.next_msg(timeout=_STARTS_WITHIN_S) for _ in range(count)]
        return [Received((each.headers or {})["Nats-Msg-Id"], each.data) for each in read]


class Kafka:
    """A broker of Kafka that is its own controller; `make kafka` fetches its archives.

    Clients come with TLS and a password, the tests' own by another port.
    """

    _TOPIC = "tollgate-calls"

    def __init__(self, folder: Path) -> None:
        self.port, inside, controller = free_ports(3)
        self._inside = f"127.0.0.1:{inside}"
        self._folder = folder
        folder.mkdir()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.pem")
        own = authority.issue_cert("127.0.0.1")
        (folder / "own.pem").write_bytes(
            _in_pkcs8(own.private_key_pem.bytes())
            + b"".join(each.bytes() for each in own.cert_chain_pems)
        )
        self._file = folder / "server.properties"
        self._file.write_text(
            f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=OUTSIDE://127.0.0.1:{self.port},INSIDE://{self._inside},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=OUTSIDE://127.0.0.1:{self.port},INSIDE://{self._inside}
listener.security.protocol.map=OUTSIDE:SASL_SSL,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=INSIDE
controller.listener.names=CONTROLLER
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.outside.scram-sha-512.sasl.jaas.config={_SCRAM} required;
ssl.keystore.type=PEM
ssl.keystore.location={folder}/own.pem
log.dirs={folder}/data
offsets.topic.replication.factor=1
auto.create.topics.enable=false
""",
            encoding="utf-8",
        )

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "kafka": f"127.0.0.1:{self.port}",
            "topic": self._TOPIC,
            "tls": True,
            "ca": self._folder / "ca.pem",
            "username": "us",
            "password": "s3cret",
        }

    def commands(self) -> Iterator[list[str]]:
        java = ["java", "-Xmx256m", "-cp", f"{os.environ['TOLLGATE_TEST_KAFKA']}/*"]
        if not (self._folder / "data").exists():
            user = "SCRAM-SHA-512=[name=us,password=s3cret]"
            form = ["format", "-t", "MkU3OEVBNTcwNTJENDM2Qk", "--add-scram", user]
            yield [*java, "kafka.tools.StorageTool", *form, "-c", str(self._file)]
        yield [*java, "kafka.Kafka", str(self._file)]

    async def make_place(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._inside)
        await admin.start()
        await admin.create_topics([NewTopic(self._TOPIC, 1, 1)])
        await admin.close()

    async def received(self) -> list[Received]:
        place = TopicPartition(self._TOPIC, 0)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._inside, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            consumer.assign([place])
            end = (await consumer.end_offsets([place]))[place]
            read = []
            while await consumer.position(place) < end:
                read.append(await consumer.getone())
        finally:
            await consumer.stop()
        return [Received(each.key.decode(), each.value) for each in read]


KINDS: dict[str, type[Nats] | type[Kafka]] = {"nats": Nats}
if "TOLLGATE_TEST_KAFKA" in os.environ:
    KINDS["kafka"] = Kafka


@contextmanager
def running(broker: Broker) -> Iterator[None]:
    """Run a broker until the block ends; it is killed, and keeps what it has acknowledged."""
    *before, program = broker.commands()
    for each in before:
        subprocess.run(each, check=True, capture_output=True)
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait_until_it_listens(broker.port, server)
            yield
        finally:
            server.kill()


def _in_pkcs8(key: bytes) -> bytes:
    """Return a private key in the only form that Kafka takes."""
    return load_pem_private_key(key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )


def _wait_until_it_listens(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while True:
        assert server.poll() is None, "the broker has stopped"
        try:
            create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline, "the broker does not start"
            time.sleep(0.05)
        else:
            return
