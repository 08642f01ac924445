"""How long the console's pages take beside 100,000 keys.

    .venv/bin/python -m tests.load.console_pages [--keys 100000]

A gateway gets so many keys of 100 teams and 1,000 users, by imports over its API. Then it prints
how long each page takes through Envoy, the slowest and the median of five.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import statistics
import tempfile
import time
from pathlib import Path

import httpx
from tests.e2e.gateway import CONFIG, MASTER, Gateway, gateway

_AT_ONCE, _VISITS = 1_000, 5
_TEAMS, _USERS = 100, 1_000
_LAST = "key-000041"


async def fill(tollgate: Gateway, keys: int) -> None:
    """Import teams, users, and keys with three limits each, in parts of a thousand."""
    await tollgate.manage("/global/import", teams=[{"team_id": f"team-{n}"} for n in range(_TEAMS)])
    await tollgate.manage("/global/import", users=[{"user_id": f"user-{n}"} for n in range(_USERS)])
    for first in range(0, keys, _AT_ONCE):
        entities = [
            {
                "token": hashlib.sha256(f"{number}".encode()).hexdigest(),
                "key_name": f"sk-...{number % 10_000:04}",
                "key_alias": f"key-{number:06}",
                "team_id": f"team-{number % _TEAMS}",
                "user_id": f"user-{number % _USERS}",
                "max_budget": 5,
                "rpm_limit": 60,
                "tpm_limit": 100_000,
            }
            for number in range(first, min(keys, first + _AT_ONCE))
        ]
        await tollgate.manage("/global/import", keys=entities)


async def measure(keys: int) -> None:
    """Fill a gateway and print the times."""
    with tempfile.TemporaryDirectory() as folder:
        async with gateway(Path(folder), CONFIG + "  store_timeout_ms: 10000\n") as tollgate:
            begun = time.perf_counter()
            await fill(tollgate, keys)
            print(f"{keys:,} keys imported in {time.perf_counter() - begun:.0f} s")
            async with httpx.AsyncClient(base_url=tollgate.url, timeout=60) as client:
                await client.post("/ui/sign-in", data={"key": MASTER})
                for name, path in (
                    ("first page of the keys", "/ui/people?show=keys"),
                    ("last page of the keys", f"/ui/people?show=keys&page={-(-keys // 25)}"),
                    ("a key by its alias", f"/ui/people?search={_LAST}"),
                    ("keys by a part of the alias", f"/ui/people?search={_LAST[4:-1]}"),
                    ("one team with its keys", "/ui/people/team?id=team-41"),
                    ("a user's keys", "/ui/people/user?id=user-41"),
                    ("now", "/ui/now"),
                ):
                    await print_times(client, name, path)


async def print_times(client: httpx.AsyncClient, name: str, path: str) -> None:
    """Ask for a page several times, and print how long that took."""
    took_ms = []
    for _ in range(_VISITS):
        begun = time.perf_counter()
        reply = await client.get(path)
        took_ms.append((time.perf_counter() - begun) * 1000)
        if reply.status_code != 200:
            print(f"{name}: status {reply.status_code}")
            return
    size = len(reply.content) // 1024
    median = statistics.median(took_ms)
    print(f"{name:30} {max(took_ms):7.0f} ms slowest, {median:7.0f} ms median, {size:5} KB")


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--keys", type=int, default=100_000)
    asyncio.run(measure(options.parse_args().keys))
