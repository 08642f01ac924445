"""The load generators: wrk for JSON (closed loop), h2load for streams, openloop.py for a fixed
rate.

Each run is bounded in time.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.load.errors import BenchFailed
from tests.load.programs import Tick, run_bounded
from tests.load.stats import percentile

_HERE = Path(__file__).parent
# Debian's names.
_PACKAGES = {"wrk": "wrk", "h2load": "nghttp2-client"}


@dataclass(frozen=True, slots=True)
class Target:
    """What is sent, and where. `body` is a file."""

    url: str
    headers: tuple[tuple[str, str], ...]
    body: Path

    @property
    def header_lines(self) -> tuple[str, ...]:
        """The headers as HTTP/1.1 writes them."""
        return tuple(f"{name}: {value}" for name, value in self.headers)


@dataclass(frozen=True, slots=True)
class Load:
    """What one run did.

    `refused` replies had a status of 400 or more; `failed` requests had no whole reply.
    """

    requests: int
    seconds: float
    refused: int
    failed: int
    p50_us: float
    p90_us: float
    p99_us: float

    @property
    def rps(self) -> float:
        """Replies a second."""
        return self.requests / self.seconds


def missing_programs() -> str | None:
    """One sentence on what is not installed and how to get it; None: everything is there."""
    missing = [name for name in _PACKAGES if shutil.which(name) is None]
    if not missing:
        return None
    packages = " ".join(_PACKAGES[name] for name in missing)
    return (
        f"{' and '.join(missing)} not found: install with `apt-get install {packages}` (Debian,"
        " Ubuntu)."
    )


def wrk(target: Target, clients: int, seconds: int, tick: Tick) -> Load:
    """So many clients, each of which sends its next request when its last was answered.

    wrk adds to its percentiles what a client would have seen had it not waited for a slow reply
    (its stats_correct).
    """
    environment = {"BENCH_BODY": str(target.body), "BENCH_HEADERS": "\n".join(target.header_lines)}
    argv = [
        "wrk",
        "-t1",
        f"-c{clients}",
        f"-d{seconds}s",
        "--timeout",
        "10s",
        "-s",
        str(_HERE / "post.lua"),
        target.url,
    ]
    return Load(**_json_of(run_bounded(argv, seconds, tick, environment)))


def h2load(target: Target, clients: int, requests: int, seconds: float, tick: Tick) -> Load:
    """So many clients at once, over HTTP/1.1, until so many requests are done.

    `seconds`: about how long that should take.
    """
    log = target.body.with_suffix(".h2load")
    log.unlink(missing_ok=True)
    headers = [word for line in target.header_lines for word in ("-H", line)]
    counts = [f"-c{clients}", f"-n{requests}", "-t1"]
    run_bounded(
        [
            "h2load",
            "--h1",
            *counts,
            "-d",
            str(target.body),
            *headers,
            f"--log-file={log}",
            target.url,
        ],
        seconds,
        tick,
    )
    return parse_h2load_log(log.read_text(encoding="utf-8"), requests)


def parse_h2load_log(text: str, requests: int) -> Load:
    """Read h2load's log: a line a request, with its start (us), its status and its time to the last
    byte (us).

    Raises BenchFailed.
    """
    rows = [tuple(map(int, line.split("\t")[:3])) for line in text.splitlines()]
    if not rows:
        raise BenchFailed("h2load had no reply at all")
    times_us = sorted(took_us for _, _, took_us in rows)
    whole_us = max(start_us + took_us for start_us, _, took_us in rows) - min(
        start_us for start_us, _, _ in rows
    )
    return Load(
        requests=len(rows),
        seconds=max(whole_us, 1) / 1_000_000,
        refused=sum(status >= 400 for _, status, _ in rows),
        # A connection that breaks is logged with the status -1.
        failed=requests - len(rows) + sum(status < 0 for _, status, _ in rows),
        p50_us=percentile(times_us, 50),
        p90_us=percentile(times_us, 90),
        p99_us=percentile(times_us, 99),
    )


def hasty(target: Target, clients: int, seconds: int, tick: Tick) -> Load:
    """So many clients that read while they send, each call on a connection of its own."""
    file = target.body.with_suffix(".request")
    file.write_bytes(http_request(target))
    argv = [sys.executable, "-m", "tests.load.hasty"]
    argv += [target.url, str(file), str(clients), str(seconds)]
    return Load(**_json_of(run_bounded(argv, seconds, tick)))


def open_loop(target: Target, rate: float, seconds: int, tick: Tick) -> Load:
    """So many requests a second, whatever becomes of them; latency from when each was due."""
    where = urlsplit(target.url)
    file = target.body.with_suffix(".request")
    file.write_bytes(http_request(target))
    program = str(_HERE / "openloop.py")
    argv = [
        sys.executable,
        program,
        str(where.hostname),
        str(where.port),
        str(file),
        str(rate),
        str(seconds),
    ]
    said = _json_of(run_bounded(argv, seconds, tick))
    times_us = sorted(said["latencies_us"])
    if not times_us:
        raise BenchFailed("the open-loop generator had no reply at all")
    return Load(
        requests=len(times_us),
        seconds=float(seconds),
        refused=said["refused"],
        failed=said["failed"],
        p50_us=percentile(times_us, 50),
        p90_us=percentile(times_us, 90),
        p99_us=percentile(times_us, 99),
    )


def http_request(target: Target) -> bytes:
    """The bytes of one HTTP/1.1 POST."""
    where, body = urlsplit(target.url), target.body.read_bytes()
    lines = [f"POST {where.path} HTTP/1.1", f"host: {where.netloc}", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, *target.header_lines, "", ""]).encode() + body


def _json_of(said: str) -> dict[str, Any]:
    """The line of JSON among what a generator printed."""
    for line in said.splitlines():
        if line.startswith("{"):
            found: dict[str, Any] = json.loads(line)
            return found
    raise BenchFailed(f"the load generator did not say what it had done:\n{said.strip()}")
