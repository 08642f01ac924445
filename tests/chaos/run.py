"""`make chaos`: breaks every part of a gateway under load, and tells what that does to the money: a
table, and tests/chaos/RESULTS.md.

It listens on loopback only and ends everything that it started, also on Ctrl-C. Exit code 1: an
invariant broke.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console
from tests.chaos.books import Books, read_when_quiet
from tests.chaos.provider import CALL
from tests.chaos.scenarios import CLUSTER_SCENARIOS, SCENARIOS, Scenario
from tests.chaos.stage import INPUT_NANOUSD, LEASE_S, OUTPUT_NANOUSD, Stage
from tests.chaos.traffic import CLIENTS, Call, Outcome, drawn
from tests.chaos.verdict import Result, UnderStrict, compared, percent, table
from tests.load.callers import Who, make_callers
from tests.load.command import guarded
from tests.load.errors import BenchFailed
from tests.load.machine import load_note, machine
from tests.load.systems import MASTER
from tests.load.tables import Table, markdown, print_table, replace_section
from tests.load.watch import Watch

RESULTS = Path(__file__).with_name("RESULTS.md")
MODES = ("grpc", "native")
# Whoever settles tries again for eight seconds; then a lease ends, and the reaper comes every five
# seconds.
PATIENCE_S = 20.0 + LEASE_S
_PAYER = f"customer:{CALL}"
STRICT_CLIENTS, FIRST_STRICT_CALL = 6, 50_000
STRICT_WORDS = 16
"""What a strict limit leaves of an output limit at least, so that no reply is cut."""
STRICT_NANOUSD = 12_000_000
"""A strict budget of some thirty calls: its clients are at its edge when something breaks."""


class StoreOfRun(StrEnum):
    """What a gateway of a run keeps everything in."""

    SERVER = "server"
    CLUSTER = "cluster"


_ON = {StoreOfRun.SERVER: "", StoreOfRun.CLUSTER: ", on a cluster of three primaries"}
_SCENARIOS = {StoreOfRun.SERVER: SCENARIOS, StoreOfRun.CLUSTER: CLUSTER_SCENARIOS}


@dataclass(frozen=True, slots=True)
class Setting:
    """`calls`: how many at least a run makes; a third of them before it breaks anything."""

    calls: int
    seed: int
    store: StoreOfRun


def main(
    scenario: Annotated[
        list[str] | None, typer.Option(help="what to break; default all, else nothing is written")
    ] = None,
    mode: Annotated[list[str] | None, typer.Option(help="modes to run; default all")] = None,
    calls: Annotated[int, typer.Option(min=30, help="of a run, at least")] = 450,
    seed: Annotated[int, typer.Option(help="of what the clients ask")] = 1,
    store: Annotated[
        StoreOfRun, typer.Option(help="what the gateway keeps everything in")
    ] = StoreOfRun.SERVER,
    out: Annotated[
        Path, typer.Option(help="the file of results; each mode has a section")
    ] = RESULTS,
) -> None:
    """Break things under load."""
    known = {each.name: each for each in _SCENARIOS[store]}
    if unknown := set(scenario or ()) - known.keys():
        raise typer.BadParameter(f"{unknown.pop()} is none of: {', '.join(known)}")
    chosen = [known[name] for name in scenario or known]
    setting = Setting(calls, seed, store)
    guarded("chaos", lambda console: _chaos(console, chosen, mode or MODES, setting, out))


def _chaos(
    console: Console, chosen: Sequence[Scenario], modes: Sequence[str], setting: Setting, out: Path
) -> None:
    notes = [note for note in (load_note(),) if note]
    about = machine()
    results = []
    with Watch(console, len(chosen) * len(modes)) as watch:
        for scenario, mode in ((scenario, mode) for scenario in chosen for mode in modes):
            watch.begin(f"{scenario.name} · {mode}")
            results.append(_result(scenario, mode, setting, watch))
            watch.end(_said(results[-1]))
            for fault in results[-1].faults:
                watch.say(f"  broken: {fault}")
    print_table(console, table("What chaos costs", results))
    if len(chosen) < len(_SCENARIOS[setting.store]):
        console.print("written nowhere: some scenarios are missing")
    else:
        for mode in modes:
            found = table(
                f"What chaos costs in mode {mode}{_ON[setting.store]}",
                [result for result in results if result.mode == mode],
            )
            section = mode if setting.store is StoreOfRun.SERVER else f"{setting.store} {mode}"
            replace_section(out, section, _document(about, setting, notes, found))
        console.print(f"written to {out.name}")
    if any(result.faults for result in results):
        raise BenchFailed("an invariant broke")


def _result(scenario: Scenario, mode: str, setting: Setting, watch: Watch) -> Result:
    """Start everything, call, break, let it recover, wait for the leases, and compare."""
    with tempfile.TemporaryDirectory(prefix="tollgate-chaos-") as name, ExitStack() as resources:
        stage = Stage(resources, Path(name), mode, watch.tick)
        stage.start_provider()
        if setting.store is StoreOfRun.CLUSTER:
            stage.start_cluster()
        elif scenario.own_store:
            stage.start_store()
        stage.start_gateway()
        key = make_callers(stage.gateway.url).who[Who.ALL].key
        strict_key = limit_keys(stage.gateway.url, key)
        usual = partial(drawn, setting.seed, leaving=scenario.leaving)
        short = partial(usual, most_words=STRICT_WORDS)
        under_strict = {"clients": STRICT_CLIENTS, "first": FIRST_STRICT_CALL}
        with (
            stage.traffic(key, usual) as traffic,
            stage.traffic(strict_key, short, **under_strict) as strict,
        ):
            traffic.more(setting.calls // 3)
            scenario.breaks(stage)
            traffic.served_again()
            traffic.more(setting.calls * 2 // 3)
        books = read_when_quiet(stage.store_url, PATIENCE_S, watch.tick)
        return _judged(scenario, stage, traffic.ended, strict.ended, books)


def _judged(
    scenario: Scenario,
    stage: Stage,
    under_shadow: Sequence[tuple[Call, Outcome]],
    under_strict: Sequence[tuple[Call, Outcome]],
    books: Books,
) -> Result:
    ended = [*under_shadow, *under_strict]
    served = {call.number: served_nanousd(stage, call) for call, _ in ended}
    found = compared(served, charged(books))
    strict = UnderStrict(
        sum(outcome is Outcome.REFUSED for _, outcome in under_strict),
        sum(nanousd for call, nanousd, _ in charged(books) if call >= FIRST_STRICT_CALL),
        sum(served[call.number] for call, _ in under_strict),
        STRICT_NANOUSD,
    )
    refused = sum(outcome is Outcome.REFUSED for _, outcome in under_shadow)
    faults = (
        *books.faults,
        *([f"{books.left} holds, slots and leases are left"] if books.left else []),
        *([f"{found.twice} calls were settled twice"] if found.twice else []),
        *([f"{refused} calls were refused by a limit in shadow mode"] if refused else []),
        *(
            [f"a strict budget was exceeded by {strict.over_nanousd:,} n$"]
            if strict.over_nanousd and not scenario.forgets
            else []
        ),
        *(
            [f"{found.forgotten} calls were served and have no record"]
            if found.forgotten and not scenario.forgets
            else []
        ),
    )
    outcomes = Counter(outcome for _, outcome in ended)
    return Result(
        scenario.name,
        stage.mode,
        len(ended) - strict.refused,
        outcomes[Outcome.FAILED],
        found,
        books.left,
        faults,
        strict,
    )


def limit_keys(url: str, key: str) -> str:
    """Give a key a limit in shadow mode that no call fits; return another with a strict budget."""
    never = {"meter": "requests", "amount": 0, "per": "1m", "mode": "shadow"}
    strict = {"meter": "usd", "amount": STRICT_NANOUSD / 10**9, "strict": True}
    authorization = {"authorization": f"Bearer {MASTER}"}
    with httpx.Client(base_url=url, headers=authorization, timeout=30) as client:
        told = client.get("/key/info", params={"key": key}).raise_for_status().json()["info"]
        limits = [*told["limits"], never]
        client.post("/key/update", json={"key": key, "limits": limits}).raise_for_status()
        made = client.post("/key/generate", json={"limits": [strict]}).raise_for_status()
        return str(made.json()["key"])


def served_nanousd(stage: Stage, call: Call) -> int:
    """What the provider has a right to: the input each time that it got it, and the words that it
    sent.
    """
    tally = stage.tally
    return (
        tally.times(call.number) * call.input_tokens * INPUT_NANOUSD
        + tally.words(call.number) * OUTPUT_NANOUSD
    )


def charged(books: Books) -> Iterator[tuple[int, int, str]]:
    for record in books.records:
        payer = next(scope for scope in record.scopes if scope.startswith(_PAYER))
        yield int(payer.removeprefix(_PAYER)), record.cost_nanousd, record.certainty


def _said(result: Result) -> str:
    verdict = "broken" if result.faults else "kept"
    error = percent(result.comparison.error)
    return (
        f"{result.calls:,} calls, {result.failed:,} failed, error {error}, {result.left:,} left,"
        f" {verdict}"
    )


def _document(
    about: list[tuple[str, str]], setting: Setting, notes: Sequence[str], found: Table
) -> str:
    said = (
        f"{setting.calls:,} calls a run at least, {CLIENTS} clients, leases of {LEASE_S} s, seed"
        f" {setting.seed}"
    )
    lines = [f"## {found.title}", "", "Written by `make chaos`.", ""]
    lines += [f"- {name}: {value}" for name, value in (*about, ("Setting", said))]
    lines += [f"- Note: {note}" for note in notes]
    return "\n".join([*lines, "", markdown(found)])


if __name__ == "__main__":
    typer.run(main)
