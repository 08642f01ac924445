"""`tollgate` with another worker, admin server and recorder: the first two are of envoy_lab.

The supervisor is what is tested, and it is the real one.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from pathlib import Path

from tests.e2e.envoy_lab import Gate, Server

from tollgate.app.added.reading_added import read_added
from tollgate.commands import main as cli
from tollgate.gateway import supervisor
from tollgate.heartbeat import keep_beating
from tollgate.snapshot import Snapshot


async def _serve(options: dict[str, str]) -> None:
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    serving: AbstractAsyncContextManager[object] = nullcontext()
    if "--grpc" in options:
        serving = Gate().serving(Path(options["--grpc"].removeprefix("unix:")))
    elif "--http" in options:
        serving = Server().serving(path=options["--http"].removeprefix("unix:"))
    async with serving:
        beating = asyncio.create_task(keep_beating(Path(options["--beat"]), lambda: ""))
        print("ready", flush=True)
        await told.wait()
        beating.cancel()


def main() -> None:
    """A part, when called as one; otherwise the command line."""
    if sys.argv[1] == "added":
        asyncio.run(
            read_added(os.environ["TOLLGATE_STORE_URL"], Snapshot.beside(Path(sys.argv[3])))
        )
        return
    if sys.argv[1] in ("worker", "admin", "recorder"):
        asyncio.run(_serve(dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True))))
        return
    programs = partial(supervisor.Programs, app=(sys.executable, "-m", "tests.e2e.standin"))
    supervisor.Programs = programs  # type: ignore[assignment, misc]
    cli.app()


if __name__ == "__main__":
    main()
