"""tollgate recorder"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tollgate.commands.errors import fail, failing_clearly


def recorder(
    config: Annotated[Path, typer.Option("--config", help="the configuration file")],
    redis_url: Annotated[
        str | None,
        typer.Option(
            envvar="TOLLGATE_REDIS_URL",
            help="the store; a password belongs into the file or the environment",
        ),
    ] = None,
    health: Annotated[
        str | None,
        typer.Option("--health", metavar="HOST:PORT", help="where to serve /health and /metrics"),
    ] = None,
    allow_unenforced: Annotated[
        bool,
        typer.Option(
            "--allow-unenforced",
            help="start even if the file restricts calls in ways that are not enforced",
        ),
    ] = False,
) -> None:
    """Carry settled calls from the store into the history, apart from `tollgate serve`.

    Several may run; one works at a time. Ends with SIGTERM or SIGINT, after what it has begun.

    Example: `tollgate recorder --config recorder.yaml --health 127.0.0.1:4009`
    """
    import uvloop

    from tollgate import settings
    from tollgate.app.recorder import RecorderPlaces, serve_recorder

    with failing_clearly():
        loaded = settings.load(config, allow_unenforced=allow_unenforced)
        ours = loaded.tollgate
        store = redis_url or ours.redis_url
        if store is None:
            fail("the store is that of another process: name it in tollgate.redis_url")
        if ours.history_url in (None, "none"):
            fail("the history is not named: set tollgate.history_url to its database")
        places = RecorderPlaces(
            store, str(ours.history_url), ours.state_dir / "overflow", health=health
        )
        uvloop.run(serve_recorder(loaded, places))
