"""The processes that `tollgate up` and `tollgate serve` have started, by the command they run."""

from __future__ import annotations

from tests.e2e.started_gateway import commands
from tests.load.proc import family


def part_pids(supervisor: int, command: str) -> list[int]:
    """Those that run a command of `tollgate.app`: worker, admin, recorder or fork-server."""
    ours, title = family(supervisor), f"tollgate.app {command}"
    return [pid for pid, words in commands() if pid in ours and words.startswith(title)]
