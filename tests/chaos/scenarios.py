"""What breaks, and how it is mended again. Everything else of a run is the same for all: run.py."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.stage import Stage, kill
from tests.load.proc import Group
from tests.many_servers import Server, move, wait_until

from tollgate.adapters.valkey.connection.cluster_pipe import slot_of_key
from tollgate.adapters.valkey.keys import organization_keys
from tollgate.core.limits.accounts import DEFAULT_ORGANIZATION

_AWAY_S = 1.0
_PAUSED_S = 2.0
# Envoy gives ext_proc a second for each message, and ext_authz two for each request.
_STALLS, _STALLED_S = 4, 1.5


@dataclass(frozen=True, slots=True)
class Scenario:
    """`breaks` returns when what it broke runs again.

    `leaving`: the share of clients who leave in the middle of their call. `forgets`: the store
    itself loses what it had written, so that calls may have no record.
    """

    name: str
    breaks: Callable[[Stage], None]
    own_store: bool = False
    leaving: float = 0.0
    forgets: bool = False


def _one_worker(stage: Stage) -> None:
    """The supervisor starts it again."""
    kill(stage.pids(Group.WORKERS)[0])


def _all_workers(stage: Stage) -> None:
    """Nobody admits, reads replies, or hears the access log, until the supervisor has started them
    again.
    """
    kill(*stage.pids(Group.WORKERS))


def _stalls(stage: Stage) -> None:
    """All workers stand still for longer than Envoy waits for an answer of ext_proc, again and
    again: so many calls run that whatever Envoy sends about one, its headers, a piece, its end,
    somebody waits for the answer each time.
    """
    for _ in range(_STALLS):
        workers = stage.pids(Group.WORKERS)
        kill(*workers, number=signal.SIGSTOP)
        try:
            stage.wait(_STALLED_S)
        finally:
            kill(*workers, number=signal.SIGCONT)
        stage.wait(_AWAY_S)


def _envoy(stage: Stage) -> None:
    """All calls are cut, and what Envoy had still to tell is lost.

    `tollgate up` ends; it is started again on the same state.
    """
    (envoy,) = stage.pids(Group.ENVOY)
    stage.end_of_gateway(lambda: kill(envoy))
    stage.start_gateway()


def _gateway(stage: Stage) -> None:
    """The supervisor is killed and takes everything with it; it is started again on the
    same state.
    """
    stage.end_of_gateway(lambda: kill(stage.gateway.pid))
    stage.start_gateway()


def _store(stage: Stage) -> None:
    """It has written what it answered, though not to the disk: the kernel does that, as the machine
    lives.
    """
    kill(stage.store_pid)
    stage.wait(_AWAY_S)
    stage.start_store()


def _power(stage: Stage) -> None:
    """The store's machine: what it wrote in its last second never reached the disk.

    This cuts the file where it was a second before.
    """
    (file,) = Path(stage.folder, "appendonlydir").glob("*.incr.aof")
    safe_bytes = file.stat().st_size
    stage.wait(_AWAY_S)
    kill(stage.store_pid)
    os.truncate(file, safe_bytes)
    stage.start_store()


def _pause(stage: Stage) -> None:
    """It answers nobody, and then does all that it was asked meanwhile."""
    kill(stage.store_pid, number=signal.SIGSTOP)
    try:
        stage.wait(_PAUSED_S)
    finally:
        kill(stage.store_pid, number=signal.SIGCONT)


def _provider(stage: Stage) -> None:
    """Its replies are cut, and for a while it cannot be reached."""
    kill(stage.provider_pid)
    stage.wait(_AWAY_S)
    stage.start_provider()


def _nothing(_stage: Stage) -> None:
    """Clients break enough."""


SCENARIOS = (
    Scenario("nothing", _nothing),
    Scenario("a worker", _one_worker),
    Scenario("all workers", _all_workers),
    Scenario("workers stall", _stalls),
    Scenario("Envoy", _envoy),
    Scenario("the gateway", _gateway),
    Scenario("the store", _store, own_store=True),
    Scenario("the store's machine", _power, own_store=True, forgets=True),
    Scenario("the store pauses", _pause, own_store=True),
    Scenario("the provider", _provider),
    Scenario("clients leave", _nothing, leaving=0.5),
)


_OWN_SLOT = slot_of_key(organization_keys(DEFAULT_ORGANIZATION)[0])
_SLOT_MOVES = 6


def _primary(stage: Stage) -> None:
    """The primary that decides is killed; its replica takes over, and it comes back as one."""
    assert stage.cluster is not None
    killed = stage.cluster.serving(_OWN_SLOT)
    killed.kill()
    _taken_over(stage, killed)
    killed.start()
    stage.cluster.wait_until_it_serves()


def _cut_off(stage: Stage) -> None:
    """The primary that decides hears and says nothing until its replica has taken over."""
    assert stage.cluster is not None
    silent = stage.cluster.serving(_OWN_SLOT)
    assert silent.process is not None
    kill(silent.process.pid, number=signal.SIGSTOP)
    try:
        _taken_over(stage, silent)
    finally:
        kill(silent.process.pid, number=signal.SIGCONT)
    stage.cluster.wait_until_it_serves()


def _taken_over(stage: Stage, former: Server) -> None:
    """Wait until the replica of a primary serves its slots."""
    assert stage.cluster is not None
    replica = stage.cluster.servers[stage.cluster.servers.index(former) + stage.cluster.primaries]
    wait_until(lambda: replica.info("replication")["role"] == "master", "no replica took over")


def _slots(stage: Stage) -> None:
    """The slot that decides moves key by key, from primary to primary."""
    assert stage.cluster is not None
    primaries = stage.cluster.servers[: stage.cluster.primaries]
    for _ in range(_SLOT_MOVES):
        source = stage.cluster.serving(_OWN_SLOT)
        target = primaries[(primaries.index(source) + 1) % len(primaries)]
        move(stage.cluster, _OWN_SLOT, target)
        stage.wait(_AWAY_S)


CLUSTER_SCENARIOS = (
    Scenario("nothing", _nothing),
    Scenario("a worker", _one_worker),
    Scenario("all workers", _all_workers),
    Scenario("a primary", _primary, forgets=True),
    Scenario("a primary is cut off", _cut_off, forgets=True),
    Scenario("slots move", _slots),
)
"""What breaks where the store is a cluster."""
