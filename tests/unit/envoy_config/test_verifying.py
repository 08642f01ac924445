"""What Envoy is told to vouch for, and what nobody else is to see of it."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.tokens import Issuer

from tollgate.core.callers.verified import CLAIMS_HEADER, FAULT_HEADER, PEER_HEADER
from tollgate.core.envoy_contract import ROUTE_PREFIX, TOKEN_FILTER, VERIFIED_FILTER
from tollgate.envoy_config.bootstrap import bootstrap
from tollgate.gateway.supervisor import Programs
from tollgate.settings import EXAMPLE_FILE, Settings, load
from tollgate.settings.entries.identity_settings import IdentitySettings
from tollgate.topology import beside_serve

TOKENS = {"issuer": "https://i.example", "audiences": ["llm"], "headers": ["X-Token"]}


def settings_of(identity: Any = None, **changes: Any) -> Settings:
    settings = load(EXAMPLE_FILE)
    if identity is not None:
        changes["identity"] = IdentitySettings.model_validate(identity)
    return replace(settings, tollgate=settings.tollgate.model_copy(update=changes))


def manager_of(settings: Settings) -> Any:
    document = bootstrap(settings, beside_serve(settings.tollgate))
    (listener,) = document["static_resources"]["listeners"]
    return listener["filter_chains"][0]["filters"][0]["typed_config"]


def routes_of(settings: Settings) -> list[Any]:
    (host,) = manager_of(settings)["route_config"]["virtual_hosts"]
    return list(host["routes"])


def test_without_an_identity_nothing_is_added() -> None:
    """Neither filters, nor headers for a worker to read."""
    names = [each["name"] for each in manager_of(settings_of())["http_filters"]]
    assert {TOKEN_FILTER, VERIFIED_FILTER}.isdisjoint(names)
    assert "verified" not in json.dumps(manager_of(settings_of()))


@pytest.mark.parametrize("mode", ["grpc", "native"])
def test_what_tells_who_asks_reaches_no_provider(mode: str) -> None:
    """Neither a token that was not accepted, nor what Envoy tells of one that was."""
    identity = {
        "jwt": {**TOKENS, "jwks_file": "keys.json"},
        "trusted_proxies": ["10.0.0.0/8"],
        "user": [{"claim": "sub"}, {"trusted_header": "x-user"}],
    }
    routes = routes_of(settings_of(identity, mode=mode))
    removed = [
        each["request_headers_to_remove"]
        for each in routes
        if each["name"].startswith(f"{ROUTE_PREFIX}deployment/")
    ]
    hidden = {CLAIMS_HEADER, FAULT_HEADER, PEER_HEADER, "x-user", "x-token"}
    assert removed
    assert all(hidden <= set(each) for each in removed)


@pytest.mark.parametrize(
    ("user", "looked_at"),
    [
        ({"trusted_header": "x-user"}, {"x-user", "x-token"}),
        ({"claim": "sub"}, {"x-token"}),
        ({"certificate": "uri"}, None),
        ({"metadata": "a", "at": "b"}, None),
    ],
)
def test_only_a_request_that_nothing_can_identify_is_refused_without_asking(
    user: Any, looked_at: set[str] | None
) -> None:
    """A certificate stands in no header."""
    jwt = {**TOKENS, "jwks_file": "keys.json"}
    identity = {"jwt": jwt, "trusted_proxies": ["10.0.0.0/8"], "user": user}
    found = [
        {each["name"] for each in route["match"]["headers"] if each.get("present_match")}
        for route in routes_of(settings_of(identity))
        if route["name"] == f"{ROUTE_PREFIX}without-key"
    ]
    assert bool(found) == (looked_at is not None)
    assert all((looked_at or set()) <= each for each in found)


@pytest.mark.parametrize("mode", ["grpc", "native"])
def test_envoy_accepts_every_kind_of_source(mode: str, tmp_path: Path) -> None:
    """Also keys from several servers."""
    file = Issuer().write_jwks(tmp_path)
    identity = {
        "jwt": [
            {**TOKENS, "jwks_file": str(file)},
            {**TOKENS, "issuer": "b", "jwks_url": "https://b.example/keys?v=1"},
            {**TOKENS, "issuer": "c", "jwks_url": "http://127.0.0.1:8080/keys"},
        ],
        "trusted_proxies": ["10.0.0.0/8", "fd00::/8"],
        "user": [
            {"claim": "https://i.example/user"},
            {"metadata": "own.Filter", "at": "user"},
            *({"certificate": each} for each in ("uri", "dns", "email")),
            {"trusted_header": "x-user"},
        ],
    }
    settings = settings_of(identity, mode=mode)
    (tmp_path / "envoy.json").write_text(
        json.dumps(bootstrap(settings, beside_serve(settings.tollgate)))
    )
    command = [*Programs().envoy, "--mode", "validate", "-c", str(tmp_path / "envoy.json")]
    variables = {each.variable: "k" for each in settings.credentials.values()}
    environment = {**os.environ, **variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[-300:] if done.returncode else "") == (0, "")
