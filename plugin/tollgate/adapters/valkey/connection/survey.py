"""Inspect the store before start-up: what makes it unusable, and what may lose counters later."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence

from tollgate.adapters.valkey.connection.address import StoreAddress, StoreKind
from tollgate.adapters.valkey.connection.cluster_pipe import SLOTS, ClusterPipe, SlotRange
from tollgate.adapters.valkey.connection.opening import locate, open_pipe
from tollgate.adapters.valkey.connection.pipe import Pipe, ReplyError
from tollgate.adapters.valkey.connection.primary import UnknownPrimary
from tollgate.adapters.valkey.connection.probe import probe
from tollgate.adapters.valkey.connection.server_pipe import ServerPipe
from tollgate.adapters.valkey.keys import CHANGES_CHANNEL, PROBE
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
    """Wait until the store answers, and inspect each of its primaries; return warnings.

    `say` is told what is being waited for. Raises SettingsError with one sentence if the store
    cannot be used.
    """
    address, pipe = StoreAddress.of(url), open_pipe(url, _PATIENCE_S)
    try:
        await _answer(address, pipe, say)
        if isinstance(pipe, ClusterPipe):
            await _cover(address, pipe, say)
        risks = []
        for server in await _primaries(address, pipe):
            risks += await _inspect(address, server)
        return risks
    finally:
        await pipe.aclose()


async def evicted(pipe: Pipe) -> int:
    """Return how many keys the store has evicted since its start; 0 if it does not say."""
    told = await pipe.everywhere(b"INFO", b"stats")
    return sum([int(_fields(each).get("evicted_keys", "0")) for each in told])


async def _primaries(address: StoreAddress, pipe: Pipe) -> list[StoreAddress]:
    """Return the servers that take writes, each as an address of its own."""
    if isinstance(pipe, ClusterPipe):
        places = dict.fromkeys((each.host, each.port) for each in await pipe.map())
        return [address.at(host, port) for host, port in places]
    return [await locate(address, PROBE, _PATIENCE_S)]


async def _inspect(named: StoreAddress, server: StoreAddress) -> list[str]:
    """Return the warnings about one server. Raises SettingsError if it cannot be used."""
    pipe = ServerPipe.to(server, _PATIENCE_S)
    try:
        info = await _info(pipe)
        if (fault := await _find_fault(named, pipe, info)) is not None:
            raise SettingsError(f"the store at {server} {fault}")
        risks = [*_eviction(info), *await _persistence(pipe, info)]
        await _check_rights(server, pipe, writes=named.kind is not StoreKind.CLUSTER)
        return [f"the store at {server} {each}" for each in risks]
    except StoreUnavailable as error:
        raise SettingsError(f"the store at {server} went away: {error}") from error
    finally:
        await pipe.aclose()


async def _cover(address: StoreAddress, pipe: ClusterPipe, say: Say) -> None:
    """Wait until every slot is served by a node that answers, and a script can write.

    Raises SettingsError if a script may not.
    """
    said = _Said(address, say)
    while True:
        try:
            ranges = await pipe.map()
            missing = _uncovered(ranges)
            if not missing:
                await pipe.everywhere(b"PING")
                await probe(pipe)
                return
            reason = f"no node of the cluster serves the slots {missing}"
        except (ReplyError, StoreUnavailable) as error:
            reason = _passing(address, error)
        said.about(reason)
        await asyncio.sleep(_ASK_AGAIN_S)


def _uncovered(ranges: Sequence[SlotRange]) -> str:
    """Return the slots that nobody serves, as ranges; empty if there are none."""
    missing, expected = [], 0
    for each in sorted(ranges, key=lambda each: each.first):
        if each.first > expected:
            missing.append(f"{expected}-{each.first - 1}")
        expected = max(expected, each.last + 1)
    if expected < SLOTS:
        missing.append(f"{expected}-{SLOTS - 1}")
    return ", ".join(missing)


class _Said:
    """What is being waited for, said once and then every ten seconds."""

    def __init__(self, address: StoreAddress, say: Say) -> None:
        self._address = address
        self._say = say
        self._at_s = -_SAY_AGAIN_S

    def about(self, reason: str) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._at_s >= _SAY_AGAIN_S:
            self._say(f"waiting for the store at {self._address}: {reason}")
            self._at_s = now_s


async def _answer(address: StoreAddress, pipe: Pipe, say: Say) -> None:
    said = _Said(address, say)
    while True:
        try:
            await (pipe.map() if isinstance(pipe, ClusterPipe) else pipe.call(b"PING"))
            return
        except (ReplyError, StoreUnavailable) as error:
            reason = _passing(address, error)
        said.about(reason)
        await asyncio.sleep(_ASK_AGAIN_S)


def _passing(address: StoreAddress, error: Exception) -> str:
    """Return what is being waited for. Raises SettingsError if waiting cannot help."""
    # A refused login appears as the cause of a failed connection.
    cause: BaseException = error
    while isinstance(cause, StoreUnavailable) and cause.__cause__ is not None:
        cause = cause.__cause__
    word = str(cause)
    if isinstance(cause, UnknownPrimary):
        raise SettingsError(f"the store's URL names a primary that nobody knows: {word}") from error
    if word.startswith(_AUTHENTICATION):
        shown = (
            "with the user and password of its URL" if address.password else "without a password"
        )
        raise SettingsError(f"the store at {address} does not let us in {shown}: {word}") from error
    if isinstance(cause, ssl.SSLError):
        raise SettingsError(f"the store at {address} cannot be trusted: {error}") from error
    if word.startswith("ERR This instance has cluster support disabled"):
        raise SettingsError(
            f"the server at {address} is no part of a cluster: write valkey://HOST:PORT/DB"
        ) from error
    if address.kind is StoreKind.SENTINEL and word.startswith("ERR unknown command"):
        raise SettingsError(
            f"a server that {address} names is no sentinel: write valkey://HOST:PORT/DB"
        ) from error
    if isinstance(cause, ReplyError) and not word.startswith(_PASSING):
        raise SettingsError(f"the store at {address} refuses to serve: {word}") from error
    return str(error)


async def _info(pipe: Pipe) -> Mapping[str, str]:
    """Return INFO; empty if we may not ask."""
    try:
        return _fields(await pipe.call(b"INFO"))
    except ReplyError:
        return {}


def _fields(info: bytes) -> Mapping[str, str]:
    lines = (line.partition(":") for line in info.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in lines if colon}


async def _find_fault(named: StoreAddress, pipe: Pipe, info: Mapping[str, str]) -> str | None:
    """Return why a server cannot be used, judging by its INFO; None if it can."""
    mode = info.get("redis_mode") or info.get("server_mode")
    if mode == "sentinel":
        name = await _watched(pipe)
        return f"is a Sentinel: write valkey+sentinel://HOST:PORT,HOST:PORT/{name}"
    if named.kind is not StoreKind.CLUSTER and info.get("cluster_enabled") == "1":
        return "is part of a cluster: write valkey+cluster://HOST:PORT,HOST:PORT"
    version = info.get("redis_version", "")
    numbers = tuple(int(each) for each in version.split(".")[:2] if each.isdigit())
    if numbers and numbers < _OLDEST_VERSION:
        return f"is of version {version}; 6.2 or later is needed"
    if info.get("role") == "slave":
        primary = f"{info.get('master_host', '?')}:{info.get('master_port', '?')}"
        return f"is a replica, and what is written there is lost: name its primary, {primary}"
    return None


async def _watched(pipe: Pipe) -> str:
    """Return the name of a primary that a sentinel watches, or what stands for one."""
    try:
        primaries = await pipe.call(b"SENTINEL", b"MASTERS")
    except ReplyError:
        return "NAME"
    names = [dict(zip(each[::2], each[1::2], strict=True))[b"name"] for each in primaries]
    return names[0].decode() if len(names) == 1 else "NAME"


async def _check_rights(address: StoreAddress, pipe: Pipe, *, writes: bool) -> None:
    """Try every operation that is needed. Raises SettingsError with the store's own words.

    `writes`: any key may be written here; a node of a cluster takes those of its slots only.
    """
    if writes:
        await _check_writes(address, pipe)
    try:
        # nothing else can be asked on this connection afterwards
        await pipe.call(b"SUBSCRIBE", CHANGES_CHANNEL)
    except ReplyError as error:
        raise SettingsError(f"the store at {address} does not tell of changes: {error}") from error


async def _check_writes(address: StoreAddress, pipe: Pipe) -> None:
    try:
        await probe(pipe)
    except StoreUnavailable as error:
        raise SettingsError(
            f"the store at {address} does not take writes by scripts: {error}"
        ) from error


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
