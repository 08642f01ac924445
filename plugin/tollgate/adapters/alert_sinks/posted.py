"""Alerts over HTTP: as JSON with LiteLLM's fields, signed; and as a message of Slack's."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time

import httpx
import msgspec

from tollgate.core.alerting.alert import Alert, sentence, webhook_fields
from tollgate.core.errors import NotTold

TIMEOUT_S = 5.0
"""How long a whole POST may take: a receiver that answers bit by bit is as silent as none."""
_AN_ERROR = 300


class AlertWebhook:
    """Posts alerts as JSON.

    With a `secret`, `x-tollgate-signature` is `sha256=` and the HMAC of `TIMESTAMP.BODY`, where
    TIMESTAMP is `x-tollgate-timestamp`, in seconds: a receiver refuses what is old or forged.
    """

    name = "webhook"

    def __init__(self, url: str, secret: str | None, timeout_s: float = TIMEOUT_S) -> None:
        self._url = url
        self._secret = secret
        self._timeout_s = timeout_s

    async def tell(self, alert: Alert) -> None:
        """Post an alert. Raises NotTold."""
        body = msgspec.json.encode(webhook_fields(alert))
        headers = {"content-type": "application/json", "x-tollgate-alert-id": alert.id}
        if self._secret is not None:
            timestamp = str(int(time.time()))
            signed = f"{timestamp}.".encode() + body
            digest = hmac.new(self._secret.encode(), signed, hashlib.sha256).hexdigest()
            headers["x-tollgate-timestamp"] = timestamp
            headers["x-tollgate-signature"] = f"sha256={digest}"
        await _post(self._url, body, headers, self._timeout_s)


class SlackSink:
    """Posts alerts as messages (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks)."""

    name = "slack"

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        self._url = url
        self._timeout_s = timeout_s

    async def tell(self, alert: Alert) -> None:
        """Post an alert. Raises NotTold."""
        # Slack reads these three characters as markup.
        text = sentence(alert).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        body = msgspec.json.encode({"text": f"*{alert.event.replace('_', ' ')}*: {text}"})
        await _post(self._url, body, {"content-type": "application/json"}, self._timeout_s)


async def _post(url: str, body: bytes, headers: dict[str, str], timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s), httpx.AsyncClient(timeout=None) as client:
            answer = await client.post(url, content=body, headers=headers)
    # ValueError: a secret or an address that no header can hold.
    except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError, ValueError) as error:
        raise NotTold(type(error).__name__) from error
    if answer.status_code >= _AN_ERROR:
        raise NotTold(f"it answered {answer.status_code}")
