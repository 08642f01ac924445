"""An Envoy of somebody's own beside `tollgate serve` follows every change, without a restart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml
from tests.e2e.envoy_lab import Server, free_port, running_envoy
from tests.e2e.gateway import Gateway, bearer
from tests.e2e.own_envoy import Serving, serving
from typer.testing import CliRunner

from tollgate.commands.main import app

PROVIDER_KEY = "sk-{}-of-a-provider"
ANSWER = {
    "id": "c1",
    "choices": [{"index": 0, "message": {"content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
}


@dataclass
class Beside:
    """`tollgate serve`, an Envoy beside it, and the provider of all models."""

    served: Serving
    gateway: Gateway
    provider: Server
    provider_port: int
    admin: str
    ours: str

    def entry(self, name: str, key: str) -> dict[str, Any]:
        """A model of the provider."""
        return {
            "model_name": name,
            "litellm_params": {
                "model": "openai/gpt-4o",
                "api_base": f"http://127.0.0.1:{self.provider_port}/v1",
                "api_key": key,
            },
        }

    def write(self, *entries: dict[str, Any], variables: dict[str, str] | None = None) -> None:
        """Change the configuration file in one step."""
        document = {"model_list": list(entries), "environment_variables": variables or {}}
        file = self.served.folder / "file.yaml"
        new = file.with_suffix(".new")
        new.write_text(yaml.safe_dump(document) + self.ours, encoding="utf-8")
        new.replace(file)

    async def becomes(self, wanted: int, key: str, model: str) -> httpx.Response:
        """Ask for a model until the answer has a status."""
        for _ in range(300):
            reply = await self.gateway.chat(key, model=model)
            if reply.status_code == wanted:
                return reply
            await asyncio.sleep(0.05)
        raise AssertionError(f"the answer stayed {reply.status_code}: {reply.text}")

    async def key_seen(self, key: str, model: str) -> str:
        """The credential with which the provider is called."""
        assert (await self.gateway.chat(key, model=model)).status_code == 200
        return self.provider.seen[-1].headers["authorization"].removeprefix("Bearer ")

    async def readiness(self) -> dict[str, Any]:
        """What whoever watches is told."""
        reply = await self.gateway.client.get(f"{self.gateway.url}/health/readiness")
        told: dict[str, Any] = reply.json()
        return told


OURS = """
general_settings: {{master_key: sk-1234}}
tollgate:
  workers: 1
  mode: {mode}
  port: {port}
  history_url: none
  xds: {xds}
  xds_folder: {folder}/xds
  reach_envoy_admin: 127.0.0.1:{admin}
"""


@pytest_asyncio.fixture
async def beside(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Beside]:
    """An Envoy on what `tollgate envoy-config` prints, with no key in its environment."""
    port, admin, provider = free_port(), free_port(), Server(body=json.dumps(ANSWER).encode())
    mode, xds = request.param
    text = OURS.format(mode=mode, xds=xds, port=port, admin=admin, folder=tmp_path)
    async with (
        provider.serving() as provider_port,
        serving(tmp_path, text) as served,
        httpx.AsyncClient(timeout=30) as client,
    ):
        printed, file = tmp_path / "envoy.yaml", str(tmp_path / "file.yaml")
        done = CliRunner().invoke(app, ["envoy-config", "--config", file, "--output", str(printed)])
        assert done.exit_code == 0, done.output
        gateway = Gateway(f"http://127.0.0.1:{port}", served.process, client)
        ours = (tmp_path / "file.yaml").read_text(encoding="utf-8")
        async with running_envoy(printed, port, {}):
            yield Beside(
                served, gateway, provider, provider_port, f"http://127.0.0.1:{admin}", ours
            )


@pytest.mark.parametrize(
    ("beside", "changes"), [(("grpc", "files"), 5), (("native", "ads"), 8)], indirect=["beside"]
)
async def test_changes_under_load_fail_no_call_and_keys_rotate(
    beside: Beside, changes: int
) -> None:
    """A new model serves, a removed one is unknown; the provider sees each new key, from the file
    and from its variables; Envoy shows none of them.
    """
    beside.write(beside.entry("kept", "first"))
    key, statuses, stop = await beside.gateway.key(), [], asyncio.Event()
    await beside.becomes(200, key, "kept")

    async def call_on() -> None:
        while not stop.is_set():
            reply = await beside.gateway.chat(key, model="kept")
            statuses.append((reply.status_code, reply.text))
            await asyncio.sleep(0.02)

    calling = [asyncio.create_task(call_on()) for _ in range(3)]
    try:
        for number in range(changes):
            name, secret = f"new-{number}", PROVIDER_KEY.format(number)
            kept = beside.entry("kept", "os.environ/ROTATED" if number % 2 else secret)
            variables = {"ROTATED": secret}
            beside.write(kept, beside.entry(name, f"{name}-key"), variables=variables)
            await beside.becomes(200, key, name)
            assert await beside.key_seen(key, "kept") == secret
            if number:
                gone = await beside.gateway.chat(key, model=f"new-{number - 1}")
                assert gone.status_code in (400, 404), gone.text
    finally:
        stop.set()
        await asyncio.gather(*calling)
    assert {status for status, _ in statuses} == {200}, statuses[:3]
    dump = (await beside.gateway.client.get(f"{beside.admin}/config_dump")).text
    assert "of-a-provider" not in dump
    assert f"deployment/new-{changes - 1}@" in dump


@pytest.mark.parametrize("beside", [("native", "files"), ("grpc", "ads")], indirect=True)
async def test_models_of_the_api_are_served_and_a_bad_change_is_refused_whole(
    beside: Beside,
) -> None:
    """Also one that only Envoy refuses; then what ran goes on, and is what a restart finds."""
    await beside.gateway.manage("/model/new", **beside.entry("added", "k"))
    key = await beside.gateway.key()
    assert (await beside.gateway.chat(key, model="added")).status_code == 200
    bad = beside.entry("bad", "k")
    bad["litellm_params"]["api_base"] = "http://[fe80::1%25eth0]/v1"
    url = f"{beside.gateway.url}/model/new"
    told_sender = await beside.gateway.client.post(url, json=bad, headers=bearer("sk-1234"))
    assert (told_sender.status_code, "refuses" in told_sender.text) == (400, True)
    await beside.gateway.manage("/model/new", **beside.entry("later", "k"))
    assert (await beside.gateway.chat(key, model="later")).status_code == 200
    assert "configuration" not in await beside.readiness()
    beside.write(bad, beside.entry("beside-it", "k"))
    while "configuration" not in (told := await beside.readiness()):  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.05)
    assert (told["status"], "refuses" in str(told["configuration"])) == ("healthy", True)
    assert await beside.served.has_said("is refused, and the running one stays")
    assert (await beside.gateway.chat(key, model="beside-it")).status_code in (400, 404)
    assert (await beside.gateway.chat(key, model="added")).status_code == 200
    beside.write(beside.entry("beside-it", "k"))
    await beside.becomes(200, key, "beside-it")
    assert "configuration" not in await beside.readiness()
