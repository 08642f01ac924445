"""A JWT filter that somebody's own Envoy has already says who asks."""

from __future__ import annotations

from pathlib import Path

import httpx
from tests.e2e.envoy_lab import free_port, running_envoy
from tests.e2e.gateway import bearer
from tests.e2e.money_provider import Provider
from tests.e2e.own_envoy import serving
from tests.e2e.test_attach import BOOTSTRAPS, CONFIG, DOMAIN, REPLY, Stage, keys, token

from tollgate.core.callers.verified import metadata_header

IDENTITY = """
  identity:
    user: {metadata: envoy.filters.http.jwt_authn, at: token.sub}
"""
BODY = {"model": "local", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}


async def test_a_filter_that_was_there_before_says_who_asks(tmp_path: Path) -> None:
    """It stays on for Tollgate's routes, so a call without its token ends at it; what it found out
    is charged, whatever the client says in its place.
    """
    ports = free_port(), free_port()
    (tmp_path / "served").mkdir()
    async with (
        Provider(replies={"json": REPLY}).serving() as provider,
        serving(tmp_path / "served", CONFIG.format(port=provider.port) + IDENTITY) as served,
    ):
        text = (BOOTSTRAPS / "jwt.yaml").read_text(encoding="utf-8")
        told = text.replace(
            "issuer: tests", "issuer: tests\n                  payload_in_metadata: token"
        )
        for mark, value in (("@PORT@", ports[0]), ("@BACKEND@", ports[1])):
            told = told.replace(mark, str(value))
        (tmp_path / "jwt.yaml").write_text(told, encoding="utf-8")
        stage = Stage(served, None, 0, tmp_path)  # type: ignore[arg-type]
        attached = stage.attached(tmp_path / "jwt.yaml", *DOMAIN)
        host = {"host": "llm.example"}
        async with (
            running_envoy(attached, ports[0], keys()),
            httpx.AsyncClient(timeout=30, headers=host) as client,
        ):
            url = f"http://127.0.0.1:{ports[0]}/v1/chat/completions"

            async def status(**headers: str) -> int:
                return (await client.post(url, json=BODY, headers=headers)).status_code

            assert await status() == 401
            assert await status(**bearer(token("another-secret"))) == 401
            assert await status(**bearer(token())) == 403
            await client.post(
                f"http://127.0.0.1:{ports[0]}/user/new",
                json={"user_id": "me", "rpm_limit": 1},
                headers=bearer("sk-1234"),
            )
            forged = {metadata_header("envoy.filters.http.jwt_authn"): '{"token": {"sub": "x"}}'}
            assert await status(**bearer(token())) == 200
            assert await status(**bearer(token()), **forged) == 429
