"""How few commands it takes to the first limited request, each run as a newcomer does."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
from tests.e2e.envoy_lab import free_port, running_envoy
from tests.e2e.gateway import bearer
from tests.e2e.money_provider import Provider

ROOT = Path(__file__).parents[2]
TOLLGATE = (sys.executable, "-m", "tollgate.commands.main")
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
REPLY = {
    "status": 200,
    "content_type": "application/json",
    "body": {
        "id": "c1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}}],
        "usage": USAGE,
    },
}
LITELLM_FILE = """
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: openai/gpt-4o
      api_base: http://127.0.0.1:{port}/json/v1
      api_key: os.environ/OPENAI_API_KEY
general_settings: {{master_key: sk-1234}}
"""


@contextmanager
def running(folder: Path, *command: str, ready: str) -> Iterator[str]:
    """Run a command until the block ends, once it has said a line that begins so; the line's rest.

    Its group gets the signal, as from a terminal.
    """
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "OPENAI_API_KEY": "provider-key"},
        start_new_session=True,
    )
    assert process.stdout is not None
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if line.startswith(ready):
                break
        else:
            raise AssertionError("".join(said))
        yield said[-1].removeprefix(ready).strip()
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)


async def is_limited(url: str, host: str = "127.0.0.1") -> bool:
    """Whether a key that may call once is refused the second time, and named in the refusal."""
    async with httpx.AsyncClient(timeout=30, headers={"host": host}) as client:
        made = await client.post(
            f"{url}/key/generate", json={"rpm_limit": 1}, headers=bearer("sk-1234")
        )
        key = bearer(made.json()["key"])
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
        replies = [
            await client.post(f"{url}/v1/chat/completions", json=body, headers=key)
            for _ in range(2)
        ]
    return [each.status_code for each in replies] == [200, 429]


@asynccontextmanager
async def litellm_file(folder: Path, more: str = "") -> AsyncIterator[Path]:
    """A LiteLLM file whose provider runs."""
    async with Provider(replies={"json": REPLY}).serving() as provider:
        file = folder / "config.yaml"
        file.write_text(LITELLM_FILE.format(port=provider.port) + more, encoding="utf-8")
        yield file


async def test_a_clean_clone_limits_after_one_command_and_a_request(tmp_path: Path) -> None:
    """`make run`, and a call. The tools of this checkout stand for what the clone would install."""
    clone = tmp_path / "clone"
    clones = ("git", "clone", "--quiet", "--depth=1", f"file://{ROOT}", str(clone))
    await asyncio.to_thread(subprocess.run, clones, check=True)
    for each in ("pyproject.toml", "constraints.txt"):
        os.utime(clone / each, (0, 0))  # older than the tools
    tools = f"VENV={Path(sys.executable).parents[1]}"
    with running(clone, "make", "run", tools, "ARGS=--port 0", ready="ready: ") as url:
        assert await is_limited(url)


async def test_a_litellm_file_limits_after_one_command(tmp_path: Path) -> None:
    """`tollgate up --config FILE`, with the file as it is."""
    async with litellm_file(tmp_path) as file:
        command = (*TOLLGATE, "up", "--config", str(file), "--port", "0")
        with running(tmp_path, *command, ready="ready: ") as url:
            assert await is_limited(url)


async def test_an_envoy_of_one_s_own_limits_after_three_commands(tmp_path: Path) -> None:
    """`tollgate attach`, `tollgate serve`, `envoy -c`; no editor. Its own hosts stay."""
    port, backend = free_port(), free_port()
    text = (Path(__file__).parent / "bootstraps" / "hosts.yaml").read_text(encoding="utf-8")
    own = tmp_path / "envoy.yaml"
    own.write_text(
        text.replace("@PORT@", str(port)).replace("@BACKEND@", str(backend)), encoding="utf-8"
    )
    sockets = "".join(
        f"  serve_{each}: 'unix:{tmp_path}/{each}'\n" for each in ("grpc", "native", "http")
    )
    async with litellm_file(tmp_path, f"tollgate:\n{sockets}") as file:
        attach = (*TOLLGATE, "attach", str(own), "--config", str(file), "--domain", "llm.example")
        done = await asyncio.to_thread(
            subprocess.run, attach, check=True, capture_output=True, text=True
        )
        attached = tmp_path / "with-tollgate.yaml"
        attached.write_text(done.stdout, encoding="utf-8")
        serve = (*TOLLGATE, "serve", "--config", str(file))
        environment = {"OPENAI_API_KEY": "provider-key"}
        with running(tmp_path, *serve, ready="ready: grpc"):
            async with running_envoy(attached, port, environment):
                assert await is_limited(f"http://127.0.0.1:{port}", "llm.example")
                reply = await asyncio.to_thread(
                    httpx.get, f"http://127.0.0.1:{port}/", headers={"host": "www.example"}
                )
    assert reply.headers["location"] == "http://api.example/"
