"""`tollgate doctor`: whether Envoy enforces what Tollgate decides."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tollgate.commands.gateway import MasterKey
from tollgate.commands.printing.tables import print_rows, show

if TYPE_CHECKING:
    from tollgate.doctor.finding import Finding


def doctor(
    url: Annotated[
        str, typer.Argument(envvar="TOLLGATE_URL", help="where clients reach the gateway")
    ],
    master_key: MasterKey = None,
    key: Annotated[
        str | None,
        typer.Option(
            help="a key for the probes, whose models name tollgate-probe and tollgate-probe-late;"
            " without one, a key is made, and deleted at the end"
        ),
    ] = None,
    management: Annotated[
        str | None,
        typer.Option(help="where the management API answers, if not at the same address"),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="leave out the longest bodies and a stream of half a minute"),
    ] = False,
    with_provider_call: Annotated[
        str, typer.Option(metavar="MODEL", help="also call this model, which its provider charges")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print the findings as JSON")] = False,
) -> None:
    """Send probes through an Envoy and say what is missing, in the wrong order or not enforced.

    No provider is called: Tollgate itself answers the probes. Exits with 1 if there is a fault.

    Example: `tollgate doctor https://llm.example --quick`
    """
    from tollgate.doctor.examination import Extent
    from tollgate.doctor.finding import Result

    extent = Extent(quick=quick, model=with_provider_call)
    if not (as_json or quick):
        typer.echo("probing for about half a minute; --quick takes a few seconds", err=True)
    found = asyncio.run(_examine(url, management, master_key, key, extent))
    if as_json:
        show([_row(each) for each in found], as_json=True)
    else:
        _print(found)
    if any(each.result is Result.FAULT for each in found):
        raise typer.Exit(1)


async def _examine(
    url: str, management: str | None, master_key: str | None, key: str | None, extent: Any
) -> list[Finding]:
    from tollgate.doctor.examination import Examination
    from tollgate.doctor.probing import Probing

    async with Probing.open(url, management, master_key) as probing:
        probing.key = key or ""
        return await Examination(probing, extent).run()


def _row(finding: Finding) -> dict[str, str]:
    return {
        "check": finding.check,
        "result": str(finding.result),
        "seen": finding.seen,
        "fix": finding.fix,
    }


def _print(found: list[Finding]) -> None:
    print_rows(
        ("check", "result", "what was seen"),
        [(each.check, str(each.result), each.seen) for each in found],
    )
    fixes = [(each.check, each.fix) for each in found if each.fix]
    if fixes:
        typer.echo("")
        print_rows(("check", "what to do"), fixes)
