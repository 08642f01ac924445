"""Beside LiteLLM: Tollgate decides on the copies that an Envoy makes of its traffic."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import yaml
from tests import litellm_server
from tests.e2e.envoy_lab import Server, free_port, running_envoy
from tests.e2e.gateway import MASTER, Gateway, bearer, gateway
from tests.litellm_server import litellm

# Nobody listens at the provider's address.
CONFIG = """
model_list:
  - model_name: gpt-4o
    litellm_params: {model: openai/gpt-4o, api_base: "http://127.0.0.1:9/v1", api_key: provider-key}
general_settings: {master_key: sk-1234}
tollgate: {shadow: true, workers: 1, history_url: none}
"""


def mirroring(port: int, litellm_port: int, tollgate_port: int) -> dict[str, Any]:
    """An Envoy in front of LiteLLM, as docs/shadow.md has it."""
    action = {"cluster": "litellm", "request_mirror_policies": [{"cluster": "tollgate_shadow"}]}
    manager = {
        "@type": (
            "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
            ".HttpConnectionManager"
        ),
        "stat_prefix": "in",
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
                },
            }
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": action}],
                }
            ]
        },
    }
    filters = [{"name": "envoy.http_connection_manager", "typed_config": manager}]
    return {
        "static_resources": {
            "listeners": [{"address": _address(port), "filter_chains": [{"filters": filters}]}],
            "clusters": [
                _cluster("litellm", litellm_port),
                _cluster("tollgate_shadow", tollgate_port),
            ],
        }
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(name: str, port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(port)}}
    return {
        "name": name,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


@asynccontextmanager
async def in_front_of_litellm(tollgate: Gateway, folder: Path) -> AsyncIterator[str]:
    """Where that Envoy listens; LiteLLM is a server that answers everything."""
    port, file = free_port(), folder / "front.yaml"
    tollgate_port = int(tollgate.url.rpartition(":")[2])
    async with Server().serving() as litellm_port:
        config = mirroring(port, litellm_port, tollgate_port)
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        async with running_envoy(file, port, os.environ):
            yield f"http://127.0.0.1:{port}"


async def compared(tollgate: Gateway, litellm_url: str, *options: str) -> Any:
    """What the command tells."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tollgate.commands.main", "compare-litellm", "--json", *options),
        *("--litellm-url", litellm_url, "--litellm-key", litellm_server.MASTER),
        *("--url", tollgate.url, "--master-key", MASTER),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(said)


async def test_copies_are_decided_on_and_compared(tmp_path: Path) -> None:
    """All calls reach LiteLLM and get its answers; what Tollgate's limits would have refused is
    told by key and model, beside what LiteLLM refused.
    """
    async with gateway(tmp_path, CONFIG) as tollgate:
        tight = await tollgate.key(key_alias="tight", rpm_limit=2, user_id="u")
        wide = await tollgate.key(key_alias="wide", user_id="u")
        async with in_front_of_litellm(tollgate, tmp_path) as url, httpx.AsyncClient() as client:
            for key in (tight, tight, tight, wide):
                body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
                path = f"{url}/v1/chat/completions"
                reply = await client.post(path, json=body, headers=bearer(key))
                assert (reply.status_code, "x-tollgate-request-id" in reply.headers) == (200, False)
            for _ in range(200):
                if len(await tollgate.records()) == 4:
                    break
                await asyncio.sleep(0.05)
        litellm_server.LOGS[:] = [
            {"api_key": sha256(key.encode()).hexdigest(), "model_group": "gpt-4o", "spend": 0.5,
             "status": status, "metadata": {"error_information": error}}
            for key, status, error in (
                (tight, "success", None),
                (tight, "success", None),
                (tight, "success", None),
                (wide, "failure", {"error_code": "429", "error_class": "ProxyRateLimitError"}),
                (wide, "failure", {"error_code": "500", "llm_provider": "openai"}),
            )
        ]  # fmt: skip
        with litellm() as litellm_url:
            tight_row, wide_row = await compared(tollgate, litellm_url)
    wanted = {
        "key": "tight", "model": "gpt-4o", "calls_there": 3, "calls_here": 3, "refused_there": 0,
        "refused_here": 1, "dollars_there": 1.5, "limits": "key requests per min (RPM)",
    }  # fmt: skip
    assert {name: tight_row[name] for name in wanted} == wanted
    counts = [wide_row[name] for name in ("key", "calls_there", "calls_here", "refused_there")]
    assert (counts, wide_row["refused_here"]) == (["wide", 2, 1, 1], 0)
