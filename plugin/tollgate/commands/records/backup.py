"""tollgate backup, tollgate restore"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from tollgate.commands.errors import failing_clearly

RedisUrl = Annotated[
    str | None,
    typer.Option(
        envvar="TOLLGATE_REDIS_URL",
        help="the store; a password belongs into the environment",
    ),
]
StateDir = Annotated[
    Path, typer.Option(help="without a store: the state folder of a gateway that does not run")
]
_DEFAULT_STATE = Path(".tollgate")


def backup(
    file: Annotated[Path, typer.Argument(help="the file to write; .gz is compressed")],
    redis_url: RedisUrl = None,
    state_dir: StateDir = _DEFAULT_STATE,
) -> None:
    """Write what the store keeps to a file: entities, counters, holds and what is not recorded yet.

    The file holds hashes of keys, no secrets of them. A gateway may run meanwhile if it has a store
    of its own.

    Example: `tollgate backup tollgate.backup.gz --redis-url redis://store:6379`
    """
    from tollgate.app.backup_files import back_up_to

    with failing_clearly():
        count = asyncio.run(back_up_to(file, redis_url, state_dir))
        typer.echo(f"{count} keys in {file}")


def restore(
    file: Annotated[Path, typer.Argument(help="a file that `tollgate backup` wrote")],
    redis_url: RedisUrl = None,
    state_dir: StateDir = _DEFAULT_STATE,
    force: Annotated[
        bool, typer.Option("--force", help="remove what the store holds of Tollgate first")
    ] = False,
) -> None:
    """Write a backup into an empty store, or into the state folder of a gateway that does not run.

    Stop all gateways of the store first.

    Example: `tollgate restore tollgate.backup.gz --redis-url redis://store:6379`
    """
    from tollgate.app.backup_files import restore_from

    with failing_clearly():
        count = asyncio.run(restore_from(file, redis_url, state_dir, force=force))
        typer.echo(f"{count} keys from {file}")
