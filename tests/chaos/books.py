"""What the store says when all is over: the ledger, what each scope has spent, and what is held
still.

It changes nothing.

It reads the store's own form (keys.py and counters.lua describe it), because that is what must add
up, not a report on it.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote

from tests.load.programs import Tick
from valkey import Valkey
from valkey.cluster import ClusterNode, ValkeyCluster
from valkey.exceptions import ValkeyError

from tollgate.adapters.valkey.connection.address import StoreAddress, StoreKind
from tollgate.adapters.valkey.counters.layout import read_state
from tollgate.adapters.valkey.keys import organization_keys
from tollgate.core.limits.accounts import DEFAULT_ORGANIZATION

_RESERVATIONS, _LEDGER = organization_keys(DEFAULT_ORGANIZATION)
_SCOPES, _SLOTS = "tollgate:*:counters:*", "tollgate:*:slots:*"
# A cluster's: parts of the sum of a scope that all organizations count, and what is held there.
_SHARES, _GUESTS = "tollgate:*:shares:*", "tollgate:*:guests"
# Whoever still wants to settle a call that is settled has tried by then: the access log waits three
# seconds for ext_proc.
_LATE_S = 3.5
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Record:
    """A settled call. `scopes` are those that paid, `kind:id`."""

    id: str
    scopes: tuple[str, ...]
    cost_nanousd: int
    certainty: str


@dataclass(frozen=True, slots=True)
class Books:
    """What the store keeps.

    `faults` are sentences: what in it does not add up. `left`: how much is held though nothing
    runs.
    """

    records: tuple[Record, ...]
    faults: tuple[str, ...]
    left: int


@dataclass(frozen=True, slots=True)
class _Scope:
    """`name`: `kind:id`, and `@model` where it is narrowed. `spent`: of its lifetime."""

    name: str
    used: int
    held: int
    spent: int


def read_when_quiet(url: str, patience_s: float, tick: Tick) -> Books:
    """Wait until nothing is held any more, or patience ends, and for those who come late; then
    read.
    """
    with store_at(url) as store:
        deadline_s = time.monotonic() + patience_s
        while _left(store) and time.monotonic() < deadline_s:
            tick()
            time.sleep(_POLL_S)
        time.sleep(_LATE_S)
        return read(store)


def store_at(url: str) -> Valkey:
    """Connect to whatever a URL names: one server, a primary that sentinels watch, or a cluster."""
    address = StoreAddress.of(url)
    login: dict[str, Any] = {"username": address.username, "password": address.password}
    if address.kind is StoreKind.CLUSTER:
        # It has all commands that are used here.
        nodes = [ClusterNode(host, port) for host, port in address.seeds]
        return cast("Valkey", ValkeyCluster(startup_nodes=nodes, **login))
    if address.kind is StoreKind.SENTINEL:
        host, port = _primary(address)
        return Valkey(host, port, db=address.database, **login)
    return Valkey.from_url(url)


def _primary(address: StoreAddress) -> tuple[str, int]:
    """Ask the first sentinel for the primary."""
    asked = address.sentinels[0]
    login = {"username": asked.username, "password": asked.password}
    with Valkey(asked.host, asked.port, **login) as sentinel:
        found: Any = sentinel.execute_command(
            "SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.primary
        )
    return found[0].decode(), int(found[1])


def read(store: Valkey) -> Books:
    """Read the store, in which nothing moves any more."""
    records = tuple(_records(store))
    scopes = tuple(_scopes(store))
    left = _left(store) + sum(scope.held > 0 for scope in scopes)
    return Books(records, tuple(_faults(records, scopes)), left)


def _left(store: Valkey) -> int:
    """Reservations and slots of calls that nobody has settled.

    A store that does not answer may have some.
    """
    try:
        slots = sum(_count(store.zcard(name)) for name in store.scan_iter(_SLOTS, count=1000))
        guests = sum(_count(store.hlen(name)) for name in store.scan_iter(_GUESTS, count=1000))
        return _count(store.hlen(_RESERVATIONS)) + slots + guests
    except ValkeyError:
        return 1


def _count(answer: Any) -> int:
    """A synchronous client's answer, whose type its library leaves open."""
    return int(answer)


def _records(store: Valkey) -> Iterator[Record]:
    entries: Any = store.xrange(_LEDGER)
    for _, fields in entries:
        for each in map(json.loads, fields.values()):
            yield Record(each["id"], tuple(each["scopes"]), each["cost_nanousd"], each["certainty"])


def _scopes(store: Valkey) -> Iterator[_Scope]:
    """The scopes by their names, each with the shares of its spend."""
    found: defaultdict[str, tuple[int, int, int]] = defaultdict(lambda: (0, 0, 0))
    for pattern in (_SCOPES, _SHARES):
        for key in store.scan_iter(pattern, count=1000):
            value: Any = store.get(key)
            (_, used, held, _, *_), sums_at = read_state(value)
            sums = [
                int(line.rpartition("=")[2])
                for line in value[sums_at:].decode().split("\n")
                if line
            ]
            name = unquote(key.decode().partition("}:")[2].partition(":")[2])
            before = found[name]
            found[name] = (before[0] + used, before[1] + held, before[2] + sum(sums))
    for name, numbers in found.items():
        yield _Scope(name, *numbers)


def _faults(records: tuple[Record, ...], scopes: tuple[_Scope, ...]) -> Iterator[str]:
    """The invariants of money that a store shows."""
    if len({record.id for record in records}) < len(records):
        yield "a reservation was settled twice"
    owed: defaultdict[str, int] = defaultdict(int)
    for record in records:
        for name in record.scopes:
            owed[name] += record.cost_nanousd
    wrong = [
        scope.name
        for scope in scopes
        if not scope.used == scope.spent == owed.get(scope.name.partition("@")[0], 0)
    ]
    # Every call of the traffic names the same model, so a scope that is narrowed to it has spent
    # what the scope has. One that owes nothing need not be there: a state that is all zeros is not
    # kept.
    if unknown := {name for name, amount in owed.items() if amount} - {
        scope.name for scope in scopes
    }:
        wrong += sorted(unknown)
    if wrong:
        yield f"{len(wrong)} scopes have not spent what the ledger says, {wrong[0]} among them"
    if below := [scope.name for scope in scopes if scope.held < 0]:
        yield f"{below[0]} holds less than nothing"
