"""Alerts by e-mail."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage

from tollgate.core.alerting.alert import Alert, sentence
from tollgate.core.errors import NotTold

_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class MailServer:
    """An SMTP server, and how to sign in there."""

    host: str
    port: int
    username: str | None
    password: str | None
    starttls: bool


class EmailSink:
    """Sends alerts as plain text, in a thread: the library's client blocks."""

    name = "email"

    def __init__(self, server: MailServer, sender: str, to: Sequence[str]) -> None:
        self._server = server
        self._sender = sender
        self._to = ", ".join(to)

    async def tell(self, alert: Alert) -> None:
        """Send an alert. Raises NotTold."""
        await asyncio.to_thread(self._send, alert)

    def _send(self, alert: Alert) -> None:
        message = EmailMessage()
        message["From"], message["To"] = self._sender, self._to
        # A name is free text, and a header holds no line break.
        subject = f"Tollgate: {alert.event.replace('_', ' ')}, {alert.scope} {alert.scope_name}"
        message["Subject"] = " ".join(subject.split())
        message["Message-ID"] = f"<{alert.id}@tollgate>"
        message.set_content(f"{sentence(alert)}\n\nAlert {alert.id}\n")
        server = self._server
        try:
            with smtplib.SMTP(server.host, server.port, timeout=_TIMEOUT_S) as client:
                if server.starttls:
                    client.starttls(context=ssl.create_default_context())
                if server.username is not None:
                    client.login(server.username, server.password or "")
                client.send_message(message)
        except (smtplib.SMTPException, OSError) as error:
            raise NotTold(type(error).__name__) from error
