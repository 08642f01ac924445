"""`tollgate attach`: somebody's own Envoy configuration, with Tollgate merged in."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tollgate import settings
from tollgate.commands.errors import failing_clearly
from tollgate.core.errors import SettingsError
from tollgate.topology import ConfigPart

if TYPE_CHECKING:
    from tollgate.envoy_config.attaching.attach import Attached
    from tollgate.envoy_config.attaching.served_at import Domain, PathPrefix


def attach(
    envoy: Annotated[Path, typer.Argument(help="your Envoy's bootstrap, YAML or JSON")],
    config: Annotated[
        Path, typer.Option("--config", help="Tollgate's configuration file")
    ] = settings.EXAMPLE_FILE,
    domain: Annotated[
        str | None, typer.Option(help="host that Tollgate is to serve, such as llm.example")
    ] = None,
    path_prefix: Annotated[
        str | None, typer.Option(help="or a prefix of every host's paths, such as /llm")
    ] = None,
    listener: Annotated[
        list[str] | None,
        typer.Option(help="the listener, where several speak HTTP; several if given repeatedly"),
    ] = None,
    mode: Annotated[
        Literal["grpc", "native"] | None, typer.Option(help="how Envoy talks to Tollgate")
    ] = None,
    what: Annotated[
        ConfigPart | None, typer.Option(help="print only what is added of this part")
    ] = None,
    diff: Annotated[bool, typer.Option("--diff", help="print what changes instead")] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="folder to write to; needed where routes are in files of their own"),
    ] = None,
    allow_unenforced: Annotated[
        bool, typer.Option("--allow-unenforced", help="as for `tollgate serve`")
    ] = False,
) -> None:
    """Print your Envoy's configuration with Tollgate in it; your hosts and routes stay as they are.

    Start `tollgate serve` with the same file, then Envoy with what is printed.

    Example: `tollgate attach envoy.yaml --config gateway.yaml --path-prefix /v1 --diff`
    """
    from tollgate.envoy_config.attaching.served_at import Domain, PathPrefix

    with failing_clearly():
        if (domain is None) == (path_prefix is None):
            raise SettingsError("give one of --domain and --path-prefix")
        loaded = settings.load(config, allow_unenforced=allow_unenforced)
        if mode is not None:
            ours = loaded.tollgate.model_copy(update={"mode": mode})
            loaded = replace(loaded, tollgate=ours)
        place = Domain(domain) if domain is not None else PathPrefix(path_prefix or "")
        found = _merged(envoy, loaded, place, listener or ())
        for note in (*found.notes, *_keys(loaded)):
            print(f"note: {note}", file=sys.stderr)
        if what is not None:
            _print_part(found, what)
        elif diff:
            print(_diff(found), end="")
        elif output is not None:
            _write(found, output)
        else:
            _print(found, envoy)


def _merged(
    envoy: Path, loaded: settings.Settings, place: Domain | PathPrefix, listeners: Sequence[str]
) -> Attached:
    from tollgate.envoy_config.attaching.attach import attach as merge

    try:
        return merge(envoy, loaded, place, listeners)
    except (AttributeError, KeyError, TypeError) as error:
        # Values of other types than Envoy's API has, anywhere in somebody's file.
        raise SettingsError(
            f"{envoy} is not in Envoy's form: `envoy --mode validate -c {envoy}` tells where"
        ) from error


def _keys(loaded: settings.Settings) -> list[str]:
    """Return a line for what Envoy's environment has to hold."""
    credentials = {each.variable: each for each in loaded.credentials.values() if not each.aws}
    if not credentials:
        return []
    named = [
        name if each.value is None else f"{name} (an api_key that stands in the file)"
        for name, each in credentials.items()
    ]
    return [f"Envoy takes the providers' keys from its environment: {', '.join(named)}"]


def _text(path: Path, document: object) -> str:
    """Return a document in the form that Envoy expects by a file's name."""
    from tollgate.envoy_config.yaml_text import yaml_text

    if path.suffix == ".json":
        return json.dumps(document, indent=2) + "\n"
    return yaml_text(document)


def _diff(found: Attached) -> str:
    from tollgate.envoy_config.yaml_text import yaml_text

    lines: list[str] = []
    for path, after in found.changed.items():
        old, new = (
            yaml_text(each).splitlines(keepends=True) for each in (found.before[path], after)
        )
        lines += unified_diff(old, new, str(path), f"{path} with Tollgate")
    return "".join(lines)


def _print_part(found: Attached, what: ConfigPart) -> None:
    from tollgate.envoy_config.yaml_text import yaml_text

    if what not in found.parts:
        raise SettingsError(f"--what: right is one of {', '.join(sorted(found.parts))}")
    print(yaml_text(found.parts[what]), end="")


def _print(found: Attached, envoy: Path) -> None:
    if others := [str(path) for path in found.changed if path != envoy]:
        raise SettingsError(f"{', '.join(others)} has to change too: give a folder as --output")
    print(_text(envoy, found.files[envoy]), end="")


def _write(found: Attached, folder: Path) -> None:
    """Write the changed files to a folder; the bootstrap there names them."""
    folder.mkdir(parents=True, exist_ok=True)
    moved = {str(path): str(folder.resolve() / path.name) for path in found.changed}
    for path, document in found.changed.items():
        text = _text(path, _moved(document, moved))
        (folder / path.name).write_text(text, encoding="utf-8")
        print(folder / path.name)


def _moved(value: Any, moved: dict[str, str]) -> Any:
    """The value with the paths of files that are written elsewhere."""
    if isinstance(value, dict):
        return {
            name: moved.get(each, each)
            if name == "path" and isinstance(each, str)
            else _moved(each, moved)
            for name, each in value.items()
        }
    return [_moved(each, moved) for each in value] if isinstance(value, list) else value
