"""Define the command line of the processes.

Each command imports its own module only when it runs: a worker must not load the admin server's.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from tollgate import logs
from tollgate import settings as configuration
from tollgate.core.errors import TollgateError
from tollgate.settings import Settings
from tollgate.snapshot import Snapshot

app = typer.Typer(
    help="The processes that `tollgate up` and `tollgate serve` start.", add_completion=False
)


def _run(serve: Callable[[Settings], Coroutine[None, None, None]], config: Path) -> None:
    try:
        # The supervisor has already validated the file.
        settings = configuration.load(config, allow_unenforced=True)
        logs.configure(settings.tollgate.log_format, settings.tollgate.log_level)
        uvloop.run(serve(settings))
    except TollgateError as error:
        raise SystemExit(str(error)) from error


Config = Annotated[Path, typer.Option("--config", help="the configuration file")]
# Not a command-line argument, since everybody could read a password in it.
StoreUrl = Annotated[str, typer.Option(envvar="TOLLGATE_STORE_URL", help="the store's URL")]
HistoryUrl = Annotated[
    str, typer.Option(envvar="TOLLGATE_HISTORY_URL", help="the history's database")
]
Beat = Annotated[Path, typer.Option("--beat", help="the file for our signs of life")]


@app.callback()
def main() -> None:
    """Run a part of a gateway; `tollgate up` starts all of them."""


@app.command("worker")
def worker(
    config: Config,
    redis: StoreUrl,
    beat: Beat,
    grpc_address: Annotated[
        str, typer.Option("--grpc", help="where to serve Envoy: unix:/path or host:port")
    ],
    authz_http: Annotated[str, typer.Option(help="where to serve ext_authz over HTTP: likewise")],
    native: Annotated[
        bool, typer.Option("--native", help="Envoy is in native mode; both modes are served")
    ] = False,
) -> None:
    """Serve ext_authz, ext_proc and the access log."""
    from tollgate.app.worker import serve_worker

    _run(
        lambda settings: serve_worker(
            settings,
            redis,
            beat,
            grpc_address,
            authz_http,
            native=native,
            snapshot=Snapshot.beside(config),
        ),
        config,
    )


@app.command("admin")
def admin(
    config: Config,
    redis: StoreUrl,
    beat: Beat,
    beats: Annotated[
        Path, typer.Option("--beats", help="the folder of the workers' signs of life")
    ],
    http_address: Annotated[
        str, typer.Option("--http", help="where to serve: unix:/path or host:port")
    ],
    history: HistoryUrl = "",
) -> None:
    """Serve the management API, and settle expired leases."""
    from tollgate.app.admin import serve_admin

    snapshot = Snapshot.beside(config)
    _run(
        lambda settings: serve_admin(
            settings, redis, beat, beats, http_address, snapshot, history=history or None
        ),
        config,
    )


@app.command("recorder")
def recorder(
    config: Config,
    redis: StoreUrl,
    beat: Beat,
    history: HistoryUrl,
    folder: Annotated[
        Path, typer.Option("--folder", help="the folder of records that the store has no room for")
    ],
) -> None:
    """Record what was settled in the database of the history."""
    from tollgate.app.recorder import RecorderPlaces, serve_recorder

    places = RecorderPlaces(redis, history, folder, beat)
    _run(lambda settings: serve_recorder(settings, places), config)


if __name__ == "__main__":
    app()
