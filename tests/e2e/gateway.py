"""A whole gateway as a user starts it, `tollgate up` on a file of ours, and short ways
to use it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

MASTER = "sk-1234"
ENVOY_VARIABLE = "TOLLGATE_TEST_ENVOY"
"""Names another Envoy for the tests to run: `make envoys` runs them with each that is supported."""
CONFIG = """
model_list:
  - model_name: gpt-4o
    litellm_params: {model: openai/gpt-4o, api_base: http://mock-llm/v1, api_key: provider-key}
  - model_name: fast
    litellm_params: {model: openai/gpt-4o-mini, api_base: http://mock-llm/v1, api_key: provider-key}
  - model_name: claude
    litellm_params: {model: anthropic/claude-sonnet-4-5, api_base: http://mock-llm,
        api_key: anthropic-key}
  - model_name: embed
    litellm_params: {model: openai/text-embedding-3-small, api_base: http://mock-llm/v1,
        api_key: provider-key}
  - model_name: cent # a hundredth of a dollar for each token of output
    litellm_params:
      model: openai/made-up
      api_base: http://mock-llm/v1
      api_key: provider-key
      input_cost_per_token: 0
      output_cost_per_token: 0.01
  - model_name: nowhere
    litellm_params: {model: openai/gpt-4o, api_base: "http://127.0.0.1:9/v1", api_key: provider-key}
general_settings:
  master_key: sk-1234
tollgate:
  workers: 2
  max_request_bytes: 1048576
  history_url: none
"""


@dataclass(frozen=True)
class Gateway:
    """A running gateway.

    `native`: its mode; otherwise grpc. envoy/README.md has the table of what differs for a client.

    `admitted`: ids of calls that were answered and may not be settled yet; in native mode they are
    a moment later.
    """

    url: str
    process: subprocess.Popen[str]
    client: httpx.AsyncClient
    native: bool = False
    admitted: list[str] = field(default_factory=list)

    async def manage(self, path: str, **members: Any) -> Any:
        """A management call with the master key, which must succeed."""
        reply = await self.client.post(self.url + path, json=members, headers=bearer(MASTER))
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def recorded_refusals(self, count: int) -> None:
        """Wait until so many refusals are recorded, which happens beside the calls."""
        async with asyncio.timeout(30):
            while True:
                reply = await self.client.get(self.url + "/refusals", headers=bearer(MASTER))
                if len(reply.json()) == count:
                    return
                await asyncio.sleep(0.1)

    async def key(self, **members: Any) -> str:
        """A new key."""
        return str((await self.manage("/key/generate", **members))["key"])

    async def info(self, key: str) -> dict[str, Any]:
        """What /key/info tells of a key."""
        reply = await self.client.get(
            self.url + "/key/info", params={"key": key}, headers=bearer(MASTER)
        )
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()["info"]
        return found

    async def spend(self, key: str, *, at_least: float = 0.0) -> float:
        """The key's spend, once it has reached a value: settlement comes a moment after a stream's
        end.
        """
        for _ in range(100):
            spend = float((await self.info(key))["spend"])
            if spend >= at_least and spend > 0:
                return spend
            await asyncio.sleep(0.05)
        raise AssertionError(f"the spend of the key stayed {spend}, not {at_least}")

    async def settled(self) -> None:
        """Wait until the ledger has what has been answered: native mode settles when Envoy's access
        log tells, a moment after the end.
        """
        while self.native and self.admitted:
            identity = self.admitted.pop()
            for _ in range(200):
                if await self.records(request_id=identity):
                    break
                await asyncio.sleep(0.02)

    async def records(self, **query: Any) -> list[dict[str, Any]]:
        """Records of the ledger, newest first; none while nobody can tell."""
        reply = await self.client.get(
            self.url + "/spend/logs", params={"summarize": False, **query}, headers=bearer(MASTER)
        )
        found: list[dict[str, Any]] = reply.json() if reply.is_success else []
        return found

    async def metrics(self, telling: str) -> str:
        """The metrics, once they tell something: workers publish theirs twice a second."""
        for _ in range(100):
            metrics = (await self.client.get(f"{self.url}/metrics", headers=bearer(MASTER))).text
            if telling in metrics:
                break
            await asyncio.sleep(0.05)
        assert telling in metrics
        return metrics

    async def chat(
        self, key: str, headers: Mapping[str, str] | None = None, **members: Any
    ) -> httpx.Response:
        """A chat completion, and its settlement."""
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], **members}
        reply = await self.client.post(
            self.url + "/v1/chat/completions", json=body, headers={**bearer(key), **(headers or {})}
        )
        await self.settled()
        return reply


def bearer(key: str) -> dict[str, str]:
    """The header that carries a key."""
    return {"authorization": f"Bearer {key}"}


@asynccontextmanager
async def gateway(folder: Path, config: str = CONFIG, *options: str) -> AsyncIterator[Gateway]:
    """Start a gateway in a folder, and stop it as Ctrl-C does.

    What it said is shown when a test fails.
    """
    file = folder / "tollgate.yaml"
    file.write_text(config, encoding="utf-8")
    arguments = [
        sys.executable,
        "-m",
        "tollgate.commands.main",
        "up",
        "--config",
        str(file),
        "--port",
        "0",
        "--state-dir",
        str(folder / "state"),
    ]
    if another := os.environ.get(ENVOY_VARIABLE):
        arguments += ["--envoy", another]
    process = subprocess.Popen(
        [*arguments, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    url, said = "", []
    while not url:
        line = await asyncio.to_thread(process.stdout.readline)
        assert line, "the gateway ended: " + "".join(said)
        said.append(line)
        message = str(json.loads(line)["message"]) if line.startswith("{") else line
        if message.startswith("ready: "):
            url = message.removeprefix("ready: ").strip()
    reading = asyncio.create_task(asyncio.to_thread(_pass_on, process))
    try:
        admitted: list[str] = []

        async def note(reply: httpx.Response) -> None:
            # A refusal has an id too, and no record.
            identity = reply.headers.get("x-tollgate-request-id")
            if identity and (reply.is_success or reply.is_server_error):
                admitted.append(identity)

        limits, hooks = httpx.Limits(max_connections=500), {"response": [note]}
        async with httpx.AsyncClient(timeout=30, limits=limits, event_hooks=hooks) as client:
            yield Gateway(url, process, client, native="native" in options, admitted=admitted)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        code = await asyncio.to_thread(process.wait, 30)
        await reading
        process.stdout.close()
    assert code == 0


def _pass_on(process: subprocess.Popen[str]) -> None:
    """Show what the gateway says where pytest captures it."""
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="")
