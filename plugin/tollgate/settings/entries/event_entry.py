"""Define an entry of `tollgate.events`: where events of settled calls go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from tollgate.settings.edge_settings import OwnSection

SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class _Kind(NamedTuple):
    """The fields that a kind of sink needs and may have, and the module that its extra brings."""

    needs: frozenset[str] = frozenset()
    may_have: frozenset[str] = frozenset()
    module: str | None = None


_KINDS: Final[Mapping[str, _Kind]] = {
    "webhook": _Kind(may_have=frozenset({"secret"})),
    "file": _Kind(),
    "nats": _Kind(frozenset({"subject"}), frozenset({"credentials"}), "nats"),
    "kafka": _Kind(
        frozenset({"topic"}),
        frozenset({"tls", "ca", "username", "password", "mechanism"}),
        "aiokafka",
    ),
}


class EventSinkEntry(OwnSection):
    """A webhook, a file, a subject of NATS or a topic of Kafka."""

    webhook: str | None = Field(None, description="an address that events are posted to")
    secret: str | None = Field(None, description="signs what is posted (HMAC-SHA256)")
    file: Path | None = Field(None, description="a file that events are appended to")
    nats: str | None = Field(None, description="servers of NATS, as `nats://HOST:4222`")
    subject: str | None = Field(None, description="the subject, which a stream of JetStream takes")
    credentials: Path | None = Field(None, description="a user's file of JWT and key for NATS")
    kafka: str | None = Field(None, description="brokers of Kafka, as `HOST:9092,HOST:9092`")
    topic: str | None = Field(None, description="the topic")
    tls: bool = Field(default=False, description="whether brokers are reached with TLS")
    ca: Path | None = Field(None, description="authorities of the brokers' certificates, in PEM")
    username: str | None = Field(None, description="user at the brokers (SASL)")
    password: str | None = Field(None, description="its password")
    mechanism: SaslMechanism = Field("SCRAM-SHA-512", description="how the password is proved")

    @property
    def kind(self) -> str:
        """Return which kind of sink it is."""
        return next(each for each in _KINDS if getattr(self, each) is not None)

    @property
    def name(self) -> str:
        """Return what tells it apart from others; its position is kept under this name."""
        if self.file is not None:
            return f"file:{self.file}"
        if self.nats is not None:
            return f"{','.join(map(_without_secrets, self.nats.split(',')))}/{self.subject}"
        if self.kafka is not None:
            return f"kafka:{self.kafka}/{self.topic}"
        assert self.webhook is not None
        return _without_secrets(self.webhook)

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        kinds = [each for each in _KINDS if getattr(self, each) is not None]
        if len(kinds) != 1:
            raise ValueError(f"needs one of {', '.join(_KINDS)}")
        kind = _KINDS[kinds[0]]
        if lacking := [each for each in kind.needs if not getattr(self, each)]:
            raise ValueError(f"{kinds[0]} needs {' and '.join(lacking)}")
        if odd := sorted(self.model_fields_set - {kinds[0]} - kind.needs - kind.may_have):
            raise ValueError(f"{kinds[0]} has no {' or '.join(odd)}")
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password are given together")
        if self.ca is not None and not self.tls:
            raise ValueError("ca is for tls: true")
        if kind.module is not None and find_spec(kind.module) is None:
            extra = kinds[0]
            raise ValueError(f"needs the extra `{extra}`: pip install 'envoy-tollgate[{extra}]'")
        self._check_addresses()
        return self

    def _check_addresses(self) -> None:
        webhooks = [] if self.webhook is None else [self.webhook]
        servers = [] if self.nats is None else self.nats.split(",")
        for field, urls, schemes in (
            ("webhook", webhooks, ("http://", "https://")),
            ("nats", servers, ("nats://", "tls://", "ws://", "wss://")),
        ):
            if not all(each.startswith(schemes) for each in urls):
                raise ValueError(f"{field} must begin with {' or '.join(schemes)}")


def find_twice(entries: Iterable[EventSinkEntry]) -> str | None:
    """Return the name of a sink that is there twice, or None: the two would share a position."""
    seen = set[str]()
    for each in entries:
        if each.name in seen:
            return each.name
        seen.add(each.name)
    return None


def _without_secrets(url: str) -> str:
    """Return an address without user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
