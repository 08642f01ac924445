"""CPU time and memory of processes, as Linux tells them in /proc (proc(5)).

It starts and stops nothing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path

from tests.load.errors import BenchFailed

_PROC = Path("/proc")


class Group(StrEnum):
    """Whom CPU time is counted for."""

    WORKERS = "workers"
    ADMIN = "admin"
    RECORDER = "recorder"
    SUPERVISOR = "supervisor"
    ENVOY = "envoy"
    STORE = "valkey"
    RATELIMIT = "ratelimit"
    LITELLM = "litellm"
    MOCK = "mock"
    LOAD = "load"


TOLLGATE = (Group.WORKERS, Group.ADMIN, Group.RECORDER, Group.SUPERVISOR)
"""What of a gateway is counted as Tollgate."""
GATEWAY = (*TOLLGATE, Group.ENVOY, Group.STORE, Group.RATELIMIT, Group.LITELLM)
"""What a gateway costs as a whole."""

Groups = Mapping[Group, tuple[int, ...]]
"""Process ids by group."""


def parse_parent(stat: str) -> int:
    """The parent in one /proc/PID/stat."""
    # The name stands in parentheses, and may hold spaces and parentheses itself.
    return int(stat[stat.rindex(")") + 2 :].split()[1])


def parse_ran_ns(schedstat: str) -> int:
    """How long a thread has run, by its /proc/PID/task/TID/schedstat. /proc/PID/stat counts in
    hundredths of a second, which for the 200 streams of a run would be steps of 50 us a stream.
    """
    return int(schedstat.split()[0])


def parse_pss_bytes(smaps: str) -> int:
    """The memory in one /proc/PID/smaps_rollup, of which a page that n processes share counts 1/n
    in each; a process that is ending has none.
    """
    for line in smaps.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def family(pid: int) -> tuple[int, ...]:
    """A process and everything that it started."""
    children: dict[int, list[int]] = defaultdict(list)
    for each in _PROC.iterdir():
        if each.name.isdigit() and (stat := _find(each / "stat")) is not None:
            children[parse_parent(stat)].append(int(each.name))
    found = [pid]
    for each_pid in found:
        found += children[each_pid]
    return tuple(found)


def described(pid: int) -> str:
    """The name that the kernel knows a process by, and its command line: Valkey overwrites the
    latter, Python programs share the former.
    """
    name = _read(pid, "comm").strip()
    return f"{name} {_read(pid, 'cmdline')}".replace("\0", " ")


def group_of(description: str, other: Group) -> Group:
    """The group of a process by its description; `other` is that of a program we do not know."""
    name = description.partition(" ")[0]
    if name.startswith("valkey"):
        return Group.STORE
    if name.startswith("envoy"):
        return Group.ENVOY
    for words, group in (
        ("tollgate.app worker", Group.WORKERS),
        ("tollgate.app admin", Group.ADMIN),
        ("tollgate.app recorder", Group.RECORDER),
        ("tollgate.commands.mock_llm", Group.MOCK),
    ):
        if words in description:
            return group
    return other


def embedded_store_url(groups: Groups) -> str:
    """Return the URL of a gateway's own Valkey, whose title names its socket."""
    title = described(groups[Group.STORE][0])
    found = re.search(r"unixsocket:(\S+)", title)
    if found is None:
        raise BenchFailed(f"{title!r} names no socket")
    return f"unix://{found[1]}"


def groups_of(pid: int, other: Group) -> dict[Group, tuple[int, ...]]:
    """A process and all that it started, by group.

    A store's own forks, which come and go to write its data anew, are left out.
    """
    found: dict[Group, tuple[int, ...]] = {}
    for each in family(pid):
        if (stat := _find(_PROC / str(each) / "stat")) is None:
            continue
        if parse_parent(stat) in found.get(Group.STORE, ()):
            continue
        group = group_of(described(each), other)
        found[group] = (*found.get(group, ()), each)
    return found


def cpu_us(groups: Groups) -> dict[Group, int]:
    """The CPU time that the threads of each group have used so far.

    Raises BenchFailed when a process has ended.
    """
    return {group: sum(map(_ran_ns, pids)) // 1000 for group, pids in groups.items()}


def _ran_ns(pid: int) -> int:
    try:
        told = [_find(thread / "schedstat") for thread in (_PROC / str(pid) / "task").iterdir()]
    except FileNotFoundError:
        raise _ended(pid) from None
    return sum(parse_ran_ns(each) for each in told if each is not None)


def pss_bytes(pids: Iterable[int]) -> tuple[int, ...]:
    """The memory of each process, shared pages in parts. Raises BenchFailed when one has ended."""
    return tuple(parse_pss_bytes(_read(pid, "smaps_rollup")) for pid in pids)


def _read(pid: int, name: str) -> str:
    text = _find(_PROC / str(pid) / name)
    if text is None:
        raise _ended(pid)
    return text


def _ended(pid: int) -> BenchFailed:
    return BenchFailed(f"process {pid} ended while it was measured")


def _find(path: Path) -> str | None:
    """What a file of /proc says; None: its process is gone."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
