"""Control a running Envoy: its version, whether it serves, and draining before it stops."""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
from dataclasses import dataclass
from urllib.parse import quote

from tollgate.core.errors import SettingsError
from tollgate.topology import Address

OLDEST, NEWEST = (1, 37), (1, 40)
"""The Envoys that a configuration is rendered for; a later one takes that of the newest."""
LAST_WORDS_SECONDS = 1.1
"""Time for the last entries of the access log, which is flushed every 200 ms.

Envoy loses entries that it has not flushed when it stops. An ext_proc stream may take a second to
close: Envoy 1.40 crashes if it is stopped before that.
"""

_VERSION_SECONDS = 10.0
_POLL_SECONDS = 0.05
_ANSWER_SECONDS = 1.0
_ACTIVE = r"^http\.tollgate\.downstream_rq_active$"
_DISCOVERY = (
    r"^(cluster_manager\.cds|http\..*\.rds\.tollgate)\.(version_text|update_rejected)$"
    r"|^cluster_manager\.warming_clusters$"
)
_STATISTIC = re.compile(r'\.(version_text|update_rejected|warming_clusters): "?(\w*)')
_CALLS = re.compile(rb"downstream_rq_active: (\d+)")
# `envoy  version: 9e5580933739775e8bce696a57a2e1bc99368f23/1.40.0/Clean/RELEASE/BoringSSL`
_VERSION = re.compile(r"version: \w+/((\d+)\.(\d+)[^/]*)/")


def find_version(program: str) -> str:
    """Ask a binary for which Envoy to render. Raises SettingsError when it is none, or too old."""
    try:
        done = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_VERSION_SECONDS,
            check=False,
        )
    except OSError as error:
        raise SettingsError(f"{program}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise SettingsError(f"{program} does not answer --version; is it Envoy?") from error
    match = _VERSION.search(done.stdout)
    if match is None:
        raise SettingsError(
            f"{program} does not identify itself as Envoy: {done.stdout[:80].strip()!r}"
        )
    version = (int(match[2]), int(match[3]))
    if version < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise SettingsError(f"{program} is Envoy {match[1]}; {oldest} or later is needed")
    return ".".join(map(str, min(version, NEWEST)))


async def answers(admin: Address, path: str) -> bool:
    """Return whether Envoy's admin interface answers a path with success."""
    try:
        return (await _ask(admin, "GET", path)).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Discovering:
    """What Envoy has taken from the files that it watches.

    `rejected`: how many it has refused since its start. `warming`: how many clusters do not serve
    yet.
    """

    versions: frozenset[str]
    rejected: int
    warming: int


async def find_discovery(admin: Address) -> Discovering | None:
    """Ask Envoy how far it is; None while it does not answer."""
    try:
        told = (await _ask(admin, "GET", f"/stats?filter={quote(_DISCOVERY)}")).decode()
    except OSError:
        return None
    values: dict[str, list[str]] = {
        "version_text": [],
        "update_rejected": [],
        "warming_clusters": [],
    }
    for name, value in _STATISTIC.findall(told):
        values[name].append(value)
    return Discovering(
        frozenset(values["version_text"]),
        sum(map(int, values["update_rejected"])),
        sum(map(int, values["warming_clusters"])),
    )


async def drain(admin: Address, seconds: float, hurry: asyncio.Event) -> None:
    """Accept no new connections and let calls end, for at most `seconds` or until `hurry` is set.

    Connections close with their next reply. Afterwards the access log has reported all calls.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    with contextlib.suppress(OSError):
        # Otherwise a kept-alive connection could bring one call after the other.
        await _ask(admin, "POST", "/healthcheck/fail")
        await _ask(admin, "POST", "/drain_listeners")
        while asyncio.get_running_loop().time() < deadline and not hurry.is_set():
            if await _active_calls(admin) == 0:
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(hurry.wait(), _POLL_SECONDS)
        await asyncio.sleep(LAST_WORDS_SECONDS)


async def _active_calls(admin: Address) -> int:
    """Return the number of calls in flight."""
    told = _CALLS.search(await _ask(admin, "GET", f"/stats?filter={quote(_ACTIVE)}"))
    return 0 if told is None else int(told[1])


async def _ask(admin: Address, method: str, path: str) -> bytes:
    """Ask Envoy's admin interface; return the raw answer.

    A client library would take 6 MB in a process that stays.
    """
    async with asyncio.timeout(_ANSWER_SECONDS):
        opening = (
            asyncio.open_unix_connection(admin.path)
            if admin.path
            else asyncio.open_connection(admin.host, admin.port)
        )
        reader, writer = await opening
        try:
            head = (
                f"{method} {path} HTTP/1.1\r\nhost: envoy\r\ncontent-length: 0\r\nconnection:"
                " close\r\n\r\n"
            )
            writer.write(head.encode())
            return await reader.read()
        finally:
            writer.close()
