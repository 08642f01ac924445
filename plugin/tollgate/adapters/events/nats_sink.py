"""A sink of events that publishes them to streams of NATS. Needs the extra `nats`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import Header

from tollgate.reporting.call_events import CallEvent, SinkUnavailable

_TIMEOUT_S = 10.0


class NatsSink:
    """Publishes each event as a message, which the stream of its subject acknowledges.

    `Nats-Msg-Id` is the event's id: the stream drops what comes again within its duplicate window
    (https://docs.nats.io/using-nats/developer/develop_jetstream/model_deep_dive).
    """

    def __init__(
        self, name: str, servers: Sequence[str], subject: str, credentials: Path | None
    ) -> None:
        self.name = name
        self._servers = list(servers)
        self._subject = subject
        self._credentials = credentials
        self._client: Client | None = None
        # Why no server could be connected to, which the client tells apart from that.
        self._reason: Exception | None = None

    async def deliver(self, events: Sequence[CallEvent]) -> None:
        """Publish events. Raises SinkUnavailable unless the stream has acknowledged each."""
        self._reason = None
        try:
            stream = (await self._connected()).jetstream(timeout=_TIMEOUT_S)
            await asyncio.gather(
                *(
                    stream.publish(self._subject, each.text, headers={Header.MSG_ID: each.id})
                    for each in events
                )
            )
        except (NatsError, OSError, TimeoutError) as error:
            why = self._reason or error
            raise SinkUnavailable(f"{type(why).__name__}: {why}") from error

    async def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            await self._client.close()

    async def _connected(self) -> Client:
        # The publisher tries again, so the client need not, and its queue would hide an outage.
        if self._client is None or not self._client.is_connected:
            self._client = await nats.connect(
                self._servers,
                allow_reconnect=False,
                max_reconnect_attempts=1,  # 0 is no bound
                reconnect_time_wait=0,
                connect_timeout=_TIMEOUT_S,
                error_cb=self._note,
                user_credentials=None if self._credentials is None else str(self._credentials),
            )
        return self._client

    async def _note(self, error: Exception) -> None:
        self._reason = error
