"""tollgate apply"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from tollgate.commands.errors import fail
from tollgate.commands.gateway import DEFAULT_URL, Gateway, MasterKey, Url, part

_TIMEOUT_S = 600.0
_VARIABLE = "os.environ/"
_SIGNS = {"create": "+", "change": "~", "adopt": "=", "delete": "-"}
_DONE = {"create": "created", "change": "changed", "adopt": "adopted", "delete": "deleted"}
_NOTHING: tuple[Any, ...] = (None, "", [], {})

Change = Mapping[str, Any]


def apply(
    file: Annotated[
        Path, typer.Option("--file", "-f", help="what to declare, as YAML or JSON; - is stdin")
    ],
    plan: Annotated[bool, typer.Option("--plan", help="only print what would be done")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="delete what this file made and no longer contains")
    ] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="also change what another file declares")
    ] = False,
    secrets: Annotated[
        Path | None,
        typer.Option(
            help="JSON file, mode 600, that gets the secrets of new keys instead of the terminal"
        ),
    ] = None,
    url: Url = DEFAULT_URL,
    master_key: MasterKey = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="print the plan or the outcome as JSON")
    ] = False,
) -> None:
    """Create and change budgets, organizations, users, teams, members, customers, tags and keys so
    that they are as a file declares them. The plan is printed first.

    Example: `tollgate apply -f entities.yaml --plan`
    Example: `tollgate apply -f entities.yaml --yes --secrets keys.json`
    """
    if plan and yes:
        fail("give either --plan or --yes")
    body = {**_read(file), "prune": prune, "take_over": take_over}
    gateway = Gateway(url, master_key)
    planned = _sent(gateway, {**body, "dry_run": True})
    changes = part(planned, "changes")
    if plan or not changes:
        _print_plan(planned, as_json=as_json)
        return
    if not as_json:
        _print_plan(planned, as_json=False)
    if not yes:
        _confirm(file)
    known = {} if secrets is None else _known_secrets(secrets)
    _finish(_sent(gateway, body), secrets, known, as_json=as_json)


def _sent(gateway: Gateway, body: Mapping[str, Any]) -> Any:
    return gateway.post("/global/apply", body, timeout_s=_TIMEOUT_S)


def _read(file: Path) -> dict[str, Any]:
    """Return a file's members, with the values of the environment variables that it names."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        found = yaml.safe_load(text)
    except OSError as error:
        fail(f"cannot read {file}: {error.strerror}")
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        fail(f"{file} is no YAML: {error}")
    if not isinstance(found, dict):
        fail(f"{file} must be an object with lists such as teams and keys")
    for name in ("dry_run", "prune", "take_over"):
        if name in found:
            fail(f"{file}: {name} is an option of the command")
    missing: list[str] = []
    read: dict[str, Any] = _resolved(found, missing)
    if missing:
        fail(f"{file} names variables that are not set: {', '.join(missing)}")
    return read


def _resolved(value: Any, missing: list[str]) -> Any:
    """Return a value with variables in place of `os.environ/NAME`."""
    if isinstance(value, dict):
        return {str(name): _resolved(each, missing) for name, each in value.items()}
    if isinstance(value, list):
        return [_resolved(each, missing) for each in value]
    if not isinstance(value, str) or not value.startswith(_VARIABLE):
        # YAML reads an unquoted date as one.
        return value if isinstance(value, bool | int | float | None) else str(value)
    name = value.removeprefix(_VARIABLE)
    if name not in os.environ:
        missing.append(name)
    return os.environ.get(name, "")


def _confirm(file: Path) -> None:
    if str(file) == "-" or not sys.stdin.isatty():
        fail("nothing was changed: give --yes to apply without being asked")
    if not typer.confirm("Apply?"):
        raise typer.Exit(1)


def _known_secrets(file: Path) -> dict[str, Any]:
    """Return what a file of secrets has. Its folder is tried first: a secret is told only once."""
    try:
        found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        with tempfile.NamedTemporaryFile(dir=file.parent):
            pass
    except (OSError, ValueError) as error:
        fail(f"cannot write secrets to {file}: {error}")
    if not isinstance(found, dict):
        fail(f"{file} must be a JSON object of aliases and secrets")
    return found


def _finish(applied: Any, secrets: Path | None, known: dict[str, Any], *, as_json: bool) -> None:
    """Tell what was done, and keep or print the secrets of new keys."""
    changes = part(applied, "changes")
    made = {each["id"]: each["key"] for each in changes if each["key"] is not None}
    if secrets is not None and made:
        _write(secrets, {**known, **made})
        changes = [{**each, "key": None} for each in changes]
    if as_json:
        typer.echo(json.dumps({**applied, "changes": changes}, indent=2, ensure_ascii=False))
    else:
        typer.echo(_outcome(changes))
        for alias, secret in made.items() if secrets is None else ():
            typer.echo(f"key {alias}: {secret}")
    failed = [each for each in changes if each["failure"] is not None]
    for each in failed:
        typer.echo(f"{each['kind']}: {each['id']}: {each['failure']}", err=True)
    if failed:
        raise typer.Exit(1)


def _write(file: Path, secrets: Mapping[str, Any]) -> None:
    """Write secrets, readable by their owner only; a reader sees all or none of them."""
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as writing:
        json.dump(dict(secrets), writing, indent=2)
        writing.write("\n")
    Path(name).replace(file)


def _print_plan(planned: Any, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(planned, indent=2, ensure_ascii=False))
        return
    for each in planned["changes"]:
        typer.echo("\n".join(_lines(each)))
    counts = Counter(each["action"] for each in planned["changes"])
    told = [f"{counts[name]} to {name}" for name in _SIGNS if counts[name]]
    typer.echo(f"plan: {', '.join([*told, str(planned['unchanged']) + ' unchanged'])}")


def _lines(change: Change) -> Iterator[str]:
    """Yield an entity, and the fields of it that change."""
    note = f" ({change['note']})" if change["note"] else ""
    yield f"{_SIGNS[change['action']]} {change['kind']}: {change['id']}{note}"
    for name, (before, after) in change["fields"].items():
        if change["action"] == "create":
            yield f"    {name}: {_text(after)}"
        else:
            yield f"    {name}: {_text(before)} -> {_text(after)}"


def _text(value: Any) -> str:
    return "none" if value in _NOTHING else json.dumps(value, ensure_ascii=False)


def _outcome(changes: Sequence[Change]) -> str:
    counts = Counter(_DONE[each["action"]] for each in changes if each["failure"] is None)
    told = [f"{count} {word}" for word, count in counts.items()]
    return f"applied: {', '.join(told) or 'nothing'}"
