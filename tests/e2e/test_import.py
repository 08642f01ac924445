"""After an import, a key of LiteLLM's works on a real gateway: with its limits, and with what it
has spent.
"""

from __future__ import annotations

import asyncio
import sys

from tests.e2e.gateway import MASTER, Gateway
from tests.litellm_server import MASTER as LITELLM_MASTER
from tests.litellm_server import SECRET, litellm


async def test_a_key_of_litellms_works_after_the_import(tollgate: Gateway) -> None:
    """Its secret was never told to us; budget, spend, rate and the spent budget for one model hold
    at once.
    """
    with litellm() as url:
        for outcome in ("created", "unchanged"):
            process = await asyncio.create_subprocess_exec(
                *(
                    sys.executable,
                    "-m",
                    "tollgate.commands.main",
                    "import-litellm",
                    "--url",
                    url,
                    "--master-key",
                    LITELLM_MASTER,
                ),
                *("--gateway", tollgate.url, "--gateway-key", MASTER),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            said, complained = await process.communicate()
            assert process.returncode == 0, complained.decode()
            assert outcome in said.decode()
    spent = await tollgate.chat(SECRET, model="fast")
    assert spent.status_code == 401
    assert (
        "production for model fast has exceeded its budget. Current spend: 0.5; Max Budget: 0.5"
        in spent.text
    )
    first, second, third = [await tollgate.chat(SECRET, model="best") for _ in range(3)]
    assert [reply.status_code for reply in (first, second, third)] == [200, 200, 429]
    assert 0.75 <= float(first.headers["x-litellm-key-spend"]) < 0.76
    assert first.headers["x-litellm-key-max-budget"] == "1.0"
    assert await tollgate.spend(SECRET, at_least=0.7501) < 0.76
