"""Check what surrounds the calls: reach, TLS, health, clocks, the store, Envoy's version."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any, get_args
from urllib.parse import urlsplit

from tollgate import __version__
from tollgate.doctor.finding import Finding, fault, not_checked, ok, warning
from tollgate.doctor.probing import Reply
from tollgate.settings import EnvoyVersion

_CERTIFICATE_DAYS = 14
_DAY_S = 86_400
# Envoy tells its time in whole seconds.
_CLOCK_S = 5
_SUPPORTED = tuple(tuple(map(int, each.split("."))) for each in get_args(EnvoyVersion))


async def check_tls(url: str) -> Finding:
    """Check that keys do not travel in plain text, and that the certificate lasts."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https":
        if _is_local(host):
            return ok("tls", "plain HTTP, to this machine only")
        return warning(
            "tls",
            f"keys travel to {host} in plain text",
            "set tollgate.tls, or let a TLS listener of your own stand before the gateway",
        )
    try:
        version, ends_s = await asyncio.to_thread(_handshake, host, parts.port or 443)
    except (OSError, ValueError) as error:
        return fault("tls", f"{error}", "give the listener a certificate that clients trust")
    days = int((ends_s - time.time()) / _DAY_S)
    if days < _CERTIFICATE_DAYS:
        return warning("tls", f"the certificate ends in {days} days", "renew it")
    return ok("tls", f"{version}, the certificate is valid for {days} more days")


def check_health(reply: Reply) -> Finding:
    """Judge /health/readiness."""
    told = reply.body if isinstance(reply.body, dict) else {}
    if reply.status == 200 and told.get("status") == "healthy":
        if refused := (told.get("configuration") or {}).get("refused"):
            return warning(
                "health",
                f"a change of the configuration file is refused: {'; '.join(refused)}",
                "correct the file; the configuration before that change is in force",
            )
        return ok("health", "the store takes writes, and a worker decides")
    if told.get("status") == "unhealthy":
        return fault("health", str(told.get("error", "unhealthy")), "see docs/operations.md")
    seen = reply.failure or f"/health/readiness answers {reply.status}: {reply.message!r}"
    return fault(
        "health",
        f"the management API is not there: {seen}",
        "route /health/, /key/ and /spend/ to Tollgate's serve_http, or name it with --management",
    )


def check_clocks(facts: Mapping[str, Any], reply: Reply) -> Finding:
    """Compare the clocks of Envoy, the store, Tollgate and this machine."""
    apart: dict[str, float] = {}
    ours_s = facts["time_us"] / 1e6
    apart["this machine"] = time.time() - ours_s
    if facts["store_time_us"] is not None:
        apart["the store"] = facts["store_time_us"] / 1e6 - ours_s
    if "date" in reply.headers:
        apart["Envoy"] = parsedate_to_datetime(reply.headers["date"]).timestamp() - ours_s
    far = [
        f"{name} by {seconds:+.0f} s" for name, seconds in apart.items() if abs(seconds) > _CLOCK_S
    ]
    if far:
        return warning(
            "clocks",
            f"clocks differ from Tollgate's: {', '.join(far)}",
            "synchronise them (NTP): budget periods and expiry of keys follow the store's clock",
        )
    return ok("clocks", "those of Envoy, the store, Tollgate and this machine agree")


def check_store(facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Report what may lose counters."""
    risks = facts["store_risks"]
    if facts["store_time_us"] is None:
        yield fault("store", "; ".join(risks), "see docs/operations.md")
        return
    for risk in risks:
        yield warning("store", risk, "as the sentence says, in the store's own configuration")
    if not risks:
        yield ok("store", "it evicts nothing, and what it holds survives a restart")


def check_versions(facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Compare Envoy's version with what is supported and with what its configuration is for.

    Envoy tells it when its access log connects.
    """
    if facts["version"] != __version__:
        yield warning(
            "version",
            f"the gateway is Tollgate {facts['version']}, this command {__version__}",
            "use the command of the gateway's version",
        )
    if not facts["envoys"]:
        yield not_checked("envoy-version", "no Envoy's access log is connected")
        return
    oldest, newest = min(_SUPPORTED), max(_SUPPORTED)
    rendered = tuple(map(int, facts["envoy_version"].split(".")))
    for name in facts["envoys"]:
        version = tuple(map(int, name.split(".")))[:2]
        if version < oldest:
            fix = f"use {_text(oldest)} or later"
            yield fault("envoy-version", f"Envoy {name} is older than what is supported", fix)
        elif version < rendered:
            yield fault(
                "envoy-version",
                f"Envoy is {name}, its configuration is for {_text(rendered)}",
                f"set tollgate.envoy_version: '{_text(version)}' and print the configuration again",
            )
        elif version > newest:
            fix = f"{_text(newest)} is the newest that is tested"
            yield warning("envoy-version", f"Envoy {name} is newer than what is supported", fix)
        else:
            yield ok("envoy-version", f"Envoy {name}")


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _handshake(host: str, port: int) -> tuple[str, float]:
    """Return the version of TLS, and when the certificate ends, in seconds since 1970."""
    context = ssl.create_default_context()
    with (
        socket.create_connection((host, port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        certificate = secured.getpeercert() or {}
        return secured.version() or "TLS", ssl.cert_time_to_seconds(str(certificate["notAfter"]))
