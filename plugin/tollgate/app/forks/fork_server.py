"""Fork workers, admin server and recorder from one process that has imported what they share.

Imports and tables are nearly all of a worker's memory. A fork shares its parent's pages until one
of the two writes to them, and starts without importing anything again. The collector's lists are
frozen before: a collection would write to every object.

The supervisor asks on our standard input (gateway/forking.py), as fork_messages.py says.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import msgspec
from setproctitle import setproctitle

from tollgate.adapters.prices import load_tables
from tollgate.app.__main__ import main as run_command
from tollgate.app.forks.fork_messages import REQUESTED, ForkNews, ForkRequest
from tollgate.app.forks.orphans import die_with_parent
from tollgate.shipped_tables import api_table

_OUTPUTS = (1, 2)
_TOLD_TO_STOP = (signal.SIGTERM, signal.SIGINT)


def serve(channel: socket.socket) -> None:
    """Fork what is asked for until the supervisor closes the channel."""
    # A service manager may tell all processes to stop. Our end would end the forks, which first let
    # their calls end.
    for number in _TOLD_TO_STOP:
        signal.signal(number, signal.SIG_IGN)
    # The first call looks for room beside the environment, which a child will have changed.
    setproctitle("tollgate.app fork-server")
    _share()
    woken, waking = os.pipe()
    os.set_blocking(waking, False)
    heard: tuple[socket.socket | int, ...] = (channel, woken)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(waking)
    while True:
        readable, _, _ = select.select(heard, (), ())
        if woken in readable:
            os.read(woken, select.PIPE_BUF)
            _tell_of_ended(channel)
        if channel in readable and not _fork_next(channel, (woken, waking)):
            return


def _share() -> None:
    """Import what children share, and leave no counts of our own among theirs."""
    gc.disable()
    import_module("tollgate.app.worker")
    load_tables()
    api_table()
    for file in Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).glob(f"*_{os.getpid()}.db"):
        file.unlink()
    gc.collect()
    gc.freeze()


def _fork_next(channel: socket.socket, ours: Sequence[int]) -> bool:
    """Fork one child; False: the supervisor has gone. `ours`: descriptors that it must not keep."""
    asked, descriptors, _, _ = socket.recv_fds(channel, len(REQUESTED), 1 + len(_OUTPUTS))
    if not asked:
        return False
    file, *outputs = descriptors
    with os.fdopen(file, "rb") as text:
        request = msgspec.json.decode(text.read(), type=ForkRequest)
    server = os.getpid()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            _become(request, server, outputs, ours)
            code = _run(request.arguments)
        finally:  # the child must not go on as its parent
            os._exit(code)
    for each in outputs:
        os.close(each)
    _tell(channel, ForkNews(pid))
    return True


def _become(request: ForkRequest, server: int, outputs: Sequence[int], ours: Sequence[int]) -> None:
    """Turn a fork of ours into a process of its own."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, *_TOLD_TO_STOP):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    die_with_parent(server, request.orphaned)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in zip((nothing, *outputs), (0, *_OUTPUTS), strict=True):
        os.dup2(source, target)
    for each in (nothing, *outputs, *ours):
        os.close(each)
    os.environ.clear()
    os.environ.update(request.environment)
    sys.argv = ["tollgate.app", *request.arguments]
    setproctitle(" ".join(sys.argv))
    gc.enable()


def _run(arguments: Sequence[str]) -> int:
    """Run the command, and return its exit code as the interpreter would."""
    try:
        run_command(arguments)
    except SystemExit as leaving:
        if not isinstance(leaving.code, str):
            return leaving.code or 0
        print(leaving.code, file=sys.stderr)
        return 1
    except BaseException:  # noqa: BLE001 - an outer edge: the process ends here
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _tell_of_ended(channel: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _tell(channel, ForkNews(pid, os.waitstatus_to_exitcode(status)))


def _tell(channel: socket.socket, news: ForkNews) -> None:
    channel.sendall(msgspec.json.encode(news) + b"\n")


if __name__ == "__main__":
    serve(socket.socket(fileno=0))
