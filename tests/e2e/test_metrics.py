"""What a platform team watches: who uses how much, which limits fill, and `tollgate top`."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.e2e.gateway import CONFIG, MASTER, Gateway, gateway

OURS = "  metrics: {labels: {team: 1, key: 5, tag: 5}, litellm: 9}\n  dimensions: {tag: true}\n"


async def command(tollgate: Gateway, *words: str) -> str:
    """What a command prints that finds the gateway by its variables."""
    variables = {"TOLLGATE_URL": tollgate.url, "TOLLGATE_MASTER_KEY": MASTER, "COLUMNS": "120"}
    run = [sys.executable, "-m", "tollgate.commands.main", *words]
    done = await asyncio.to_thread(
        subprocess.run, run, env=os.environ | variables, capture_output=True, text=True, check=True
    )
    return done.stdout


async def test_teams_keys_tags_and_their_limits_are_measured_over_all_workers(
    tmp_path: Path,
) -> None:
    """By alias, as many as the setting says; the fullest limits, which `tollgate top` shows; the
    keys that spent most.
    """
    async with gateway(tmp_path, CONFIG + OURS) as tollgate:
        team = await tollgate.manage("/team/new", team_alias="research")
        laptop = await tollgate.key(
            team_id=team["team_id"],
            key_alias="laptop",
            limits=[{"meter": "requests", "amount": 4, "per": "1d", "calendar": "UTC"}],
        )
        gone = await tollgate.key(key_alias="gone", max_budget=1)
        for _ in range(4):
            await tollgate.chat(laptop, metadata={"tags": ["nightly"]})
        assert (await tollgate.chat(laptop)).status_code == 429
        await tollgate.chat(gone)
        other = await tollgate.manage("/team/new", team_alias="another")
        await tollgate.chat(await tollgate.key(team_id=other["team_id"]))

        for telling in (
            'tollgate_scope_requests_total{name="research",scope="team"} 4.0',
            'tollgate_scope_requests_total{name="other",scope="team"} 1.0',
            'tollgate_scope_requests_total{name="laptop",scope="key"} 4.0',
            'tollgate_scope_refused_total{name="laptop",scope="key"} 1.0',
            'tollgate_scope_requests_total{name="nightly",scope="tag"} 4.0',
            'tollgate_limit_refusals_total{meter="requests",scope="key",window="1d"} 1.0',
            'litellm_remaining_api_key_budget_metric{api_key_alias="gone"',
            'litellm_api_key_max_budget_metric{api_key_alias="gone"',
            'litellm_proxy_failed_requests_metric_total{api_key_alias="laptop",exception_status="429"',
            'litellm_spend_metric_total{api_key_alias="laptop"',
        ):
            await tollgate.metrics(telling)
        await tollgate.metrics('tollgate_limit_used_ratio{meter="requests",model="",name="laptop"')
        shown = await command(tollgate, "top", "--every", "0.2", "--times", "1")
        (row,) = [line for line in shown.splitlines() if "key laptop" in line]
        assert row.split("│")[3].strip() in ("25%", "50%", "75%", "100%")

        await tollgate.manage("/key/delete", keys=[gone])
        rows = json.loads(await command(tollgate, "key", "top", "--json"))
        assert [each["requests"] for each in rows] == [4, 1, 1]
        assert rows[0]["key_alias"] == "laptop"
