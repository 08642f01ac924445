"""No line of the log holds a key, a prompt or a password, whatever goes wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.e2e.gateway import CONFIG, bearer, gateway

PLANTED = "planted-secret-9f2c"
PROVIDER_KEY = f"provider-{PLANTED}"
FILE = CONFIG.replace("api_key: provider-key", f"api_key: {PROVIDER_KEY}")


@pytest.mark.parametrize(
    ("mode", "ours"), [("grpc", ""), ("native", "  log_format: json\n  log_level: debug\n")]
)
async def test_the_log_holds_no_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str, ours: str
) -> None:
    """Of calls that pass, are refused, are broken, find no provider; of management; of sign-in."""
    async with gateway(tmp_path, FILE + ours, "--mode", mode) as tollgate:
        key = await tollgate.key(key=f"sk-{PLANTED}-a", rpm_limit=4, key_alias="planted")
        prompt = {"messages": [{"role": "user", "content": f"prompt {PLANTED}"}]}
        for _ in range(3):
            await tollgate.chat(key, **prompt)
        await tollgate.chat(key, model="nowhere", **prompt)
        await tollgate.chat(key, **prompt)  # over its limit
        await tollgate.chat(f"sk-{PLANTED}-unknown", **prompt)
        url, free = tollgate.url, await tollgate.key(key=f"sk-{PLANTED}-free")
        for body in (f'{{"model": "gpt-4o", "{PLANTED}', f'{{"model": "{PLANTED}"}}'):
            await tollgate.client.post(
                f"{url}/v1/chat/completions", content=body, headers=bearer(free)
            )
        await tollgate.client.get(f"{url}/v1/models?key=sk-{PLANTED}-query")
        wrong = {"key": f"sk-{PLANTED}-b", "rpm_limit": PLANTED}
        await tollgate.client.post(f"{url}/key/generate", json=wrong, headers=bearer("sk-1234"))
        await tollgate.client.post(
            f"{url}/key/generate", json={}, headers=bearer(f"sk-{PLANTED}-master")
        )
        for secret in (key, f"sk-{PLANTED}-c"):
            await tollgate.client.post(f"{url}/ui/sign-in", data={"key": secret})
        await tollgate.client.get(
            f"{url}/ui/now", headers={"cookie": f"tollgate_session={PLANTED}"}
        )
    said = capsys.readouterr()
    log = said.out + said.err
    assert "refused" in log
    assert "console: key's owner signed in" in log
    assert PLANTED not in log
    if ours:
        lines = [json.loads(line) for line in log.splitlines() if line]
        assert {"worker-0", "admin", "supervisor"} <= {line["process"] for line in lines}
        settled = [line for line in lines if line["message"].startswith("settled ")]
        assert {line["level"] for line in settled} == {"debug"}
        assert all(line["request_id"] in line["message"] for line in settled)
    assert "sk-1234" not in log
