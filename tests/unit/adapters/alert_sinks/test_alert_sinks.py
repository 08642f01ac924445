"""Sinks of alerts, before real servers of HTTP and SMTP."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from msgspec import structs
from tests.unit.core.alerting.test_alert import ALERT

from tollgate.adapters.alert_sinks.mailed import EmailSink, MailServer
from tollgate.adapters.alert_sinks.posted import AlertWebhook, SlackSink
from tollgate.core.alerting.alert import sentence
from tollgate.core.errors import NotTold

SECRET = "a secret of the receiver"


@dataclass
class Received:
    """What a server was sent. `status`: what it answers."""

    port: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    mails: list[str] = field(default_factory=list)
    refuses_mail: bool = False


@asynccontextmanager
async def http_server() -> AsyncIterator[Received]:
    """A server that takes one request a connection."""
    received = Received()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = [each.split(": ", 1) for each in head.split("\r\n")[1:] if each]
        received.headers = {name.lower(): value for name, value in lines}
        received.body = await reader.readexactly(int(received.headers["content-length"]))
        writer.write(f"HTTP/1.1 {received.status} x\r\ncontent-length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    received.port = server.sockets[0].getsockname()[1]
    async with server:
        yield received


@asynccontextmanager
async def smtp_server() -> AsyncIterator[Received]:
    """A server that takes mails without encryption (RFC 5321)."""
    received = Received()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 test\r\n")
        while line := (await reader.readline()).decode():
            verb = line[:4].upper()
            answer = "250 ok"
            if verb == "RCPT" and received.refuses_mail:
                answer = "550 nobody here"
            elif verb == "DATA":
                writer.write(b"354 go on\r\n")
                received.mails.append((await reader.readuntil(b"\r\n.\r\n")).decode())
            elif verb == "QUIT":
                answer = "221 bye"
            writer.write(f"{answer}\r\n".encode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    received.port = server.sockets[0].getsockname()[1]
    async with server:
        yield received


async def test_a_webhook_is_signed_with_its_time() -> None:
    """A receiver with the secret can tell that the body is ours, and from when."""
    async with http_server() as received:
        await AlertWebhook(f"http://127.0.0.1:{received.port}/alerts", SECRET).tell(ALERT)
    signed = received.headers["x-tollgate-timestamp"].encode() + b"." + received.body
    digest = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert received.headers["x-tollgate-signature"] == f"sha256={digest}"
    assert received.headers["x-tollgate-alert-id"] == "a1"
    assert json.loads(received.body)["event_message"] == sentence(ALERT)


async def test_slack_is_told_a_text_without_markup_of_others() -> None:
    """Names are others' words."""
    async with http_server() as received:
        alert = structs.replace(ALERT, scope_name="<!channel> & co")
        await SlackSink(f"http://127.0.0.1:{received.port}/").tell(alert)
    text = json.loads(received.body)["text"]
    assert text.startswith("*threshold crossed*: Key &lt;!channel&gt; &amp; co has used $4.25")


async def test_a_mail_has_the_sentence_and_a_subject_of_one_line() -> None:
    """Whatever a scope is called."""
    async with smtp_server() as received:
        server = MailServer("127.0.0.1", received.port, None, None, starttls=False)
        sink = EmailSink(server, "tollgate@example.com", ["ann@example.com", "bob@example.com"])
        await sink.tell(structs.replace(ALERT, scope_name="lap\r\nBcc: eve@example.com"))
    (mail,) = received.mails
    assert "Subject: Tollgate: threshold crossed, key lap Bcc: eve@example.com" in mail
    assert "To: ann@example.com, bob@example.com" in mail
    assert "has used $4.25 of its limit" in mail
    assert "\r\nBcc:" not in mail.partition("\r\n\r\n")[0]


async def test_a_receiver_that_does_not_take_an_alert_is_told_apart() -> None:
    """An error status, a closed port, a refused address: tried again later."""
    async with http_server() as received:
        received.status = 500
        with pytest.raises(NotTold, match="500"):
            await AlertWebhook(f"http://127.0.0.1:{received.port}/", None).tell(ALERT)
        closed = received.port
    with pytest.raises(NotTold):
        await SlackSink(f"http://127.0.0.1:{closed}/").tell(ALERT)
    async with smtp_server() as received:
        received.refuses_mail = True
        server = MailServer("127.0.0.1", received.port, None, None, starttls=False)
        with pytest.raises(NotTold):
            await EmailSink(server, "t@example.com", ["nobody@example.com"]).tell(ALERT)
