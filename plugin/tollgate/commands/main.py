"""Define the command line: read options, call, print. No logic.

Commands that talk to a running gateway are in their own modules. Each command imports what it needs
when it runs, because `up` and `serve` stay in memory as long as the gateway runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
import yaml

from tollgate import __version__, logs, settings
from tollgate.commands import key, spend
from tollgate.commands.apply import apply
from tollgate.commands.envoys.attach import attach
from tollgate.commands.envoys.doctor import doctor
from tollgate.commands.errors import complain, failing_clearly
from tollgate.commands.groups import GROUPS
from tollgate.commands.import_litellm import import_litellm
from tollgate.commands.mock_llm import mock_llm
from tollgate.commands.records.audit import audit
from tollgate.commands.records.backup import backup, restore
from tollgate.commands.records.reconcile import reconcile
from tollgate.commands.records.run_recorder import recorder
from tollgate.commands.reports.compare_litellm import compare_litellm
from tollgate.commands.reports.explain import explain
from tollgate.commands.reports.refusals import refusals
from tollgate.commands.reports.replay import replay
from tollgate.commands.reports.top import top
from tollgate.core.errors import SettingsError
from tollgate.gateway import exposure
from tollgate.topology import ConfigPart, ControlPlane

app = typer.Typer(
    help="Budgets and rate limits for LLM traffic, beside Envoy.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(key.app, name="key")
for _group in GROUPS:
    app.add_typer(_group.app, name=_group.name)
app.add_typer(spend.app, name="spend")

ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config",
        help="the configuration file; without one, the example with the built-in provider",
    ),
]
RedisOption = Annotated[
    str | None,
    typer.Option(
        envvar="TOLLGATE_REDIS_URL",
        help=(
            "Valkey or Redis to use instead of the embedded one; a password belongs into the file"
            " or the environment"
        ),
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=256,
        help="worker processes; default one for two cores, with a stand-in if that is one",
    ),
]
StateOption = Annotated[Path | None, typer.Option(help="folder of the embedded Valkey's file")]


class Xds(StrEnum):
    """How an Envoy beside `tollgate serve` learns of changes."""

    STATIC = "static"
    FILES = "files"
    ADS = "ads"


class Mode(StrEnum):
    """How Envoy talks to Tollgate."""

    GRPC = "grpc"
    NATIVE = "native"


UnenforcedOption = Annotated[
    bool,
    typer.Option(
        "--allow-unenforced",
        help="start even if the file restricts calls in ways that are not enforced",
    ),
]
XdsOption = Annotated[
    Xds | None,
    typer.Option(help="how Envoy learns of changes: docs/xds.md"),
]
XdsFolderOption = Annotated[
    Path | None, typer.Option(help="of the files for Envoy; implies --xds files")
]
ModeOption = Annotated[Mode | None, typer.Option(help="how Envoy talks to Tollgate")]


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="print the version")] = False,
) -> None:
    """Budgets and rate limits for LLM traffic, beside Envoy."""
    if version:
        print(__version__)


@app.command()
def up(
    config: ConfigOption = settings.EXAMPLE_FILE,
    host: Annotated[str | None, typer.Option(help="address that the gateway listens on")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="port; 0 takes a free one")
    ] = None,
    mode: ModeOption = None,
    workers: WorkersOption = None,
    state_dir: StateOption = None,
    redis_url: RedisOption = None,
    envoy: Annotated[
        Path | None, typer.Option(help="an Envoy binary of your own, 1.37 or later")
    ] = None,
    allow_unenforced: UnenforcedOption = False,
) -> None:
    """Run the whole gateway: store, workers, management, Envoy.

    Example: `tollgate up --config gateway.yaml --mode native`
    """
    from tollgate.gateway import running, supervisor
    from tollgate.gateway.envoy_program import find_version

    with failing_clearly():
        overrides = {
            "host": host, "port": port, "mode": mode, "workers": workers, "state_dir": state_dir,
            "redis_url": redis_url
        }  # fmt: skip
        if envoy is not None:
            overrides["envoy_version"] = find_version(str(envoy))
        load = _loader(overrides, allow_unenforced=allow_unenforced)
        loaded = _told(load(config))
        programs = (
            supervisor.Programs() if envoy is None else supervisor.Programs(envoy=(str(envoy),))
        )
        with supervisor.gateway(loaded, config, programs, load) as plan:
            _finish(running.run(plan, logs.say))


@app.command()
def serve(
    config: ConfigOption = settings.EXAMPLE_FILE,
    workers: WorkersOption = None,
    state_dir: StateOption = None,
    redis_url: RedisOption = None,
    xds: XdsOption = None,
    xds_folder: XdsFolderOption = None,
    allow_unenforced: UnenforcedOption = False,
) -> None:
    """Run workers and management only, for an Envoy of your own (see `tollgate envoy-config`).

    Example: `tollgate serve --config gateway.yaml --redis-url redis://cache:6379`
    """
    from tollgate.gateway import running, supervisor

    with failing_clearly():
        overrides = {
            "workers": workers, "state_dir": state_dir, "redis_url": redis_url,
            **_discovering(xds, xds_folder)
        }  # fmt: skip
        load = _loader(overrides, allow_unenforced=allow_unenforced)
        with supervisor.sidecar(_told(load(config)), config, load=load) as plan:
            _finish(running.run(plan, logs.say))


@app.command("envoy-config")
def envoy_config(
    config: ConfigOption = settings.EXAMPLE_FILE,
    mode: ModeOption = None,
    what: Annotated[
        ConfigPart, typer.Option(help="the whole file, or a part for a file of your own")
    ] = ConfigPart.BOOTSTRAP,
    envoy_version: Annotated[
        settings.EnvoyVersion | None, typer.Option(help="of your Envoy; default that of the file")
    ] = None,
    plane: Annotated[
        ControlPlane,
        typer.Option("--for", help="who configures Envoy; docs/forms.md has a page for each"),
    ] = ControlPlane.PLAIN,
    domain: Annotated[
        str, typer.Option(help="host that Tollgate is to serve, for a control plane")
    ] = "llm.example",
    namespace: Annotated[
        str, typer.Option(help="where Tollgate's service is, for a control plane")
    ] = "tollgate",
    xds: XdsOption = None,
    xds_folder: XdsFolderOption = None,
    output: Annotated[Path | None, typer.Option(help="file to write to instead")] = None,
    allow_unenforced: UnenforcedOption = False,
) -> None:
    """Print Envoy's configuration for `tollgate serve`, as YAML.

    It contains no provider key: Envoy reads those from its environment.

    Example: `tollgate envoy-config --config gateway.yaml --envoy-version 1.38 > envoy.yaml`
    Example: `tollgate envoy-config --config gateway.yaml --for envoy-gateway > tollgate.yaml`
    """
    with failing_clearly():
        loaded = settings.load(config, allow_unenforced=allow_unenforced)
        told = {"mode": mode, "envoy_version": envoy_version, **_discovering(xds, xds_folder)}
        loaded = _with(loaded, told)
        text = _form(loaded, what, plane, domain, namespace)
        if output is None:
            print(text, end="")
        else:
            output.write_text(text, encoding="utf-8")


def _form(
    loaded: settings.Settings,
    what: ConfigPart,
    plane: ControlPlane,
    domain: str,
    namespace: str,
) -> str:
    """Return the configuration for whoever configures Envoy. Raises SettingsError."""
    if plane is ControlPlane.PLAIN:
        return rendered(loaded, what)
    from tollgate.envoy_config.forms.kubernetes_objects import Place
    from tollgate.envoy_config.forms.rendered_forms import rendered_form

    if what is not ConfigPart.BOOTSTRAP:
        raise SettingsError("--what selects a part of --for plain")
    return rendered_form(plane, loaded, Place(domain, namespace))


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="the configuration file")],
    prices: Annotated[
        Path | None,
        typer.Option(help="a price file in LiteLLM's form: list what differs from it by over 5 %"),
    ] = None,
    allow_unenforced: UnenforcedOption = False,
) -> None:
    """Explain a configuration file; exit with 1 and one line per fault if it cannot be used.

    Example: `tollgate check gateway.yaml`
    """
    from tollgate.commands.printing import report

    with failing_clearly():
        loaded = settings.load(file, allow_unenforced=allow_unenforced)
        print("\n".join(report.describe(loaded, os.environ)))
        if prices is not None:
            print("\n".join(report.compare_prices(loaded, prices)))


app.command("attach")(attach)
app.command("doctor")(doctor)


@app.command()
def script(
    operation: Annotated[
        str, typer.Argument(help="reserve, settle, peek, renew or spend")
    ] = "reserve",
) -> None:
    """Print a script of the counters as the store runs it.

    Example: `tollgate script settle`
    """
    from tollgate.app.scripts_shown import shown_script

    with failing_clearly():
        typer.echo(shown_script(operation))


app.command("mock-llm")(mock_llm)
app.command("apply")(apply)
app.command("import-litellm")(import_litellm)
app.command("compare-litellm")(compare_litellm)
app.command("top")(top)
app.command("explain")(explain)
app.command("replay")(replay)
app.command("refusals")(refusals)
app.command("audit")(audit)
app.command("recorder")(recorder)
app.command("backup")(backup)
app.command("restore")(restore)
app.command("reconcile")(reconcile)


def rendered(loaded: settings.Settings, what: ConfigPart) -> str:
    """Return the configuration as YAML, for an Envoy beside `tollgate serve`.

    Raises SettingsError for an invalid address.
    """
    from tollgate.envoy_config.parts import part

    return yaml.safe_dump(part(what, loaded), sort_keys=False, width=140, allow_unicode=True)


def _discovering(xds: Xds | None, xds_folder: Path | None) -> dict[str, Any]:
    """Return how Envoy learns of changes, as the command line says."""
    if xds is None and xds_folder is not None:
        xds = Xds.FILES
    return {"xds": xds, "xds_folder": xds_folder}


def _loader(
    overrides: dict[str, Any], *, allow_unenforced: bool
) -> Callable[[Path], settings.Settings]:
    """Return what reads a file, with command-line overrides."""
    return lambda file: _with(settings.load(file, allow_unenforced=allow_unenforced), overrides)


def _told(loaded: settings.Settings) -> settings.Settings:
    """Return the settings, after printing their notices and warnings."""
    logs.configure(loaded.tollgate.log_format, loaded.tollgate.log_level)
    for notice in loaded.notices:
        logs.say(f"notice: {notice}")
    for warning in (*loaded.warnings, *exposure.warnings(loaded)):
        logs.say(f"warning: {warning}")
    return loaded


def _with(loaded: settings.Settings, overrides: dict[str, Any]) -> settings.Settings:
    """Return the settings with command-line overrides."""
    given = {name: value for name, value in overrides.items() if value is not None}
    return replace(loaded, tollgate=loaded.tollgate.model_copy(update=given))


def _finish(failure: str | None) -> NoReturn:
    if failure is not None:
        complain(failure)
    raise typer.Exit(0 if failure is None else 1)


if __name__ == "__main__":
    app()
