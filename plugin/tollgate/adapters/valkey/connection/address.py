"""Parse the store's URL once for all kinds of connection, and open connections of our own.

The options are those of redis-py's URLs (https://redis.readthedocs.io/en/stable/connections.html).
An unknown option is an error: a misspelt TLS option would otherwise mean no TLS at all.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import hiredis
from msgspec import Struct

from tollgate.core.errors import SettingsError

Command = tuple[str | bytes | int, ...]
P = TypeVar("P", bound=asyncio.Protocol)

_FORMS = "redis://HOST:PORT/DB, rediss://HOST:PORT/DB (TLS) or unix:///PATH?db=DB"
_PLAIN_OPTIONS = frozenset({"db", "socket_timeout", "socket_connect_timeout"})
_TLS_OPTIONS = frozenset(
    "ssl_" + name
    for name in (
        "ca_certs",
        "ca_path",
        "ca_data",
        "cert_reqs",
        "certfile",
        "keyfile",
        "password",
        "check_hostname",
    )
)
_VERIFICATION = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class StoreAddress(Struct, frozen=True):
    """A store's URL.

    `path`: of a Unix socket; empty means host and port. `timeout_s`, `connect_timeout_s`: None if
    the URL does not set them.
    """

    host: str = "localhost"
    port: int = 6379
    path: str = ""
    database: int = 0
    username: str | None = None
    password: str | None = None
    timeout_s: float | None = None
    connect_timeout_s: float | None = None
    tls: ssl.SSLContext | None = None

    @classmethod
    def of(cls, url: str) -> StoreAddress:
        """Parse a URL. Raises SettingsError, whose message does not contain the password."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise SettingsError(f"the store's URL is none: {error}; right is {_FORMS}") from error
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
        if parts.scheme not in ("redis", "rediss", "unix"):
            raise SettingsError(f"the store's URL begins with {_shown(url)}; right is {_FORMS}")
        known = _PLAIN_OPTIONS | (_TLS_OPTIONS if parts.scheme == "rediss" else set())
        if unknown := sorted(given.keys() - known):
            raise SettingsError(
                f"the store's URL has an option {unknown[0]!r}, which {parts.scheme}:// does not"
                f" take; it takes {', '.join(sorted(known))}"
            )
        if parts.scheme == "unix" and not parts.path:
            raise SettingsError(f"the store's URL names no socket; right is {_FORMS}")
        return cls(
            host=unquote(parts.hostname or "localhost"),
            port=port or 6379,
            path=unquote(parts.path) if parts.scheme == "unix" else "",
            database=_database(parts, given),
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            timeout_s=_seconds(given, "socket_timeout"),
            connect_timeout_s=_seconds(given, "socket_connect_timeout"),
            tls=_tls_context(given) if parts.scheme == "rediss" else None,
        )

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"

    @property
    def login(self) -> tuple[Command, ...]:
        """Return the first commands of a new connection."""
        found: list[Command] = []
        if self.password is not None:
            name = () if self.username is None else (self.username,)
            found.append(("AUTH", *name, self.password))
        if self.database:
            found.append(("SELECT", self.database))
        return tuple(found)

    async def dial(self, make: Callable[[], P]) -> P:
        """Open a connection with the given protocol. Raises OSError."""
        loop = asyncio.get_running_loop()
        if self.path:
            return (await loop.create_unix_connection(make, self.path))[1]
        return (await loop.create_connection(make, self.host, self.port, ssl=self.tls))[1]


def packed(command: Command) -> bytes:
    """Return a command as sent."""
    return hiredis.pack_command(command)  # type: ignore[arg-type, no-any-return] # its stub knows one argument only


def why(error: OSError) -> str:
    """Return the reason of a failed connection in few words, without the address."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return str(error.strerror)
    if error.errno:
        return os.strerror(error.errno)
    return str(error)


def _shown(url: str) -> str:
    """Return the beginning of a URL: what follows may be a password."""
    scheme, separator, _ = url.partition("://")
    if not separator:
        return "no scheme"
    return repr(scheme + separator)


def _database(parts: SplitResult, given: Mapping[str, str]) -> int:
    text = given.get("db", "" if parts.scheme == "unix" else parts.path.strip("/"))
    if not text:
        return 0
    if not text.isascii() or not text.isdigit():
        raise SettingsError(f"the store's URL names the database {text!r}; right is a whole number")
    return int(text)


def _seconds(given: Mapping[str, str], name: str) -> float | None:
    if name not in given:
        return None
    try:
        seconds = float(given[name])
    except ValueError:
        seconds = 0
    if not 0 < seconds <= 3600:
        raise SettingsError(
            f"{name} in the store's URL is {given[name]!r}; right are seconds above 0"
        )
    return seconds


def _tls_context(given: Mapping[str, str]) -> ssl.SSLContext:
    """Return how to verify the store and what to present to it.

    Without options, the system's authorities verify it.
    """
    options = {
        name.removeprefix("ssl_"): value for name, value in given.items() if name.startswith("ssl_")
    }
    check = _chosen(options, "check_hostname", _TRUTH, default=True)
    verification = _chosen(options, "cert_reqs", _VERIFICATION, default=ssl.CERT_REQUIRED)
    try:
        context = ssl.create_default_context(
            cafile=options.get("ca_certs"),
            capath=options.get("ca_path"),
            cadata=options.get("ca_data"),
        )
        context.check_hostname = check and verification is not ssl.CERT_NONE
        context.verify_mode = verification
        if "certfile" in options:
            context.load_cert_chain(
                options["certfile"], options.get("keyfile"), options.get("password")
            )
    except OSError as error:
        named = " ".join(
            options[each]
            for each in ("ca_certs", "ca_path", "certfile", "keyfile")
            if each in options
        )
        raise SettingsError(
            f"the store's URL names certificates ({named}) that cannot be used:"
            f" {error.strerror or error}"
        ) from error
    return context


V = TypeVar("V")


def _chosen(options: Mapping[str, str], name: str, values: Mapping[str, V], *, default: V) -> V:
    if name not in options:
        return default
    if (found := values.get(options[name].lower())) is None:
        raise SettingsError(
            f"ssl_{name} in the store's URL is {options[name]!r}; right are {', '.join(values)}"
        )
    return found
