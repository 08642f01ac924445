"""`tollgate attach` puts Tollgate into somebody's own Envoy, whose other traffic stays as it is."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
import httpx
import pytest
import pytest_asyncio
from tests.e2e.envoy_lab import free_port, running_envoy
from tests.e2e.gateway import Gateway, bearer
from tests.e2e.money_provider import Provider
from tests.e2e.own_envoy import Serving, serving

BOOTSTRAPS = Path(__file__).parent / "bootstraps"
CONFIG = """
model_list:
  - model_name: local
    litellm_params:
      model: openai/local
      api_base: http://127.0.0.1:{port}/json/v1
      api_key: provider-key
      input_cost_per_token: 0.000001
      output_cost_per_token: 0.000002
general_settings: {{master_key: sk-1234}}
tollgate:
  workers: 1
"""
USAGE = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
MESSAGE = {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
REPLY = {
    "status": 200,
    "content_type": "application/json",
    "body": {"id": "c1", "choices": [MESSAGE], "usage": USAGE},
}
DOMAIN = ("--domain", "llm.example")
PREFIX = ("--path-prefix", "/llm")


def token(secret: str = "secret-secret-secret-secret-0123") -> str:
    """A token that jwt.yaml takes."""

    def encoded(part: bytes) -> str:
        return base64.urlsafe_b64encode(part).decode().rstrip("=")

    head = encoded(b'{"alg":"HS256","kid":"1"}') + "." + encoded(b'{"iss":"tests","sub":"me"}')
    return f"{head}.{encoded(hmac.digest(secret.encode(), head.encode(), hashlib.sha256))}"


def get(path: str, host: str = "own.example", **headers: str) -> tuple[str, str, dict[str, str]]:
    """One request of the owner's own traffic."""
    return path, host, headers


OWN_TRAFFIC = {
    "hosts": [
        get("/v1/chat/completions", "api.example", authorization="Bearer own"),
        get("/key/info", "api.example"),
        get("/", "www.example"),
        get("/", "elsewhere.test"),
    ],
    "jwt": [get("/open"), get("/x"), get("/x", authorization=f"Bearer {token()}")],
    "rbac": [get("/x"), get("/admin/x")],
    "rate_limit": [get("/1"), get("/2"), get("/3")],
    "grpc": [get("/x"), get("/v1/models")],
    "tcp": [get("/x")],
    "listeners": [get("/x"), get("/v1/models", authorization="Bearer own")],
    "xds_files": [get("/x"), get("/key/list")],
    "own_authz": [get("/x"), get("/x", refused="yes"), get("/open", refused="yes")],
    "replies": [
        get("/x", **{"accept-encoding": "gzip"}),
        get("/x", "gone.example"),
        get("/" + "long" * 10, **{"accept-encoding": "identity"}),
    ],
}
MORE = {"listeners": ("--listener", "web")}


@dataclass
class Backend:
    """The owner's own server: says what reached it, and refuses what asks for it."""

    port: int = 0
    answers: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Backend]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        yield self
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                lines = sorted(
                    line
                    for line in head.splitlines()[1:]
                    if line
                    and not line.startswith(("x-request-id", "x-envoy", "x-forwarded", "host"))
                )
                body = json.dumps([head.split(" HTTP")[0], *lines, "x" * 200]).encode()
                status = (
                    "403 Forbidden" if "refused: yes" in lines and "/check" in head else "200 OK"
                )
                writer.write(
                    f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n"
                    f"content-length: {len(body)}\r\n\r\n".encode()
                    + body
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # Envoy has hung up
        finally:
            writer.close()


@dataclass
class Stage:
    """What all Envoys of this module stand between."""

    served: Serving
    backend: Backend
    calls: int
    folder: Path

    def written(self, name: str, ports: tuple[int, int], folder: Path) -> Path:
        """A bootstrap of the folder, for these ports."""
        values = {
            "@PORT@": ports[0],
            "@SECOND@": ports[1],
            "@BACKEND@": self.backend.port,
            "@GRPC@": self.calls,
            "@FOLDER@": folder,
        }
        files = [BOOTSTRAPS / f"{name}.yaml"]
        if name == "xds_files":
            files += (BOOTSTRAPS / "xds").iterdir()
        for file in files:
            text = file.read_text(encoding="utf-8")
            for mark, value in values.items():
                text = text.replace(mark, str(value))
            (folder / file.name).write_text(text, encoding="utf-8")
        return folder / f"{name}.yaml"

    def attached(self, bootstrap: Path, *options: str) -> Path:
        """The bootstrap that the command makes of another one."""
        folder = bootstrap.parent / "attached"
        command = [sys.executable, "-m", "tollgate.commands.main", "attach", str(bootstrap)]
        config = ["--config", str(self.served.folder / "file.yaml")]
        done = subprocess.run(
            [*command, *config, *options, "--output", str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return folder / bootstrap.name


class _Echo(grpc.GenericRpcHandler):
    def service(self, details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._answer)

    async def _answer(self, request: bytes, _: Any) -> bytes:
        return request[::-1]


@pytest_asyncio.fixture(scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("attach")
    calls = grpc.aio.server()
    calls.add_generic_rpc_handlers((_Echo(),))
    port = calls.add_insecure_port("127.0.0.1:0")
    await calls.start()
    async with (
        Provider(replies={"json": REPLY}).serving() as provider,
        Backend().serving() as backend,
        serving(folder, CONFIG.format(port=provider.port)) as served,
    ):
        yield Stage(served, backend, port, folder)
    await calls.stop(None)


async def own_traffic(name: str, ports: tuple[int, int], folder: Path) -> list[object]:
    """What the owner's own clients see, one answer after the other."""
    seen: list[object] = []
    async with httpx.AsyncClient(timeout=10) as client:
        for path, host, headers in OWN_TRAFFIC[name]:
            url = f"http://127.0.0.1:{ports[0]}{path}"
            reply = await client.get(url, headers={**headers, "host": host})
            kept = {
                key: value
                for key, value in reply.headers.items()
                if key not in ("date", "x-envoy-upstream-service-time")
            }
            seen.append((reply.status_code, reply.text, kept))
    if name == "grpc":
        async with grpc.aio.insecure_channel(f"127.0.0.1:{ports[0]}") as channel:
            seen.append(await channel.unary_unary("/tests.Echo/Turn")(b"abc"))
    if name in ("tcp", "listeners"):
        async with httpx.AsyncClient(timeout=10) as client:
            reply = await client.get(f"http://127.0.0.1:{ports[1]}/second")
            seen.append((reply.status_code, reply.text))
    if name == "replies":
        lines: list[str] = []
        for _ in range(60):  # Envoy writes its log now and then
            await asyncio.sleep(0.25)
            lines = (folder / "access.log").read_text(encoding="utf-8").splitlines()
            if len(lines) >= len(OWN_TRAFFIC[name]):
                break
        seen.append([line for line in lines if "/llm" not in line and "/v1" not in line])
        (folder / "access.log").unlink()
    return seen


def keys() -> dict[str, str]:
    return {"TOLLGATE_PROVIDER_KEY_0": "provider-key"}


async def calls_a_model(gateway: Gateway, host: str) -> Iterable[object]:
    """A call with a key and one without, and what was charged."""
    named = {"host": host}
    made = await gateway.client.post(
        f"{gateway.url}/key/generate",
        json={"max_budget": 1},
        headers={**bearer("sk-1234"), **named},
    )
    assert made.status_code == 200, made.text
    key = made.json()["key"]
    body = {"model": "local", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    url = f"{gateway.url}/v1/chat/completions"
    without = await gateway.client.post(url, json=body, headers=named)
    reply = await gateway.client.post(url, json=body, headers={**bearer(key), **named})
    spend = 0.0
    for _ in range(100):
        info = await gateway.client.get(
            f"{gateway.url}/key/info", params={"key": key}, headers={**bearer("sk-1234"), **named}
        )
        spend = info.json()["info"]["spend"]
        if spend > 0:
            break
        await asyncio.sleep(0.05)
    error = without.json()["error"]["message"]
    return without.status_code, "api key" in error, reply.status_code, reply.json(), spend


@pytest.mark.parametrize("name", sorted(OWN_TRAFFIC))
@pytest.mark.parametrize("mode", ["grpc", "native"])
@pytest.mark.parametrize("place", [DOMAIN, PREFIX], ids=["domain", "prefix"])
async def test_own_traffic_stays_and_models_are_called(
    stage: Stage, tmp_path: Path, name: str, mode: str, place: tuple[str, str]
) -> None:
    """The owner's clients see the same bytes as before; Tollgate's are refused, served
    and charged.
    """
    ports = free_port(), free_port()
    bootstrap = stage.written(name, ports, tmp_path)
    async with running_envoy(bootstrap, ports[0], keys()):
        before = await own_traffic(name, ports, tmp_path)
    attached = stage.attached(bootstrap, *place, *MORE.get(name, ()), "--mode", mode)
    async with (
        running_envoy(attached, ports[0], keys()),
        httpx.AsyncClient(timeout=30) as client,
    ):
        assert await own_traffic(name, ports, tmp_path) == before
        beneath = place[1] if place is PREFIX else ""
        url = f"http://127.0.0.1:{ports[0]}{beneath}"
        gateway = Gateway(url, stage.served.process, client, native=mode == "native")
        host = "api.example" if place is PREFIX else "llm.example"
        if name == "rate_limit" and place is PREFIX:
            return  # its own limit has been used up, and holds for all paths of the host
        found = await calls_a_model(gateway, host)
        if name == "hosts":
            upgrade = {"connection": "Upgrade", "upgrade": "websocket", "host": host}
            upgrade |= bearer("sk-1234")
            refused = await client.get(f"{url}/v1/responses", headers=upgrade)
            assert refused.status_code == 403, refused.text
    assert found == (401, True, 200, REPLY["body"], pytest.approx(0.002)), found
