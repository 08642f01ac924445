"""Parse the store's URL once for all kinds of connection, and open connections of our own.

The options are those of redis-py's URLs (https://redis.readthedocs.io/en/stable/connections.html),
the schemes of Sentinel and Cluster those of limits
(https://limits.readthedocs.io/en/stable/storage.html). An unknown option is an error: a misspelt
TLS option would otherwise mean no TLS at all.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from enum import Enum
from typing import TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import libvalkey
from msgspec import Struct, structs

from tollgate.core.errors import SettingsError

Command = tuple[str | bytes | int, ...]
P = TypeVar("P", bound=asyncio.Protocol)

_FORMS = (
    "valkey://HOST:PORT/DB, valkeys://HOST:PORT/DB (TLS), unix:///PATH?db=DB,"
    " valkey+sentinel://HOST:PORT,HOST:PORT/NAME or valkey+cluster://HOST:PORT,HOST:PORT"
)
_PLAIN_OPTIONS = frozenset({"db", "socket_timeout", "socket_connect_timeout"})
_SENTINEL_OPTIONS = frozenset({"sentinel_username", "sentinel_password"})
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


class StoreKind(Enum):
    """What a URL names: one server, the sentinels of a primary, or some nodes of a cluster."""

    SERVER = ""
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


_DEFAULT_PORTS = {StoreKind.SERVER: 6379, StoreKind.SENTINEL: 26379, StoreKind.CLUSTER: 6379}
# The schemes without what follows a plus sign, and whether they mean TLS.
_SCHEMES = {"redis": False, "valkey": False, "rediss": True, "valkeys": True}


class StoreAddress(Struct, frozen=True):
    """A store's URL.

    `path`: of a Unix socket; empty means host and port. `timeout_s`, `connect_timeout_s`: None if
    the URL does not set them. `seeds`: host and port of every server that the URL names, the first
    of which are `host` and `port`. `primary`: the name by which sentinels know the primary.
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
    kind: StoreKind = StoreKind.SERVER
    seeds: tuple[tuple[str, int], ...] = ()
    primary: str = ""
    sentinel_username: str | None = None
    sentinel_password: str | None = None

    @classmethod
    def of(cls, url: str) -> StoreAddress:
        """Parse a URL. Raises SettingsError, whose message does not contain the password."""
        try:
            parts = urlsplit(url)
            scheme, kind, tls = _scheme(parts.scheme)
            given = dict(parse_qsl(parts.query, keep_blank_values=True))
            user, _, hosts = parts.netloc.rpartition("@")
            seeds = _seeds(hosts, _DEFAULT_PORTS[kind])
        except ValueError as error:
            raise SettingsError(f"the store's URL is none: {error}; right is {_FORMS}") from error
        except KeyError as error:
            raise SettingsError(
                f"the store's URL begins with {_shown(url)}; right is {_FORMS}"
            ) from error
        _check_options(parts.scheme, given, kind, tls=tls)
        username, _, password = user.partition(":")
        if scheme == "unix" and not parts.path:
            raise SettingsError(f"the store's URL names no socket; right is {_FORMS}")
        primary, database = _names(parts, given, kind)
        host, port = seeds[0]
        return cls(
            host=host,
            port=port,
            path=unquote(parts.path) if scheme == "unix" else "",
            database=database,
            username=unquote(username) or None,
            password=unquote(password) or None,
            timeout_s=_seconds(given, "socket_timeout"),
            connect_timeout_s=_seconds(given, "socket_connect_timeout"),
            tls=_tls_context(given) if tls else None,
            kind=kind,
            seeds=seeds,
            primary=primary,
            sentinel_username=given.get("sentinel_username") or None,
            sentinel_password=given.get("sentinel_password") or None,
        )

    def at(self, host: str, port: int) -> StoreAddress:
        """Return the address of one server that a sentinel or a node of the cluster named."""
        return structs.replace(
            self, host=host, port=port, kind=StoreKind.SERVER, seeds=((host, port),), primary=""
        )

    @property
    def sentinels(self) -> tuple[StoreAddress, ...]:
        """Return the address of each sentinel, which have no databases and users of their own."""
        return tuple(
            structs.replace(
                self.at(host, port),
                database=0,
                username=self.sentinel_username,
                password=self.sentinel_password,
            )
            for host, port in self.seeds
        )

    def __str__(self) -> str:
        if self.path:
            return self.path
        shown = ", ".join(f"{host}:{port}" for host, port in self.seeds)
        return f"{self.primary} of the sentinels {shown}" if self.primary else shown

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
    return libvalkey.pack_command(command)


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


def _scheme(text: str) -> tuple[str, StoreKind, bool]:
    """Return the scheme without its kind, the kind, and whether it means TLS. Raises KeyError."""
    if text == "unix":
        return text, StoreKind.SERVER, False
    base, _, kind = text.partition("+")
    found = {each.value: each for each in StoreKind}[kind]
    return base, found, _SCHEMES[base]


def _seeds(hosts: str, default_port: int) -> tuple[tuple[str, int], ...]:
    """Return host and port of each server that is named. Raises ValueError."""
    found = []
    for each in hosts.split(","):
        parts = urlsplit(f"//{each}")
        found.append((unquote(parts.hostname or "localhost"), parts.port or default_port))
    return tuple(found)


def _check_options(scheme: str, given: Mapping[str, str], kind: StoreKind, *, tls: bool) -> None:
    known = set(_PLAIN_OPTIONS)
    if tls:
        known |= _TLS_OPTIONS
    if kind is StoreKind.SENTINEL:
        known |= _SENTINEL_OPTIONS
    if unknown := sorted(given.keys() - known):
        raise SettingsError(
            f"the store's URL has an option {unknown[0]!r}, which {scheme}:// does not"
            f" take; it takes {', '.join(sorted(known))}"
        )


def _names(parts: SplitResult, given: Mapping[str, str], kind: StoreKind) -> tuple[str, int]:
    """Return the name of the primary, if sentinels tell where it is, and the database."""
    if kind is StoreKind.SENTINEL:
        name, _, database = parts.path.removeprefix("/").partition("/")
        if not name:
            raise SettingsError(
                f"the store's URL names sentinels, but not the primary; right is {_FORMS}"
            )
        return unquote(name), _database(given.get("db", database))
    database = "" if parts.scheme == "unix" else parts.path.strip("/")
    number = _database(given.get("db", database))
    if kind is StoreKind.CLUSTER and number:
        raise SettingsError(
            f"the store's URL names the database {number}; a cluster has the database 0 only"
        )
    if kind is StoreKind.SERVER and "," in parts.netloc.rpartition("@")[2]:
        raise SettingsError(f"the store's URL names several servers; right is {_FORMS}")
    return "", number


def _database(text: str) -> int:
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
