"""Sinks of alerts, before real servers of HTTP and SMTP."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from msgspec import structs
from tests.unit.core.alerting.test_alert import ALERT

from tollgate.adapters.alert_sinks.mailed import EmailSink, MailServer
from tollgate.adapters.alert_sinks.posted import AlertWebhook, SlackSink
from tollgate.core.alerting.alert import sentence
from tollgate.core.errors import NotTold
from tollgate.ports.event_ports import AlertSink

SECRET = "a secret of the receiver"


@dataclass
class Received:
    """What a server was sent. `status`: what it answers."""

    port: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


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


@dataclass
class Mailbox:
    """A handler of aiosmtpd's server. `status`: what it answers a mail with."""

    port: int = 0
    status: str = "250 ok"
    mails: list[str] = field(default_factory=list)
    users: list[str] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.status.startswith("2"):
            assert isinstance(envelope.content, bytes)
            self.mails.append(envelope.content.decode())
        return self.status

    def let_in(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        mechanism: str,
        login: LoginPassword,
    ) -> AuthResult:
        self.users.append(login.login.decode())
        return AuthResult(success=login.password == b"right", handled=False)


@asynccontextmanager
async def smtp_server(
    encrypted: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[Mailbox]:
    """A real server of mails; with `encrypted` it takes none without STARTTLS and a password."""
    mailbox = Mailbox()
    if encrypted is not None:
        options |= {"tls_context": encrypted, "require_starttls": True, "auth_required": True}
        options["authenticator"] = mailbox.let_in

    def serve() -> SMTP:
        return SMTP(mailbox, hostname="localhost", loop=asyncio.get_running_loop(), **options)

    server = await asyncio.get_running_loop().create_server(serve, "localhost", 0)
    mailbox.port = server.sockets[0].getsockname()[1]
    async with server:
        yield mailbox


async def _is_silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def _trickles(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for each in b"HTTP/1.1 200 " + b"2" * 10_000:
        writer.write(bytes([each]))
        await writer.drain()
        await asyncio.sleep(0.02)


async def _closes(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _closes_within_its_answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    await writer.drain()
    writer.close()


async def _talks_something_else(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.9\r\n")
    await writer.drain()
    await asyncio.sleep(60)


MISBEHAVIOURS = (_is_silent, _trickles, _closes, _closes_within_its_answer, _talks_something_else)
SINKS: dict[str, Callable[[int], AlertSink]] = {
    "webhook": lambda port: AlertWebhook(f"http://127.0.0.1:{port}/", SECRET, timeout_s=0.3),
    "slack": lambda port: SlackSink(f"http://127.0.0.1:{port}/", timeout_s=0.3),
    "email": lambda port: mail_to(port, timeout_s=0.3),
}


def mail_to(port: int, *, starttls: bool = False, password: str = "", **more: Any) -> EmailSink:
    """A sink that mails to a server of this machine."""
    username = "tollgate" if password else None
    server = MailServer("localhost", port, username, password or None, starttls)
    return EmailSink(server, "tollgate@example.com", ["ann@example.com", "bob@example.com"], **more)


@pytest.mark.parametrize("misbehaviour", MISBEHAVIOURS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("sink", SINKS)
async def test_a_receiver_that_misbehaves_is_left_in_time(sink: str, misbehaviour: Any) -> None:
    """Whatever it does, its alert is one to tell later, and nobody waits for it."""
    connections = set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            with suppress(ConnectionError):
                await misbehaviour(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "localhost", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with asyncio.timeout(10):
            with pytest.raises(NotTold):
                await SINKS[sink](port).tell(ALERT)
    finally:
        server.close()
        for each in connections:
            each.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


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
    async with smtp_server() as mailbox:
        alert = structs.replace(ALERT, scope_name="lap\r\nBcc: eve@example.com")
        await mail_to(mailbox.port).tell(alert)
    (mail,) = mailbox.mails
    assert "Subject: Tollgate: threshold crossed, key lap Bcc: eve@example.com" in mail
    assert "To: ann@example.com, bob@example.com" in mail
    assert "has used $4.25 of its limit" in mail
    assert "\r\nBcc:" not in mail.partition("\r\n\r\n")[0]


@pytest.fixture
def certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What a server of this machine encrypts with; the authority is one that we trust."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    return context


async def test_mail_is_encrypted_before_the_password_is_told(certificates: ssl.SSLContext) -> None:
    """STARTTLS with a certificate that is checked; a wrong password is told later again."""
    async with smtp_server(certificates) as mailbox:
        await mail_to(mailbox.port, starttls=True, password="right").tell(ALERT)
        with pytest.raises(NotTold):
            await mail_to(mailbox.port, starttls=True, password="wrong").tell(ALERT)
        with pytest.raises(NotTold):
            await mail_to(mailbox.port, starttls=False).tell(ALERT)
    assert (len(mailbox.mails), set(mailbox.users)) == (1, {"tollgate"})


async def test_a_certificate_of_nobody_known_gets_no_mail(
    certificates: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a server that offers no encryption where it is asked for."""
    monkeypatch.delenv("SSL_CERT_FILE")
    async with smtp_server(certificates) as strange, smtp_server() as plain:
        for mailbox in (strange, plain):
            with pytest.raises(NotTold):
                await mail_to(mailbox.port, starttls=True).tell(ALERT)
            assert mailbox.mails == []


@pytest.mark.parametrize("status", ["550 nobody here", "451 later", "552 too much"])
async def test_a_mail_that_is_not_accepted_is_told_later(status: str) -> None:
    """By whatever code of SMTP."""
    async with smtp_server() as mailbox:
        mailbox.status = status
        with pytest.raises(NotTold):
            await mail_to(mailbox.port).tell(ALERT)


@pytest.mark.parametrize("status", [301, 404, 429, 500])
async def test_a_status_that_is_no_success_is_told_later(status: int) -> None:
    """A redirect too: it was not read."""
    async with http_server() as received:
        received.status = status
        with pytest.raises(NotTold, match=str(status)):
            await AlertWebhook(f"http://127.0.0.1:{received.port}/", None).tell(ALERT)


@pytest.mark.parametrize("sink", SINKS)
async def test_a_port_that_nobody_listens_at_is_tried_again(sink: str) -> None:
    """As long as it takes."""
    async with http_server() as received:
        closed = received.port
    with pytest.raises(NotTold):
        await SINKS[sink](closed).tell(ALERT)


@pytest.mark.parametrize(
    "sink",
    [
        AlertWebhook("http://[", None),
        SlackSink("http://example.com:99999/"),
        EmailSink(
            MailServer("localhost", 25, None, None, starttls=False),
            "tollgate@example.com\nBcc: eve@example.com",
            ["ann@example.com"],
        ),
    ],
    ids=["no address", "no port", "no sender"],
)
async def test_a_receiver_that_cannot_be_one_is_told_of_as_one_that_is_down(
    sink: AlertSink,
) -> None:
    """An error of another kind would end the telling of all alerts."""
    with pytest.raises(NotTold):
        await sink.tell(ALERT)
