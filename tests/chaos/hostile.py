"""The second half of `make chaos`: hostile tenants beside one good tenant, and what they cost it.

A table, and a section a mode of tests/chaos/RESULTS.md. It listens on loopback only and ends
everything that it started, also on Ctrl-C. Exit code 1: an invariant broke.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console
from tests.chaos.attacks import ATTACKS, Attack, Who
from tests.chaos.books import read_when_quiet
from tests.chaos.run import MODES, PATIENCE_S, RESULTS, charged, served_nanousd
from tests.chaos.stage import Stage
from tests.chaos.traffic import Call, drawn
from tests.chaos.verdict import Comparison, compared, percent
from tests.load.command import guarded
from tests.load.errors import BenchFailed
from tests.load.findings import BYTES_A_MB
from tests.load.machine import load_note, machine
from tests.load.proc import Group, pss_bytes
from tests.load.stats import percentile
from tests.load.systems import MASTER
from tests.load.tables import Table, figure, markdown, print_table, replace_section
from tests.load.watch import Watch

_CHAT = "/v1/chat/completions"
_MEASURED = (Group.ENVOY, Group.WORKERS)
_SEED = 1
_PAUSE_S = 0.01
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What the good tenant had while something went on: its latencies (ms, in order), and the calls
    that failed.
    """

    latencies_ms: tuple[float, ...]
    failed: int

    def ms(self, percent: float) -> str:
        """Return a percentile of its latency."""
        return figure(percentile(self.latencies_ms, percent))


@dataclass(frozen=True, slots=True)
class Result:
    """One attack in one mode.

    `memory`: bytes of each group's largest process, before the attack and at most during it.
    `faults`: sentences, one for each invariant that broke.
    """

    attack: str
    mode: str
    replies: Mapping[str, int]
    before: Seen
    during: Seen
    memory: Mapping[Group, tuple[int, int]]
    comparison: Comparison
    faults: tuple[str, ...]


class _GoodTenant:
    """Calls one after the other, and notes how long each took."""

    def __init__(self, url: str, key: str) -> None:
        self.calls: list[Call] = []
        self._client = httpx.Client(
            base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=_PATIENCE_S
        )

    def call_while(self, going: Callable[[], bool]) -> Seen:
        """Call as long as something goes on."""
        latencies_ms, failed = [], 0
        while going():
            call = drawn(_SEED, len(self.calls), leaving=0)
            self.calls.append(call)
            size = {name: call.headers[name] for name in ("x-mock-chunks", "x-mock-size")}
            began_s = time.perf_counter()
            reply = self._client.post(_CHAT, json={**call.body, "stream": False}, headers=size)
            latencies_ms.append((time.perf_counter() - began_s) * 1000)
            failed += not reply.is_success
            time.sleep(_PAUSE_S)
        return Seen(tuple(sorted(latencies_ms)), failed)


def main(
    attack: Annotated[
        list[str] | None, typer.Option(help="what to do; default all, else nothing is written")
    ] = None,
    mode: Annotated[list[str] | None, typer.Option(help="modes to run; default all")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="of each attack, and before it")] = 10,
    out: Annotated[Path, typer.Option(help="the file of results")] = RESULTS,
) -> None:
    """Let hostile tenants loose beside a good one."""
    known = {each.name: each for each in ATTACKS}
    if unknown := set(attack or ()) - known.keys():
        raise typer.BadParameter(f"{unknown.pop()} is none of: {', '.join(known)}")
    chosen = [known[name] for name in attack or known]
    guarded("chaos", lambda console: _hostile(console, chosen, mode or MODES, seconds, out))


def _hostile(
    console: Console, chosen: Sequence[Attack], modes: Sequence[str], seconds: float, out: Path
) -> None:
    notes = [note for note in (load_note(),) if note]
    about = [*machine(), ("Setting", f"{seconds:g} s before each attack, and of it")]
    results = []
    with Watch(console, len(chosen) * len(modes)) as watch:
        for attack, mode in ((attack, mode) for attack in chosen for mode in modes):
            watch.begin(f"{attack.name} · {mode}")
            results.append(_result(attack, mode, seconds, watch))
            watch.end(_said(results[-1]))
            for fault in results[-1].faults:
                watch.say(f"  broken: {fault}")
    print_table(console, table("What hostile tenants cost a good one", results))
    if len(chosen) < len(ATTACKS):
        console.print("written nowhere: some attacks are missing")
    else:
        for mode in modes:
            title = f"What hostile tenants cost a good one in mode {mode}"
            found = table(title, [result for result in results if result.mode == mode])
            lines = [f"## {title}", "", "Written by `make chaos`.", ""]
            lines += [f"- {name}: {value}" for name, value in about]
            lines += [f"- Note: {note}" for note in notes]
            replace_section(out, f"hostile-{mode}", "\n".join([*lines, "", markdown(found)]))
        console.print(f"written to {out.name}")
    if any(result.faults for result in results):
        raise BenchFailed("an invariant broke")


def _result(attack: Attack, mode: str, seconds: float, watch: Watch) -> Result:
    """Start everything, call alone, call beside the attack, wait until it is quiet, and compare."""
    with tempfile.TemporaryDirectory(prefix="tollgate-chaos-") as name, ExitStack() as resources:
        stage = Stage(resources, Path(name), mode, watch.tick)
        stage.start_provider()
        stage.start_gateway()
        keys = _keys(stage.gateway.url)
        tenant = _GoodTenant(stage.gateway.url, keys[Who.SOLVENT])
        tenant.call_while(_for(1.0))  # connections and caches
        before = tenant.call_while(_for(seconds))
        idle = _memory(stage)
        most = dict(idle)
        argv = (
            sys.executable,
            "-m",
            "tests.chaos.attacks",
            attack.name,
            stage.gateway.url,
            keys[attack.who],
            str(seconds),
        )
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as attacker:

            def going() -> bool:
                watch.tick()
                for group, size in _memory(stage).items():
                    most[group] = max(most[group], size)
                return attacker.poll() is None

            try:
                during = tenant.call_while(going)
            finally:
                attacker.kill()
            said, _ = attacker.communicate()
        books = read_when_quiet(stage.store_url, PATIENCE_S, watch.tick)
        served = {call.number: served_nanousd(stage, call) for call in tenant.calls}
        comparison = compared(served, (each for each in charged(books) if each[0] in served))
        faults = (
            *books.faults,
            *([f"{books.left} holds, slots and leases are left"] if books.left else []),
            *([f"{comparison.twice} calls were settled twice"] if comparison.twice else []),
        )
        memory = {group: (idle[group], most[group]) for group in idle}
        return Result(
            attack.name, mode, json.loads(said), before, during, memory, comparison, faults
        )


def _for(seconds: float) -> Callable[[], bool]:
    until_s = time.monotonic() + seconds
    return lambda: time.monotonic() < until_s


def _keys(url: str) -> dict[Who, str]:
    """Make a key with money and one whose budget is spent."""
    keys = {Who.WRONG: "sk-nobody-has-this-key"}
    with httpx.Client(base_url=url, timeout=_PATIENCE_S) as client:
        for who, dollars in ((Who.SOLVENT, 1_000_000), (Who.SPENT, 0.000_001)):
            made = client.post(
                "/key/generate",
                json={"max_budget": dollars},
                headers={"authorization": f"Bearer {MASTER}"},
            )
            keys[who] = str(made.raise_for_status().json()["key"])
        body, spender = ATTACKS[-2].body(), {"authorization": f"Bearer {keys[Who.SPENT]}"}
        until_spent = _for(_PATIENCE_S)
        while client.post(_CHAT, content=body, headers=spender).is_success:
            if not until_spent():
                raise BenchFailed("a budget was to be spent, and is not")
    return keys


def _memory(stage: Stage) -> dict[Group, int]:
    """Return the PSS of the largest process of each group, in bytes."""
    return {group: max(pss_bytes(stage.pids(group))) for group in _MEASURED}


def table(title: str, results: Iterable[Result]) -> Table:
    """A row for each attack."""
    sizes = tuple(f"{group} MB" for group in _MEASURED)
    columns = (
        "attack", "mode", "replies", "p50 ms", "beside it", "p99 ms", "beside it", "failed",
        *sizes, "error", "kept",
    )  # fmt: skip
    note = (
        "Replies to the attackers by status; 0: none. Latencies, failed calls and the error of what"
        " was charged are the good tenant's, who calls one after the other. MB: the largest process"
        " before, and at most during the attack. Kept: the ledger is the spend of each scope,"
        " nothing is left held, each call is settled once."
    )
    return Table(title, columns, tuple(map(_row, results)), note)


def _row(result: Result) -> tuple[str, ...]:
    before, during = result.before, result.during
    replies = ", ".join(f"{count:,} of {status}" for status, count in result.replies.items())
    sizes = (
        f"{idle / BYTES_A_MB:.0f}, {most / BYTES_A_MB:.0f}"
        for idle, most in (result.memory[group] for group in _MEASURED)
    )
    return (
        result.attack, result.mode, replies, before.ms(50), during.ms(50), before.ms(99),
        during.ms(99),
        f"{before.failed + during.failed:,}", *sizes, percent(result.comparison.error),
        "NO" if result.faults else "yes",
    )  # fmt: skip


def _said(result: Result) -> str:
    verdict = "broken" if result.faults else "kept"
    return f"p99 {result.before.ms(99)} ms, beside it {result.during.ms(99)} ms, {verdict}"


if __name__ == "__main__":
    typer.run(main)
