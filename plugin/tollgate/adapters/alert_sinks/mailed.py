"""Alerts by e-mail."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage

import aiosmtplib

from tollgate.core.alerting.alert import Alert, sentence
from tollgate.core.errors import NotTold

TIMEOUT_S = 5.0
"""How long a whole mail may take, from the connection to the server's last answer."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """An SMTP server, and how to sign in there."""

    host: str
    port: int
    username: str | None
    password: str | None
    starttls: bool


class EmailSink:
    """Sends alerts as plain text."""

    name = "email"

    def __init__(
        self, server: MailServer, sender: str, to: Sequence[str], timeout_s: float = TIMEOUT_S
    ) -> None:
        self._server = server
        self._sender = sender
        self._to = ", ".join(to)
        self._timeout_s = timeout_s

    async def tell(self, alert: Alert) -> None:
        """Send an alert. Raises NotTold."""
        server = self._server
        try:
            message = self._message(alert)
            async with asyncio.timeout(self._timeout_s):
                await aiosmtplib.send(
                    message,
                    hostname=server.host,
                    port=server.port,
                    username=server.username,
                    password=server.password,
                    # An unencrypted connection stays one only where the settings say so.
                    start_tls=server.starttls,
                    timeout=None,
                )
        # ValueError: an address that no header can hold.
        except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError) as error:
            raise NotTold(type(error).__name__) from error

    def _message(self, alert: Alert) -> EmailMessage:
        message = EmailMessage()
        message["From"], message["To"] = self._sender, self._to
        # A name is free text, and a header holds no line break.
        subject = f"Tollgate: {alert.event.replace('_', ' ')}, {alert.scope} {alert.scope_name}"
        message["Subject"] = " ".join(subject.split())
        message["Message-ID"] = f"<{alert.id}@tollgate>"
        message.set_content(f"{sentence(alert)}\n\nAlert {alert.id}\n")
        return message
