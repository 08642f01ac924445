"""Nothing that a gateway writes down or sends holds a key, a prompt or a password."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from tests.e2e.gateway import CONFIG, MASTER, bearer, gateway
from tests.e2e.test_opentelemetry import collector

PLANTED = "planted-secret-9f2c"
SECRETS = [
    MASTER,
    *(f"{beginning}{PLANTED}" for beginning in ("sk-", "provider-", "prompt ", "receiver-")),
]


async def test_no_record_alert_event_or_trace_holds_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refusals, the ledger, the audit log, metrics, events, alerts, OTLP; nor the store's file and
    the history's.
    """
    events = tmp_path / "events"
    with collector() as (url, kept):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "300")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        ours = f"""  opentelemetry: true
  opentelemetry_traces: true
  events: [{{file: {events}}}]
  alerts:
    webhook: {{url: "{url}/alerts", secret: "receiver-{PLANTED}"}}
    budgets_at: [0.5]
"""
        file = CONFIG.replace("  history_url: none\n", ours)
        file = file.replace("api_key: provider-key", f"api_key: provider-{PLANTED}")
        async with gateway(tmp_path, file) as tollgate:
            prompt = {"messages": [{"role": "user", "content": f"prompt {PLANTED}"}]}
            poor = await tollgate.key(key=f"sk-{PLANTED}-a", max_budget=0.000001, key_alias="poor")
            slow = await tollgate.key(key=f"sk-{PLANTED}-b", rpm_limit=1)
            for key in (poor, slow, slow, poor, f"sk-{PLANTED}-unknown"):
                await tollgate.chat(key, **prompt)
            await tollgate.chat(slow, stream=True, **prompt)
            await tollgate.manage("/key/regenerate", key=slow, new_key=f"sk-{PLANTED}-c")
            await tollgate.recorded_refusals(4)
            told = []
            for path in ("/refusals", "/spend/logs?summarize=false", "/audit", "/metrics"):
                reply = await tollgate.client.get(tollgate.url + path, headers=bearer(MASTER))
                assert reply.status_code == 200
                told.append(reply.text)
            async with asyncio.timeout(30):
                while not (  # noqa: ASYNC110
                    events.exists()
                    and kept.spans
                    and kept.sums
                    and any(b"threshold" in each for each in kept.bodies)
                ):
                    await asyncio.sleep(0.1)
    assert len(json.loads(told[0])) == 4
    state = [each for each in (tmp_path / "state").rglob("*") if each.is_file()]
    assert {"history.db"} <= {each.name for each in state}
    written = [each.read_bytes() for each in (events, *state)]
    written += [each.encode() for each in told] + list(kept.bodies)
    # What is no secret is there.
    assert any(b"poor" in each for each in kept.bodies)
    assert all(b"gpt-4o" in each for each in written[:1])
    assert [each for each in SECRETS if any(each.encode() in text for text in written)] == []
