"""Report what a configuration leaves open to people who can reach the machine.

Shown by `tollgate check` and at each start.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import parse_qs, urlsplit

from tollgate.settings import Settings, TollgateSettings

_EXAMPLE_MASTER_KEY = "sk-1234"
_SHORT_KEY = 16
_MAKE_A_KEY = "set a random one, such as `openssl rand -hex 24` prints"


def warnings(settings: Settings) -> list[str]:
    """Return one line for each open door, with the remedy.

    Empty if only this machine reaches the gateway and its store.
    """
    return [
        *_master_key(settings),
        *_store(settings.tollgate.redis_url),
        *_metrics(settings.tollgate),
    ]


def is_local(host: str) -> bool:
    """Return whether an address is reachable from this machine only.

    Any name other than localhost may be public.
    """
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _master_key(settings: Settings) -> Iterator[str]:
    key, ours = settings.master_key, settings.tollgate
    if key is None or is_local(ours.host):
        return
    if key == _EXAMPLE_MASTER_KEY:
        fault = f"{key} is the example's key"
    elif len(key) < _SHORT_KEY:
        fault = f"{len(key)} characters can be guessed"
    else:
        return
    yield f"general_settings.master_key: {fault}, and others can reach {ours.host}: {_MAKE_A_KEY}"


def _store(url: str | None) -> Iterator[str]:
    if url is None:
        return
    parts = urlsplit(url)
    if parts.scheme == "unix" or parts.password or parse_qs(parts.query).get("password"):
        return
    hosts = [urlsplit(f"//{each}").hostname or "localhost" for each in parts.netloc.split(",")]
    far = [each for each in hosts if not is_local(each)]
    if far:
        yield (
            f"tollgate.redis_url: the store at {far[0]} has no password, so whoever reaches"
            " it can change keys and spend: set `requirepass` or a user there, and write"
            " redis://:PASSWORD@HOST"
        )


def _metrics(ours: TollgateSettings) -> Iterator[str]:
    if ours.metrics.open and not is_local(ours.host):
        yield (
            f"tollgate.metrics.open: whoever reaches {ours.host} reads dollars by model at"
            " /metrics: leave it off, so that it asks for an admin's key, or give monitoring a"
            " port of its own with tollgate.metrics.address"
        )
