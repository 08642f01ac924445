"""Define the command line of the processes.

Each command imports its own module only when it runs: a worker must not load the admin server's.
The standard library reads the options, since a richer parser would stay in every process's memory.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Coroutine, Sequence
from pathlib import Path

import uvloop

from tollgate import logs
from tollgate import settings as configuration
from tollgate.core.errors import TollgateError
from tollgate.settings import Settings
from tollgate.snapshot import Snapshot

Serving = Coroutine[None, None, None]

# Not command-line arguments, since everybody could read a password in those.
_STORE_URL, _HISTORY_URL = "TOLLGATE_STORE_URL", "TOLLGATE_HISTORY_URL"


def _worker(options: Namespace) -> Serving:
    """Serve ext_authz, ext_proc and the access log."""
    from tollgate.app.worker import serve_worker

    return serve_worker(
        _settings(options),
        os.environ[_STORE_URL],
        options.beat,
        options.grpc,
        options.authz_http,
        native=options.native,
        leaving_s=options.leaving_seconds,
        snapshot=Snapshot.beside(options.config),
        discovery=options.discovery,
    )


def _admin(options: Namespace) -> Serving:
    """Serve the management API, and settle expired leases."""
    from tollgate.app.admin import serve_admin

    return serve_admin(
        _settings(options),
        os.environ[_STORE_URL],
        options.beat,
        options.beats,
        options.http,
        Snapshot.beside(options.config),
        history=os.environ.get(_HISTORY_URL) or None,
    )


def _recorder(options: Namespace) -> Serving:
    """Record what was settled in the database of the history."""
    from tollgate.app.recorder import RecorderPlaces, serve_recorder

    places = RecorderPlaces(
        os.environ[_STORE_URL], os.environ[_HISTORY_URL], options.folder, options.beat
    )
    return serve_recorder(_settings(options), places)


def _added(options: Namespace) -> Serving:
    """Write down the models that were added over the API, and end."""
    from tollgate.app.added.reading_added import read_added

    return read_added(os.environ[_STORE_URL], Snapshot.beside(options.config))


def _settings(options: Namespace) -> Settings:
    """Load the settings, which the supervisor has already validated, and log as they say."""
    settings = configuration.load(options.config, allow_unenforced=True)
    logs.configure(settings.tollgate.log_format, settings.tollgate.log_level)
    return settings


_COMMANDS = {"worker": _worker, "admin": _admin, "recorder": _recorder, "added": _added}


def _options() -> ArgumentParser:
    parser = ArgumentParser(
        "python -m tollgate.app",
        description="The processes that `tollgate up` and `tollgate serve` start.",
    )
    commands = parser.add_subparsers(required=True)
    for name, choose in _COMMANDS.items():
        command = commands.add_parser(name, help=choose.__doc__)
        command.set_defaults(choose=choose)
        command.add_argument("--config", type=Path, required=True, help="the configuration file")
        if name == "added":
            continue
        command.add_argument(
            "--beat", type=Path, required=True, help="the file for our signs of life"
        )
        if name == "worker":
            command.add_argument("--grpc", required=True, help="unix:/path or host:port for Envoy")
            command.add_argument("--authz-http", required=True, help="likewise, over HTTP")
            command.add_argument(
                "--discovery", type=Path, help="the folder of what Envoys discover over gRPC"
            )
            command.add_argument("--native", action="store_true", help="Envoy is in native mode")
            command.add_argument(
                "--leaving-seconds",
                type=float,
                default=0,
                help="how long to serve on once told to stop",
            )
        elif name == "admin":
            command.add_argument(
                "--beats", type=Path, required=True, help="the folder of the workers' signs of life"
            )
            command.add_argument("--http", required=True, help="unix:/path or host:port")
        else:
            command.add_argument(
                "--folder", type=Path, required=True, help="of records without room in the store"
            )
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a part of a gateway; `tollgate up` starts all of them."""
    options = _options().parse_args(arguments)
    try:
        uvloop.run(options.choose(options))
    except TollgateError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
