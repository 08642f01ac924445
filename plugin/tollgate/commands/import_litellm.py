"""tollgate import-litellm"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tollgate.commands.errors import fail, failing_clearly
from tollgate.commands.gateway import DEFAULT_URL, Gateway, part
from tollgate.commands.printing.tables import print_rows

if TYPE_CHECKING:
    from tollgate.import_litellm.mapping import ImportPlan

_MOST_ROWS = 200
# The gateway accepts bodies of a mebibyte.
_MOST_BYTES = 512 * 1024
_OUTCOMES = ("created", "unchanged", "differs", "failed")

Result = Mapping[str, Any]


def import_litellm(
    url: Annotated[str | None, typer.Option("--url", help="where the LiteLLM server is")] = None,
    master_key: Annotated[
        str | None,
        typer.Option("--master-key", envvar="LITELLM_MASTER_KEY", help="LiteLLM's master key"),
    ] = None,
    dump: Annotated[
        Path | None,
        typer.Option("--dump", help="a JSON object with LiteLLM's lists, instead of a server"),
    ] = None,
    gateway: Annotated[
        str, typer.Option("--gateway", envvar="TOLLGATE_URL", help="where Tollgate is")
    ] = DEFAULT_URL,
    gateway_key: Annotated[
        str | None,
        typer.Option(
            "--gateway-key",
            envvar="TOLLGATE_MASTER_KEY",
            help="Tollgate's master key; by default the same",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="change nothing, report what would happen")
    ] = False,
) -> None:
    """Import organizations, teams, users, keys (by hash), customers, tags, budgets, limits and
    spend from LiteLLM.

    Running it again is safe.

    Example: `tollgate import-litellm --url http://litellm:4000 --dry-run`
    """
    from tollgate.import_litellm.mapping import plan_of
    from tollgate.import_litellm.source import read_file, read_server

    with failing_clearly():
        if (url is None) == (dump is None):
            fail("give either --url and --master-key, or --dump")
        if dump is not None:
            found = read_file(dump)
        elif url is not None and master_key is not None:
            found = read_server(url, master_key, _say)
        else:
            fail("no LiteLLM master key: give --master-key, or set LITELLM_MASTER_KEY")
        plan = plan_of(found)
    results = [
        each
        for batch in _sent(plan, Gateway(gateway, gateway_key or master_key), dry_run=dry_run)
        for each in batch
    ]
    _report(plan, results, dry_run=dry_run)
    if any(each["outcome"] == "failed" for each in results):
        raise typer.Exit(1)


def _sent(plan: ImportPlan, gateway: Gateway, *, dry_run: bool) -> Iterator[list[Result]]:
    """Send the plan in batches and yield the results of each."""
    from tollgate.import_litellm.mapping import KINDS

    for kind in KINDS:
        items, done = plan.items[kind], 0
        for batch in _batches(items):
            answer = gateway.post("/global/import", {"dry_run": dry_run, kind: batch})
            done += len(batch)
            _say(f"importing {kind}: {done} of {len(items)}")
            yield part(answer, "results")


def _batches(items: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    size = 0
    for item in items:
        length = len(json.dumps(item))
        if batch and (len(batch) == _MOST_ROWS or size + length > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += length
    if batch:
        yield batch


def _report(plan: ImportPlan, results: Sequence[Result], *, dry_run: bool) -> None:
    """Print the outcome: counts by kind, then what failed, what differs, and what was lost."""
    from tollgate.import_litellm.mapping import KINDS

    counts = Counter((each["kind"], each["outcome"]) for each in results)
    rows = [[kind, *(str(counts[kind, outcome]) for outcome in _OUTCOMES)] for kind in KINDS]
    print_rows(["would become" if dry_run else "became", *_OUTCOMES], rows)
    for each in results:
        if each["message"]:
            typer.echo(f"{each['outcome']}: {each['kind']} {each['id']}: {each['message']}")
    for lost in plan.lost:
        typer.echo(f"not carried: {lost.kind} {lost.id}: {lost.field}: {lost.reason}")
    if plan.sessions:
        typer.echo(f"skipped: {plan.sessions} session keys of LiteLLM's own UI")


def _say(line: str) -> None:
    # Progress goes to stderr, so that it does not mix with the result.
    typer.echo(line, err=True)
