"""`make bench-models`: how long a change takes to be served in a gateway of many models."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Annotated

import httpx
import typer
import yaml
from rich.console import Console
from tests.load.command import guarded

_LOOK_EVERY_S = 0.05
_MASTER = "sk-1234"


def main(
    models: Annotated[int, typer.Option(help="how many there are")] = 500,
    changes: Annotated[int, typer.Option(help="how many are measured")] = 5,
) -> None:
    """Add a model again and again, and print how long each takes from the file to a reply."""
    guarded("bench", lambda console: _main(console, models, changes))


def _file(models: int, new: str) -> str:
    """Return a configuration file; each model has an address and a key of its own."""
    entries = [
        {
            "model_name": f"model-{number}",
            "litellm_params": {
                "model": "openai/gpt-4o" if number % 3 else "anthropic/claude-sonnet-4-5",
                "api_base": f"http://127.0.{number // 250}.{number % 250 + 1}:9/v1",
                "api_key": f"key-{number}",
            },
        }
        for number in range(models)
    ]
    mock = {"model": "openai/gpt-4o", "api_base": "http://mock-llm/v1", "api_key": "key"}
    document = {
        "model_list": [*entries, {"model_name": new, "litellm_params": mock}],
        "general_settings": {"master_key": _MASTER},
    }
    return yaml.safe_dump(document)


def _main(console: Console, models: int, changes: int) -> None:
    with tempfile.TemporaryDirectory(prefix="tollgate-models-") as name:
        file = Path(name, "tollgate.yaml")
        file.write_text(_file(models, "new-0"), encoding="utf-8")
        asyncio.run(_measure(console, file, models, changes))


async def _measure(console: Console, file: Path, models: int, changes: int) -> None:
    command = (
        "up",
        "--config",
        str(file),
        "--port",
        "0",
        "--state-dir",
        str(file.parent / "state"),
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tollgate.commands.main",
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        url = ""
        while not url:
            line = (await process.stdout.readline()).decode()
            assert line, "the gateway ended"
            url = line.removeprefix("ready: ").strip() if line.startswith("ready: ") else ""
        taken = [await _seconds(url, file, models, each) for each in range(1, changes + 1)]
    finally:
        process.terminate()
        await process.wait()
    console.print(
        f"a change in a gateway of {models} models is served after {median(taken):.2f} s"
        f" ({', '.join(f'{each:.2f}' for each in taken)})"
    )


async def _seconds(url: str, file: Path, models: int, number: int) -> float:
    """Return how long it takes until a new model answers."""
    new = file.with_suffix(".new")
    new.write_text(_file(models, f"new-{number}"), encoding="utf-8")
    body = {"model": f"new-{number}", "messages": [{"role": "user", "content": "hi"}]}
    headers = {"authorization": f"Bearer {_MASTER}"}
    async with httpx.AsyncClient() as client:
        began = time.monotonic()
        new.replace(file)
        while True:
            reply = await client.post(f"{url}/v1/chat/completions", json=body, headers=headers)
            if reply.is_success:
                return time.monotonic() - began
            await asyncio.sleep(_LOOK_EVERY_S)


if __name__ == "__main__":
    typer.run(main)
