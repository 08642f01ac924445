"""A sink of events that produces them to a topic of Kafka. Needs the extra `kafka`."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tollgate.reporting.call_events import SCHEMA_VERSION, CallEvent, SinkUnavailable

# It logs each of its many attempts; the publisher logs an outage once.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)

_TIMEOUT_S = 10.0
_HEADERS = [("schema_version", SCHEMA_VERSION.encode())]


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """The brokers, as `HOST:PORT,HOST:PORT`, and how to reach them. `username`: None: no SASL."""

    brokers: str
    tls: bool = False
    ca: Path | None = None
    username: str | None = None
    password: str | None = None
    mechanism: str = "SCRAM-SHA-512"

    def producer(self) -> AIOKafkaProducer:
        """Return a producer that has not connected yet."""
        sasl = {
            "sasl_mechanism": self.mechanism,
            "sasl_plain_username": self.username,
            "sasl_plain_password": self.password,
        }
        return AIOKafkaProducer(
            bootstrap_servers=self.brokers,
            # By all replicas in sync. An idempotent producer would never give a batch up
            # (aiokafka 0.14, producer/sender.py), so it could not be closed in an outage.
            acks="all",
            request_timeout_ms=round(_TIMEOUT_S * 1000),
            security_protocol=("SASL_" if self.username else "")
            + ("SSL" if self.tls else "PLAINTEXT"),
            ssl_context=ssl.create_default_context(cafile=self.ca) if self.tls else None,
            **(sasl if self.username else {}),
        )


class KafkaSink:
    """Produces each event as a record whose key is its id."""

    def __init__(self, name: str, access: KafkaAccess, topic: str) -> None:
        self.name = name
        self._access = access
        self._topic = topic
        self._producer: AIOKafkaProducer | None = None

    async def deliver(self, events: Sequence[CallEvent]) -> None:
        """Produce events. Raises SinkUnavailable unless the brokers have acknowledged each."""
        try:
            async with asyncio.timeout(2 * _TIMEOUT_S):
                producer = await self._started()
                # All are waited for: an error that nobody retrieves is logged by the event loop.
                told = await asyncio.gather(
                    *(
                        producer.send_and_wait(
                            self._topic, each.text, key=each.id.encode(), headers=_HEADERS
                        )
                        for each in events
                    ),
                    return_exceptions=True,
                )
            if failed := [each for each in told if isinstance(each, BaseException)]:
                raise failed[0]
        except (KafkaError, OSError, TimeoutError) as error:
            # What its batches still hold is delivered again by another producer.
            await self.close()
            raise SinkUnavailable(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """Close the connections, whether the brokers answer or not."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(_TIMEOUT_S):
                    await producer.stop()

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            self._producer = self._access.producer()
            await self._producer.start()
        return self._producer
