"""What was spent, and why: from the reply's id to the arithmetic."""

from __future__ import annotations

import asyncio
import json
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from tests.e2e.documented_commands import run_commands
from tests.e2e.gateway import MASTER, Gateway


async def tollgate_command(*arguments: str) -> str:
    """What a command of ours prints; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tollgate.commands.main",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_a_call_is_explained_by_its_id(tollgate: Gateway) -> None:
    """Tokens by kind, the price that was used, and a sum that is what was charged."""
    key = await tollgate.key()
    reply = await tollgate.chat(key, max_tokens=7)
    identity = reply.headers["x-tollgate-request-id"]
    spend = await tollgate.spend(key)
    options = ("--url", tollgate.url, "--master-key", MASTER)
    shown = await tollgate_command("spend", "explain", identity, *options)
    assert "7" in shown
    assert "openai/gpt-4o" in shown
    told = json.loads(await tollgate_command("spend", "explain", identity, "--json", *options))
    assert told["cost_nanousd"] == round(spend * 10**9)
    assert sum(Decimal(line["nanousd"]) for line in told["lines"]) == told["cost_nanousd"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reply_that_comes_compressed_all_the_same_is_read(
    tollgate: Gateway, stream: bool
) -> None:
    """Identity is asked for; gzip that comes anyway reaches the client as it is, and is charged
    exactly.

    In native mode Envoy's own filters read no gzip, so the estimate is charged.
    """
    key = await tollgate.key()
    asked = {"stream_options": {"include_usage": True}} if stream else {}
    reply = await tollgate.chat(
        key, {"x-mock-gzip": "1", "accept-encoding": "gzip"}, model="cent", stream=stream, **asked
    )
    assert reply.status_code == 200
    assert reply.headers["content-encoding"] == "gzip"
    spend = await tollgate.spend(key)
    assert spend > 0 if tollgate.native else spend == pytest.approx(0.2)


async def test_the_page_about_refusals_does_what_it_says(tollgate: Gateway, tmp_path: Path) -> None:
    """Its commands explain the refusal that they cause, and list it."""
    shown = await run_commands("refusals.md", tollgate, tmp_path)
    assert "who        key bobs-laptop" in shown
    assert "used 1 = 1 requests per 1m: nothing is left" in shown
    assert shown.count("Rate limit reached for key bobs-laptop") >= 2
    assert '"object":"usage"' in shown
    assert '"left":0.0' in shown
    rows = await tollgate.records(status="refused")
    assert rows[0]["usage"] == "refused"
