"""Inspect the store before start-up: what makes it unusable, and what may lose counters later."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator, Mapping

from tollgate.adapters.valkey.connection.address import StoreAddress
from tollgate.adapters.valkey.connection.pipe import Pipe, ReplyError
from tollgate.adapters.valkey.connection.probe import probe
from tollgate.adapters.valkey.keys import CHANGES_CHANNEL
from tollgate.core.errors import SettingsError, StoreUnavailable

_OLDEST_VERSION = (6, 2)
# Nobody waits for us at start-up, and a slow store is no fault of the configuration.
_PATIENCE_S = 5.0
_ASK_AGAIN_S = 0.5
_SAY_AGAIN_S = 10.0
# Error codes of the store that pass with time.
_PASSING = ("LOADING", "BUSY", "MASTERDOWN")
_AUTHENTICATION = (
    "NOAUTH",
    "WRONGPASS",
    "ERR AUTH",
    "ERR invalid password",
    "ERR Client sent AUTH",
)

Say = Callable[[str], None]


async def survey(url: str, say: Say) -> list[str]:
    """Wait until the store answers, and inspect it; return warnings.

    `say` is told what is being waited for. Raises SettingsError with one sentence if the store
    cannot be used.
    """
    address, pipe = StoreAddress.of(url), Pipe(url, _PATIENCE_S)
    try:
        await _answer(address, pipe, say)
        info = await _info(pipe)
        if (fault := _find_fault(info)) is not None:
            raise SettingsError(f"the store at {address} {fault}")
        risks = [*_eviction(info), *await _persistence(pipe, info)]
        await _check_rights(address, pipe)
        return [f"the store at {address} {each}" for each in risks]
    finally:
        await pipe.aclose()


async def evicted(pipe: Pipe) -> int:
    """Return how many keys the store has evicted since its start; 0 if it does not say."""
    return int((await _info(pipe, "stats")).get("evicted_keys", "0"))


async def _answer(address: StoreAddress, pipe: Pipe, say: Say) -> None:
    said_s, loop = -_SAY_AGAIN_S, asyncio.get_running_loop()
    while True:
        try:
            await pipe.call(b"PING")
            return
        except (ReplyError, StoreUnavailable) as error:
            reason = _passing(address, error)
        if loop.time() - said_s >= _SAY_AGAIN_S:
            say(f"waiting for the store at {address}: {reason}")
            said_s = loop.time()
        await asyncio.sleep(_ASK_AGAIN_S)


def _passing(address: StoreAddress, error: Exception) -> str:
    """Return what is being waited for. Raises SettingsError if waiting cannot help."""
    # A refused login appears as the cause of a failed connection.
    cause = error.__cause__ if isinstance(error, StoreUnavailable) and error.__cause__ else error
    word = str(cause)
    if word.startswith(_AUTHENTICATION):
        shown = (
            "with the user and password of its URL" if address.password else "without a password"
        )
        raise SettingsError(f"the store at {address} does not let us in {shown}: {word}") from error
    if isinstance(cause, ssl.SSLError):
        raise SettingsError(f"the store at {address} cannot be trusted: {error}") from error
    if isinstance(cause, ReplyError) and not word.startswith(_PASSING):
        raise SettingsError(f"the store at {address} refuses to serve: {word}") from error
    return str(error)


async def _info(pipe: Pipe, *section: str) -> Mapping[str, str]:
    """Return INFO; empty if we may not ask."""
    try:
        text: bytes = await pipe.call(b"INFO", *section)
    except ReplyError:
        return {}
    lines = (line.partition(":") for line in text.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in lines if colon}


def _find_fault(info: Mapping[str, str]) -> str | None:
    """Return why the store cannot be used, judging by its INFO; None if it can."""
    mode = info.get("redis_mode") or info.get("server_mode")
    if mode == "sentinel":
        return "is a Sentinel, which is not served yet: name the primary that it watches"
    if mode == "cluster" or info.get("cluster_enabled") == "1":
        return "is part of a Cluster, which is not served yet: name a standalone server"
    version = info.get("redis_version", "")
    numbers = tuple(int(each) for each in version.split(".")[:2] if each.isdigit())
    if numbers and numbers < _OLDEST_VERSION:
        return f"is of version {version}; 6.2 or later is needed"
    if info.get("role") == "slave":
        primary = f"{info.get('master_host', '?')}:{info.get('master_port', '?')}"
        return f"is a replica, and what is written there is lost: name its primary, {primary}"
    return None


async def _check_rights(address: StoreAddress, pipe: Pipe) -> None:
    """Try every operation that is needed. Raises SettingsError with the store's own words."""
    try:
        await probe(pipe)
    except StoreUnavailable as error:
        raise SettingsError(
            f"the store at {address} does not take writes by scripts: {error}"
        ) from error
    try:
        # nothing else can be asked on this connection afterwards
        await pipe.call(b"SUBSCRIBE", CHANGES_CHANNEL)
    except ReplyError as error:
        raise SettingsError(f"the store at {address} does not tell of changes: {error}") from error


def _eviction(info: Mapping[str, str]) -> Iterator[str]:
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        already = info.get("evicted_keys", "0")
        told = "" if already == "0" else f" and has dropped {already} already"
        yield (
            f"drops keys when its memory is full (maxmemory-policy {policy}){told}: keys and what"
            " they spent would be forgotten; set maxmemory-policy noeviction"
        )


async def _persistence(pipe: Pipe, info: Mapping[str, str]) -> list[str]:
    if info.get("aof_enabled") != "0":
        return []
    try:
        _, save = await pipe.call(b"CONFIG", b"GET", b"save")
    except (ReplyError, ValueError):
        return []  # not permitted to ask, so unknown
    if save:
        return []
    return [
        "keeps nothing on disk (appendonly no, save empty): a restart would forget keys and spend;"
        " set appendonly yes"
    ]
