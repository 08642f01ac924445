"""A sink of events that posts them to an address."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

import httpx

from tollgate.reporting.call_events import CallEvent, SinkUnavailable, joined

_TIMEOUT_S = 10.0


class WebhookSink:
    """Posts `{"schema_version", "events": [...]}`; any 2xx acknowledges all of them.

    `secret`: with it, `x-tollgate-signature` is `sha256=` and the HMAC-SHA256 of the body in hex.
    """

    def __init__(self, name: str, url: str, secret: str | None) -> None:
        self.name = name
        self._url = url
        self._secret = secret
        self._client = httpx.AsyncClient(timeout=_TIMEOUT_S)

    async def deliver(self, events: Sequence[CallEvent]) -> None:
        """Deliver events. Raises SinkUnavailable unless they are acknowledged."""
        body = joined(events)
        headers = {"content-type": "application/json"}
        if self._secret is not None:
            digest = hmac.new(self._secret.encode(), body, "sha256").hexdigest()
            headers["x-tollgate-signature"] = f"sha256={digest}"
        try:
            answer = await self._client.post(self._url, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SinkUnavailable(f"{type(error).__name__}: {error}") from error
        if not answer.is_success:
            raise SinkUnavailable(f"answered with {answer.status_code}")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
